import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'
import { openMeasure } from './executable.ts'
import { uncopied } from './executable-copy.ts'

const directory = mkdtempSync('/tmp/belladonna-executable.')
after(() => rmSync(directory, { recursive: true, force: true }))
const measure = openMeasure(process.geteuid?.() ?? 0, uncopied)

function fileOf(name: string, text: string): CleanPath {
  const path = join(directory, name)
  writeFileSync(path, text)
  chmodSync(path, 0o755)
  assert.ok(isCleanPath(path))
  return path
}

test('promise 1: executable: what reads a script is a program, and no script again', () => {
  const program = fileOf('program', 'no script')
  const inner = fileOf('inner', `#!${program}\n`)
  for (const [reader, isProgram] of [
    [program, true],
    [inner, false],
  ] as const) {
    const executable = fileOf('outer', `#!${reader}\n`)
    const interpreter = { path: reader, argument: null, executable: reader }
    const act = (): unknown => measure({ executable, interpreter, sha256: [] }).interpreter
    if (isProgram) assert.notEqual(act(), null)
    else assert.throws(act, { code: 'path_unsafe', message: /inner": its first line is another/ })
  }
})

test('promise 3: C12: executable: a file that changes while it is read has no digest', async () => {
  const executable = fileOf('large', 'text')
  truncateSync(executable, 256 << 20) // its reading takes longer than the changes below are apart
  const touch = `$| = 1; utime undef, undef, $ARGV[0]; print "x"; for (;;) { utime undef, undef, $ARGV[0]; select undef, undef, undef, 0.001 }`
  const toucher = spawn('/usr/bin/perl', ['-e', touch, executable], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => toucher.stdout.once('data', resolve))
  const act = (): unknown => measure({ executable, interpreter: null, sha256: [] })
  try {
    assert.throws(act, { code: 'path_unsafe', message: /changed while it was read/ })
  } finally {
    toucher.kill('SIGKILL')
    await new Promise((resolve) => toucher.once('exit', resolve))
  }
  act() // once nobody changes it any more
})
