/** Runs one target in TypeScript in a process of its own, for a bounded time. */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ScriptOutcome } from './loop.ts'
import type { ScriptTarget } from './target.ts'

type Options = Readonly<{
  /** The checkout, or a copy of it with a planted bug. */
  root: string
  target: ScriptTarget
  seconds: number
  seed: number
  /** Where inputs that reach something new are kept between runs. */
  corpus?: string
}>

export async function fuzzScriptIn(options: Options): Promise<ScriptOutcome> {
  const { root, target, seconds, seed, corpus } = options
  const loop = join(root, 'test/fuzz/loop.ts')
  const args = [
    loop,
    target,
    String(seconds),
    String(seed),
    ...(corpus === undefined ? [] : [corpus]),
  ]
  // Without our environment: a runner's NODE_V8_COVERAGE would take the coverage that the loop goes by.
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: root,
    env: { PATH: process.env['PATH'] },
    maxBuffer: 64 * 1024 * 1024,
  })
  const outcome: ScriptOutcome = JSON.parse(stdout)
  return outcome
}

/** Keeps the input of a finding, and says where. */
export function keepFinding(directory: string, target: ScriptTarget, input: string): string {
  mkdirSync(directory, { recursive: true })
  const path = join(directory, `${target}-${Date.now()}.txt`)
  writeFileSync(path, input)
  return path
}
