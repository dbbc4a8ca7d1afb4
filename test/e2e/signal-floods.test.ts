/** Clients that send signals as fast as the socket takes them: neither a time limit nor another's run gives way to them. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { formatRequest } from '../../src/core/protocol/request.ts'
import { compile, openScratch } from '../native/compile.ts'
import { actionText } from '../support/action-text.ts'
import { caller, exitOf, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const other = caller.uid + 1
const deaf = `trap '' USR1 WINCH; exec /usr/bin/cat /dev/zero`
const policy = `schema = 1
[profile.pass]
limits = { time = "2s" }
[profile.capped]
output = "capped"
limits = { output = "64M", time = "2s" }
[profile.recorded]
output = "recorded"
limits = { output = "64M", time = "2s" }
${['pass', 'capped', 'recorded'].map((name) => actionText(name, name, ['/usr/bin/dash', '-c', deaf])).join('\n')}
${actionText('stops', 'capped', ['/usr/bin/dash', '-c', 'echo here; while :; do kill -STOP $$; done'])}
${actionText('true', 'pass', ['/usr/bin/true'])}
[[grant]]
who = ["uid:${caller.uid}", "uid:${other}"]
may = ["pass", "capped", "recorded", "stops", "true"]
`
const scratch = openScratch()
let bridge: TestBridge
let program = ''
before(async () => {
  if (skip) return
  chmodSync(scratch.path, 0o755)
  for (const action of ['pass', 'capped', 'recorded', 'stops']) {
    const request = formatRequest({ action, reason: '', nonce: null, parameters: [] })
    writeFileSync(join(scratch.path, action), formatFrame(wireKind.request, request))
  }
  program = compile(scratch.path, 'strange-client.c')
  bridge = await startBridge({ policy })
})
after(async () => {
  scratch[Symbol.dispose]()
  if (!skip) await bridge[Symbol.asyncDispose]()
})

function flood(
  action: string,
  signal: number,
  output: 'pipe' | 'terminal' = 'pipe',
): ReturnType<typeof spawn> {
  const frame = join(scratch.path, action)
  const words = ['flood', bridge.socket, frame, String(signal), String(caller.uid), output]
  return spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'] })
}

const floods = [
  ['SIGUSR1', 'pass', 'pipe'],
  ['SIGWINCH', 'capped', 'terminal'],
  ['SIGWINCH', 'recorded', 'pipe'],
] as const
for (const [signal, output, to] of floods) {
  test(
    `promise 7: C30: ${signal} without end does not put off the time limit of a run whose output is "${output}", to a ${to}`,
    { skip, timeout: 60_000 },
    async () => {
      const startMs = performance.now()
      const outcome = await bridge.outcomeOf(async () => {
        await exitOf(flood(output, constants.signals[signal], to))
      })
      assert.deepEqual([outcome.end.kind, outcome.output.kind], ['timed_out', output])
      assert.ok(performance.now() - startMs < 6_000)
    },
  )
}

test(
  'promise 7: C30: a run at a terminal that stops and is continued without end, whose client reads nothing of it, ends at its time limit',
  { skip, timeout: 60_000 },
  async () => {
    const startMs = performance.now()
    const before = bridge.outcomes().length
    const ends = exitOf(flood('stops', constants.signals.SIGCONT, 'terminal'))
    const { status, stderr } = await bridge.bell(['true'], { uid: other, groups: [] })
    assert.deepEqual([status, stderr], [0, ''])
    await ends
    await until(() => bridge.outcomes().length === before + 2, 10_000)
    const kinds = bridge
      .outcomes()
      .slice(before)
      .map(({ end }) => end.kind)
    assert.deepEqual(kinds.toSorted(), ['exited', 'timed_out'])
    assert.ok(performance.now() - startMs < 6_000)
  },
)

test(
  'promise 7: C30: runs of others begin and end while twelve clients send SIGWINCH without end',
  { skip, timeout: 60_000 },
  async () => {
    const flooding = Array.from({ length: 12 }, () => flood('capped', constants.signals.SIGWINCH))
    const ends = Promise.all(flooding.map(exitOf))
    const before = bridge.outcomes().length
    const ms: number[] = []
    for (let turn = 0; turn < 8; turn += 1) {
      const startMs = performance.now()
      const { status, stderr } = await bridge.bell(['true'], { uid: other, groups: [] })
      assert.deepEqual([status, stderr], [0, ''])
      ms.push(performance.now() - startMs)
    }
    console.log(`a run took ${Math.round(Math.max(...ms))} ms at most`)
    assert.ok(Math.max(...ms) < 3_000)
    await ends
    await until(() => bridge.outcomes().length === before + 20, 10_000)
    const kinds = bridge
      .outcomes()
      .slice(before)
      .map(({ end }) => end.kind)
    assert.equal(kinds.filter((kind) => kind === 'timed_out').length, 12)
    assert.deepEqual((await bridge.verify()).problems, [])
  },
)
