/** How runs with a terminal end, and that the caller's is then as it was. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { formatRequest } from '../../src/core/protocol/request.ts'
import { childrenOf, readProc, until } from '../support/bridge.ts'
import { capped } from '../support/relay-bridge.ts'
import { startTerminalBridge } from '../support/terminal-bridge.ts'
import type { TerminalBridge } from '../support/terminal-bridge.ts'
import { cookedModes, rawModes } from '../support/terminal.ts'
import type { Terminal } from '../support/terminal.ts'

const skip = process.geteuid?.() !== 0

/** Runs bell in a shell that waits afterwards, so that the terminal can be looked at. */
async function openWaiting(at: TerminalBridge, action: string): Promise<Terminal> {
  const terminal = at.open([
    '/usr/bin/dash',
    '-c',
    `${at.bell(action).join(' ')}; echo "status $?"; sleep 60`,
  ])
  await terminal.expect(/here/)
  await until(async () => (await terminal.modes()) === rawModes, 5000)
  return terminal
}

function relayOf(at: TerminalBridge): number {
  const pid = childrenOf(at.bridge.pids().launcher).find((child) =>
    readProc(`${child}/comm`).startsWith('belladonna-rela'),
  )
  assert.ok(pid !== undefined)
  return pid
}

const ends: readonly (readonly [string, (at: TerminalBridge) => void, string, RegExp])[] = [
  ['a time limit', () => undefined, 'sleep.quick', /time limit.*status 124/s],
  ['a relay that died', (at) => process.kill(relayOf(at), 'SIGKILL'), 'sleep', /status 125/],
  [
    'a broker that died',
    (at) => process.kill(at.bridge.pids().broker, 'SIGKILL'),
    'sleep',
    /status 125/,
  ],
  ['SIGTERM to bell', (at) => process.kill(at.bells()[0] ?? 0, 'SIGTERM'), 'sleep', /status 143/],
]
for (const [name, end, action, said] of ends) {
  test(`terminal: after ${name} it is as it was`, { skip }, async () => {
    await using at = await startTerminalBridge()
    using terminal = await openWaiting(at, action)
    end(at)
    await terminal.expect(said)
    assert.equal(await terminal.modes(), cookedModes)
    await at.bridge.ready()
  })
}

test('terminal: after the launcher died it is as it was', { skip }, async () => {
  await using at = await startTerminalBridge()
  using terminal = await openWaiting(at, 'sleep')
  at.bridge.launcher().kill('SIGKILL')
  await terminal.expect(/the connection to the bridge was lost\r\nstatus 125\r\n/)
  assert.equal(await terminal.modes(), cookedModes)
  await at.bridge.startAgain()
})

test('terminal: who hangs up hangs up on the run', { skip }, async () => {
  await using at = await startTerminalBridge()
  using terminal = at.open(at.bell('hangup'))
  await terminal.expect(/here/)
  const { end } = await at.bridge.outcomeOf(() => terminal.order('hangup'))
  assert.deepEqual([end.kind, end.value], ['exited', 9])
})

test('terminal: a bell that is killed is a client that has gone', { skip }, async () => {
  await using at = await startTerminalBridge()
  using terminal = at.open(at.bell('hangup'))
  await terminal.expect(/here/)
  const { end } = await at.bridge.outcomeOf(() => process.kill(at.bells()[0] ?? 0, 'SIGKILL'))
  assert.deepEqual([end.kind, end.value], ['exited', 9])
})

for (const [name, key, signal] of [
  ['Ctrl-Z', '\x1a', 2], // and at the stop, Ctrl-C
  ['Ctrl-C', '\x03', 2],
  ['Ctrl-\\', '\x1c', 3],
] as const) {
  test(
    `terminal: ${name} in the moment when the command begins holds nobody up, and is what the entry says`,
    { skip },
    async () => {
      await using at = await startTerminalBridge()
      const frame = join(at.directory, 'request')
      const bytes = formatRequest({ action: 'sleep', reason: '', nonce: null, parameters: [] })
      writeFileSync(frame, formatFrame(wireKind.request, bytes), { mode: 0o644 })
      const client = [join(at.directory, 'terminal-client'), at.bridge.socket, frame]
      for (let run = 0; run < 60; run++) {
        using terminal = at.open([...client, `${(run % 30) * 10}`, key])
        await terminal.expect(/answer 182\r\n/)
      }
      await until(() => at.bridge.outcomes().length === 60, 15_000)
      for (const { end } of at.bridge.outcomes()) {
        assert.deepEqual([end.kind, end.value], ['signalled', signal])
      }
    },
  )
}

test('terminal: one that shows nothing costs nobody but its run', { skip }, async () => {
  await using at = await startTerminalBridge()
  using terminal = at.open(at.bell('yes'))
  await terminal.expect(/y\r\n/)
  terminal.order('hold')
  const relay = relayOf(at)
  await new Promise((resolve) => setTimeout(resolve, 500))
  const spent = (): number => {
    const fields = readProc(`${relay}/stat`).split(' ')
    return Number(fields[13]) + Number(fields[14])
  }
  const before = spent()
  using other = at.open(at.bell('look'))
  assert.equal(await other.end, 0)
  await new Promise((resolve) => setTimeout(resolve, 1000))
  assert.ok(spent() - before <= 5, `${spent() - before} ticks of processor`)
  terminal.order('release')
  const outcome = await at.bridge.outcomeOf(async () => {
    terminal.type('\x03')
    assert.equal(await terminal.end, 130)
  })
  const { undelivered, terminal: shown } = capped(outcome)
  assert.deepEqual([undelivered, shown?.written], [false, shown?.delivered])
})
