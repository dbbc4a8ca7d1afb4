/** Processes that wait for a run, and those that clone them on hosts with v1 controllers (ADR 0013): what if they end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { caller, childrenOf, readProc, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const policy = `schema = 1
[profile.plain]
[profile.small]
limits = { memory = "1M", processes = 1 }
[profile.large]
limits = { memory = "64M", processes = 8 }
${['plain', 'small', 'large'].map((name) => actionText(name, name, ['/usr/bin/true'])).join('\n')}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["plain", "small", "large"]
`

function waiting(bridge: TestBridge): readonly number[] {
  const { launcher, broker, executor } = bridge.pids()
  return childrenOf(launcher).filter((pid) => pid !== broker && pid !== executor)
}

/** The line of /proc/PID/status, or nothing for a process that is gone. */
function stateOf(pid: number): string {
  return /^State:.*$/m.exec(readProc(`${pid}/status`))?.[0] ?? ''
}

test(
  'spares: when somebody ends them all, the next runs start all the same',
  { skip },
  async () => {
    await using bridge = await startBridge({ policy })
    for (let round = 0; round < 3; round += 1) {
      const pids = waiting(bridge)
      assert.ok(pids.length > 0)
      for (const pid of pids) process.kill(pid, 'SIGKILL')
      // Who is being ended may still take a run along: only afterwards is anything promised.
      await until(() => pids.every((pid) => /^(?:|State:\t[ZX].*)$/m.test(stateOf(pid))), 5_000)
      for (let run = 0; run < 6; run += 1) {
        assert.equal((await bridge.bell(['plain'])).status, 0, `round ${round}, run ${run}`)
      }
    }
    assert.deepEqual((await bridge.verify()).problems, [])
  },
)

test(
  'spares: a run of little memory leaves nothing that the next ones suffer from',
  { skip },
  async () => {
    await using bridge = await startBridge({ policy })
    for (let round = 0; round < 10; round += 1) {
      await bridge.bell(['small']) // it may itself end for want of memory
      assert.equal((await bridge.bell(['large'])).status, 0, `round ${round}`)
      assert.equal((await bridge.bell(['plain'])).status, 0, `round ${round}`)
    }
  },
)
