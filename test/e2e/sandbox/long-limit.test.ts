/** Time limits that are longer than what epoll_wait(2) can wait for at once. A policy has none over a day; a plan may. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { actionText } from '../../support/action-text.ts'
import { exitOf, readProc, until } from '../../support/bridge.ts'
import { startBare } from './bare-bridge.ts'

const skip = process.geteuid?.() !== 0
const policy = `schema = 1
[profile.p]
read = ["/usr"]
${actionText('sleep', 'p', ['/usr/bin/sleep', '1'])}
[[grant]]
who = ["group:sudo"]
may = ["sleep"]
`
const dayMs = 86_400_000
const longestWaitMs = 2 ** 31 - 1

test(
  'promise 7: a time limit of over 24.8 days does not wrap: the launcher waits for it, in parts',
  { skip, timeout: 60_000 },
  async () => {
    await using bare = await startBare(policy)
    const { launcher } = bare.bridge.pids()
    const plan = bare.plan('p')
    for (const [days, least, most] of [
      [10, 10 * dayMs - 5000, 10 * dayMs],
      [25, longestWaitMs, longestWaitMs],
      [49, longestWaitMs, longestWaitMs],
    ] as const) {
      const output = join(bare.bridge.root, `strace-${days}`)
      const words = ['-q', '-o', output, '-e', 'trace=epoll_wait,epoll_pwait', '-p', `${launcher}`]
      const tracer = spawn('strace', words, { stdio: 'ignore' })
      await until(() => !/^TracerPid:\t0$/m.test(readProc(`${launcher}/status`)), 5_000)
      const long = { ...plan, timeLimitMs: days * dayMs }
      assert.equal((await bare.run(long, ['/usr/bin/sleep', '1'])).status, 0)
      tracer.kill('SIGTERM')
      await exitOf(tracer)
      const waits = [
        ...readFileSync(output, 'utf8').matchAll(/, 64, (-?\d+)(?:, NULL, 8)?\)/g),
      ].map(([, ms]) => Number(ms))
      assert.ok(waits.length > 3, 'strace saw it wait')
      assert.ok(
        waits.some((ms) => ms >= least && ms <= most),
        `${days} days: ${waits.join(' ')}`,
      )
      assert.deepEqual(
        waits.filter((ms) => ms < -1),
        [],
      )
    }
  },
)
