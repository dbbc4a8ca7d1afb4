import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { wireKind } from '../../../src/core/protocol/layout.ts'
import { actionText } from '../../support/action-text.ts'
import { exitOf, readProc, startBridge, until } from '../../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const requests = 30
const policy = `
schema = 1
[profile.p]
${actionText('true', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["group:sudo"]
may = ["true"]
`

/** What the calls of one service show: how many records were synced, and how many frames of these kinds came while one was not. */
function orderOf(
  calls: string,
  kinds: readonly number[],
): Readonly<{ synced: number; sent: number; early: number }> {
  let isWritten = false
  const seen = { synced: 0, sent: 0, early: 0 }
  for (const line of calls.split('\n')) {
    const kind = /^write\(\d+, "(?:\\x..){4}\\x(..)\\x(..)/.exec(line)
    if (line.startsWith('pwrite64(')) isWritten = true
    else if (/^fdatasync\(.*= 0$/.test(line)) {
      seen.synced += isWritten ? 1 : 0
      isWritten = false
    } else if (kind !== null && kinds.includes(Number(`0x${kind[2]}${kind[1]}`))) {
      seen.sent += 1
      seen.early += isWritten ? 1 : 0
    }
  }
  return seen
}

test(
  'C63 promise 2: what says that a record is durable is sent after its fdatasync has returned, for each record',
  { skip, timeout: 60_000 },
  async () => {
    await using bridge = await startBridge({ policy })
    assert.equal((await bridge.bell(['true'])).status, 0)
    const rows = [
      { name: 'broker', kinds: [wireKind.recorded] },
      { name: 'executor', kinds: [wireKind.receipt, wireKind.open] },
    ] as const
    const traced = await Promise.all(
      rows.map(async ({ name, kinds }) => {
        const pid = bridge.pids()[name]
        const output = join(bridge.root, `order-${name}`)
        const calls = ['-e', 'trace=pwrite64,fdatasync,write', '-o', output, '-p', `${pid}`]
        const tracer = spawn('strace', ['-q', '-xx', '-s', '16', ...calls], { stdio: 'ignore' })
        await until(() => !/^TracerPid:\t0$/m.test(readProc(`${pid}/status`)), 5_000)
        return { name, kinds, output, tracer }
      }),
    )
    for (let at = 0; at < requests; at += 3) {
      const answers = await Promise.all([1, 2, 3].map(async () => await bridge.bell(['true'])))
      for (const { status } of answers) assert.equal(status, 0)
    }
    for (const { name, kinds, output, tracer } of traced) {
      tracer.kill('SIGTERM')
      await exitOf(tracer)
      const order = orderOf(readFileSync(output, 'utf8'), kinds)
      console.log(`${name}: ${JSON.stringify(order)}`)
      assert.ok(order.synced > 0)
      assert.deepEqual([order.sent, order.early], [requests * kinds.length, 0])
    }
  },
)
