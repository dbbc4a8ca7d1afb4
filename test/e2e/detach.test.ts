/** Runs of actions that say `detach`: their clients go, and they do not. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { compile } from '../native/compile.ts'
import { caller, exitOf, readProc, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'
import { grantedActionText as granted } from '../support/action-text.ts'
import { capped } from '../support/relay-bridge.ts'
import { openTerminal } from '../support/terminal.ts'

const skip = process.geteuid?.() !== 0
const sh = (text: string): readonly string[] => ['/usr/bin/dash', '-c', text]
const detached = (name: string, profile: string, command: readonly string[]): string =>
  granted(name, profile, command, 'detach = true')
const often = 'echo here; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; echo $i; done; exit 3'

const policy = `schema = 1
[profile.pass]
limits = { time = "30s" }
[profile.stream]
stdin = "stream"
limits = { time = "30s" }
output = "capped"
[profile.quick]
limits = { time = "2s" }
output = "capped"
${detached('often', 'stream', sh(often))}
${detached('often.passed', 'pass', sh('sleep 1; exit 4'))}
${detached('passed.writes', 'pass', sh('echo here; sleep 1; echo there; exit 5'))}
${detached('forever', 'quick', sh('echo here; while :; do sleep 0.1; echo more; done'))}
${detached('copy', 'stream', sh('echo here; cat; exit 6'))}
${detached('hangup', 'stream', sh("trap 'exit 9' HUP; trap 'exit 8' TERM; echo here; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; echo $i; done; exit 7"))}
${granted('attached', 'stream', sh("trap 'exit 9' HUP; echo here; while :; do sleep 0.1; done"))}
`

let bridge: TestBridge
let directory: string
let host: string
before(async () => {
  if (skip) return
  bridge = await startBridge({ policy, configuration: '[limits]\nper_user = 2\n' })
  directory = mkdtempSync('/var/lib/belladonna-test.')
  chmodSync(directory, 0o755)
  host = compile(directory, 'terminal-host.c')
})
after(async () => {
  if (skip) return
  assert.deepEqual((await bridge.verify()).problems, [])
  assert.equal(await bridge.stop(), 0)
  await bridge[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--groups', '27']

/** bell, once the command has said that it is there. */
async function startHere(...words: readonly string[]): Promise<ChildProcess> {
  const child = spawn('/usr/bin/setpriv', [
    ...identity,
    bridge.bellPath,
    '-S',
    bridge.socket,
    ...words,
  ])
  await new Promise((resolve) => child.stdout.once('data', resolve))
  return child
}

async function endOf(act: () => unknown): Promise<readonly [string, number, boolean]> {
  const { end, features } = await bridge.outcomeOf(act)
  return [end.kind, end.value, features.includes('detached')]
}

test(
  'detach: a client that is killed takes nothing with it but its reading',
  { skip },
  async () => {
    const bell = await startHere('often')
    const outcome = await bridge.outcomeOf(() => bell.kill('SIGKILL'))
    assert.deepEqual([outcome.end.kind, outcome.end.value], ['exited', 3])
    assert.ok(outcome.features.includes('detached'))
    const { stdout, undelivered } = capped(outcome)
    assert.equal(stdout.written, 'here\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n'.length)
    assert.ok(undelivered && stdout.delivered < stdout.written)
  },
)

test('detach: whoever still reads the pipe hears of its end at once', { skip }, async () => {
  const words = [...identity, bridge.bellPath, '-S', bridge.socket, 'often']
  const line = `setpriv ${words.join(' ')} | cat; echo over`
  const shell = spawn('/usr/bin/dash', ['-c', line], { stdio: ['ignore', 'pipe', 'ignore'] })
  const said: Buffer[] = []
  shell.stdout.on('data', (chunk: Buffer) => said.push(chunk))
  await until(() => said.length > 0, 5000)
  const outcome = await bridge.outcomeOf(async () => {
    const before = bridge.outcomes().length
    process.kill(bellOf(), 'SIGKILL')
    await new Promise((resolve) => shell.once('close', resolve))
    assert.equal(bridge.outcomes().length, before) // its run goes on
  })
  assert.match(Buffer.concat(said).toString(), /over\n$/)
  assert.deepEqual([outcome.end.kind, outcome.end.value], ['exited', 3])
})

test('detach: who stays until the end gets all, and the end', { skip }, async () => {
  const told: unknown[] = []
  const [kind, value, gone] = await endOf(async () => {
    const { status, stdout } = await bridge.bell(['often'])
    told.push(status, stdout)
  })
  assert.deepEqual([kind, value, gone], ['exited', 3, false])
  assert.deepEqual(told, [3, 'here\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n'])
})

