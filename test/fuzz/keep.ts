/**
 * sh tools/run test/fuzz/keep.ts: takes what `npm run fuzz` learnt into the tree. Of each target in C some inputs stay, of all
 * sizes up to a bound, that reach what its seeds do not.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fuzzProgram } from './native.ts'
import { checkout, nativeTargets, seedsOf } from './seeds.ts'
import type { NativeTarget } from './seeds.ts'

const largest = 768
const most = 48

function learnt(target: NativeTarget, scratch: string): readonly Uint8Array[] {
  const [seeds, small, merged] = ['seeds', 'small', 'merged'].map((name) => join(scratch, name))
  if (seeds === undefined || small === undefined || merged === undefined) return []
  for (const path of [seeds, small, merged]) mkdirSync(path)
  const made = seedsOf(target)
  for (const [at, bytes] of made.entries()) writeFileSync(join(merged, `seed-${at}`), bytes)
  const corpus = join(checkout, 'native/out/fuzz/corpus', target)
  for (const name of readdirSync(corpus)) {
    const bytes = readFileSync(join(corpus, name))
    if (bytes.length <= largest) writeFileSync(join(small, name), bytes)
  }
  // Adds to the first directory what brings something new to it.
  execFileSync(fuzzProgram(target), ['-merge=1', merged, small], { stdio: 'ignore', env: {} })
  const added = readdirSync(merged).filter((name) => !name.startsWith('seed-'))
  const sorted = added
    .map((name) => readFileSync(join(merged, name)))
    .toSorted((a, b) => a.length - b.length || Buffer.compare(a, b))
  const step = Math.max(1, Math.ceil(sorted.length / most))
  return sorted.filter((_, at) => at % step === 0)
}

for (const target of nativeTargets) {
  const scratch = mkdtempSync(join(tmpdir(), 'belladonna-keep.'))
  try {
    const lines = learnt(target, scratch).map((bytes) => `${Buffer.from(bytes).toString('hex')}\n`)
    const path = join(checkout, 'native/fuzz/corpus', `${target}.txt`)
    writeFileSync(path, lines.join(''), { flag: 'a' })
    console.log(`${target}: ${lines.length} inputs added`)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}
