/**
 * Fuzzing, bounded: a second for each target, and each planted bug is found. `npm run fuzz` is the same for longer, and
 * keeps what it learns.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import type { SpawnSyncReturns } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { openScratch } from '../native/compile.ts'
import { fuzzNative } from './native.ts'
import { nativeBugs, plantScriptBug, scriptBugs } from './planted.ts'
import { fuzzScriptIn } from './script.ts'
import { checkout, nativeTargets } from './seeds.ts'
import type { NativeTarget } from './seeds.ts'
import { scriptTargets } from './target.ts'
import type { ScriptTarget } from './target.ts'

const seed = Number(process.env['BELLADONNA_SEED'] ?? 20_261_123)
const scratch = openScratch()
after(() => {
  scratch[Symbol.dispose]()
})
const found = (name: string): string => join(scratch.path, name)

/** Found in well under a second; the bound is for a machine that has much else to do. */
const patienceSeconds = 120

const nativeClaims: Readonly<Record<NativeTarget, string>> = {
  session:
    'L2, L3, L4, L6, L9: C28: no bytes of clients and services break a claim of the launcher',
  child: 'L5: no plan or command comes to exec without each step of the sandbox behind it',
  boot: 'the boot file is read within its bounds',
  answer: 'C60: whatever the bridge answers, bell prints one line of printable text, and never 0',
  relay:
    'what is delivered is the beginning of what was written, within the cap, in any order of readiness',
}

const scriptClaims: Readonly<Record<ScriptTarget, string>> = {
  match: 'C13, C109: patterns take what RE2 takes',
  policy:
    'promise 6: whatever the TOML is, problems have a place in it, and what compiles can be loaded',
  compiled: 'promise 6: a changed installed policy is refused, or read letter for letter',
  request: 'promise 1, C107: a request is refused, or is what is written again, here and by bell',
  unit: 'C35: a unit is what a second reader of the rules finds, whatever the cgroups are called',
  shebang: 'promise 1: what is read as a script Linux starts with the same words',
  frames: 'L4: a frame of a service or the launcher is refused, or what is written again',
  records:
    'C64 promise 6: of a record file all whole frames before a torn one come back, or it is refused',
  recording:
    'promise 6: a recording is refused, or is what is written again, in whatever pieces it comes',
  log: 'promise 6: nothing of a log is right of which a signed part was changed',
  services: 'promise 2, promise 4: whoever lies, nothing starts without receipt, grant and use',
}

// A target has one core; the machine has two at least.
suite('fuzz', { concurrency: 2 }, () => {
  for (const target of nativeTargets) {
    test(`${target}: ${nativeClaims[target]}`, async (t) => {
      const options = { target, seed, found: found(target) }
      const first = await fuzzNative({ ...options, seconds: 1 })
      const isSlow = first.executions < 300 && first.reproducer === null // the machine has much else to do
      const outcome = isSlow
        ? await fuzzNative({ ...options, seconds: patienceSeconds, runs: 400 })
        : first
      t.diagnostic(`${outcome.executions} executions, ${outcome.newEdges} new edges`)
      assert.equal(outcome.reproducer, null, outcome.output)
      assert.ok(outcome.executions > 200 && outcome.edges > 40, outcome.output)
    })
  }

  for (const target of scriptTargets) {
    test(`${target}: ${scriptClaims[target]}`, async (t) => {
      const outcome = await fuzzScriptIn({ root: checkout, target, seconds: 1, seed })
      t.diagnostic(`${outcome.executions} executions, ${outcome.newEdges} new branches`)
      assert.equal(outcome.finding, null)
      assert.ok(outcome.newEdges > 0, JSON.stringify(outcome))
    })
  }

  const names = readdirSync(join(checkout, 'native/fuzz/planted')).toSorted()
  for (const { target, program, about } of nativeBugs(names)) {
    test(`${target} finds a planted bug: ${about}`, async () => {
      const outcome = await fuzzNative({
        target,
        program,
        seconds: patienceSeconds,
        seed,
        found: found(program),
      })
      assert.notEqual(outcome.reproducer, null, outcome.output)
    })
  }

  for (const bug of scriptBugs) {
    test(`${bug.target} finds a planted bug: ${bug.about}`, async () => {
      using planted = plantScriptBug(bug)
      const { root } = planted
      const outcome = await fuzzScriptIn({
        root,
        target: bug.target,
        seconds: patienceSeconds,
        seed,
      })
      assert.notEqual(outcome.finding, null)
    })
  }

  test('npm run fuzz: ends with 1 on a finding, and says how to see it again', () => {
    const [bug] = scriptBugs.filter(({ target }) => target === 'request')
    assert.ok(bug)
    using planted = plantScriptBug(bug)
    const run = (file: string, ...args: readonly string[]): SpawnSyncReturns<string> =>
      spawnSync(process.execPath, [join(planted.root, 'test/fuzz', file), ...args], {
        ...{ cwd: planted.root, encoding: 'utf8', env: { PATH: process.env['PATH'] } },
      })
    const out = join(scratch.path, 'out')
    const { status, stdout, stderr } = run(
      'run.ts',
      '--seconds=20',
      '--seed=1',
      '--out',
      out,
      'request',
    )
    assert.equal(status, 1, stderr)
    assert.match(stdout, /^request +\d+ +\d+ +\d+ +\d+$/m)
    const [, path = ''] = /^replay: .* (\S+)$/m.exec(stderr) ?? []
    const again = run('loop.ts', 'request', '--replay', path)
    assert.notEqual(again.status, 0, again.stdout)
    assert.match(again.stderr, /written again it is another/)
  })
})