test('detach: with output = "pass" the command goes on too', { skip }, async () => {
  const bell = spawn('/usr/bin/setpriv', [
    ...identity,
    bridge.bellPath,
    '-S',
    bridge.socket,
    'often.passed',
  ])
  const entries = bridge.entries().length
  await until(() => bridge.entries().length > entries, 5000)
  await new Promise((resolve) => setTimeout(resolve, 200))
  assert.deepEqual(await endOf(() => bell.kill('SIGKILL')), ['exited', 4, true])
})

test(
  'detach: with output = "pass" a pipe that nobody reads is still a broken pipe',
  { skip },
  async () => {
    const bell = await startHere('passed.writes')
    const [kind, value] = await endOf(() => {
      bell.stdout?.destroy()
      bell.kill('SIGKILL')
    })
    // dash says on its standard error, which is gone too, that it could not write.
    assert.ok((kind === 'signalled' && value === 13) || (kind === 'exited' && value === 5))
  },
)

test('detach: a reader that has enough does not break the pipe of the run', { skip }, async () => {
  const bell = await startHere('often')
  const { end, features, ...outcome } = await bridge.outcomeOf(async () => {
    bell.stdout?.destroy()
    assert.equal(await exitOf(bell), 3)
  })
  assert.deepEqual([end.kind, end.value, features.includes('detached')], ['exited', 3, false])
  assert.equal(capped({ end, features, ...outcome }).undelivered, true)
})

test('detach: promise 6: the time limit holds, and is what the entry says', { skip }, async () => {
  const bell = await startHere('forever')
  assert.deepEqual(await endOf(() => bell.kill('SIGKILL')), ['timed_out', 0, true])
})

test('detach: a stream on stdin ends with who wrote it', { skip }, async () => {
  const bell = await startHere('copy')
  assert.deepEqual(await endOf(() => bell.kill('SIGKILL')), ['exited', 6, true])
})

test(
  'detach: SIGHUP to bell is the client going, SIGTERM is meant for the run',
  { skip },
  async () => {
    const hung = await startHere('hangup')
    assert.deepEqual(await endOf(() => hung.kill('SIGHUP')), ['exited', 7, false])
    const ended = await startHere('hangup')
    assert.deepEqual(await endOf(() => ended.kill('SIGTERM')), ['exited', 8, false])
  },
)

test('detach: without it the client’s end is the run’s', { skip }, async () => {
  const bell = await startHere('attached')
  assert.deepEqual(await endOf(() => bell.kill('SIGKILL')), ['exited', 9, false])
})

for (const [how, act] of [
  ['bell is killed', 'kill'],
  ['the terminal hangs up', 'hangup'],
] as const) {
  test(`detach: at a terminal: ${how}, and nothing of it reaches the run`, { skip }, async () => {
    using terminal = openTerminal(host, [bridge.bellPath, '-S', bridge.socket, 'hangup'], {
      rows: 24,
      columns: 80,
    })
    await terminal.expect(/here/)
    const outcome = await bridge.outcomeOf(() => {
      if (act === 'hangup') terminal.order('hangup')
      else process.kill(bellOf(), 'SIGKILL')
    })
    assert.deepEqual([outcome.end.kind, outcome.end.value], ['exited', 7])
    assert.ok(outcome.features.includes('detached') || act === 'hangup')
    const { terminal: shown, undelivered } = capped(outcome)
    assert.ok(undelivered && shown !== null && shown.delivered < shown.written)
  })
}

function bellOf(): number {
  const pid = readdirSync('/proc').find((name) =>
    readProc(`${name}/cmdline`).startsWith(bridge.bellPath),
  )
  assert.ok(pid !== undefined)
  return Number(pid)
}

test('detach: promise 7: a run whose client went keeps its place', { skip }, async () => {
  const both = [await startHere('often'), await startHere('often')]
  const before = bridge.outcomes().length
  for (const bell of both) bell.kill('SIGKILL')
  await Promise.all(both.map(async (bell) => await exitOf(bell)))
  const refused = await bridge.bell(['often'])
  assert.match(refused.stderr, /busy/)
  await until(() => bridge.outcomes().length === before + 2, 15_000)
  assert.equal((await bridge.bell(['often'])).status, 3)
})

test('detach: a bridge that stops ends the run, and records it', { skip }, async () => {
  const bell = await startHere('often')
  const before = bridge.outcomes().length
  bell.kill('SIGKILL')
  await exitOf(bell)
  await bridge.stop()
  await bridge.startAgain()
  assert.equal(bridge.outcomes().length, before + 1)
  assert.equal(bridge.outcomes().at(-1)?.end.kind, 'lost')
})
