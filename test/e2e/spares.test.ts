/** Processes that wait for a run, and those that clone them on hosts with v1 controllers (ADR 0013): what if they end. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
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

/** Mount namespaces of the processes that wait, without the launcher's own. */
function rootsAhead(bridge: TestBridge): number {
  const { launcher } = bridge.pids()
  const namespaceOf = (pid: number): string => {
    try {
      return readlinkSync(`/proc/${pid}/ns/mnt`)
    } catch {
      return ''
    }
  }
  const own = namespaceOf(launcher)
  return waiting(bridge).filter((pid) => ![own, ''].includes(namespaceOf(pid))).length
}

test(
  'spares: where one plan follows itself they build its root ahead, and never serve another plan with it',
  { skip },
  async () => {
    const directory = mkdtempSync('/var/lib/belladonna-test.')
    const [mine, other] = [join(directory, 'mine'), join(directory, 'other')]
    for (const path of [mine, other]) writeFileSync(path, path)
    await using bridge = await startBridge({
      policy: `schema = 1
[profile.mine]
read = ["/usr", "${mine}"]
[profile.other]
read = ["/usr", "${other}"]
${actionText('mine', 'mine', ['/usr/bin/cat', mine])}
${actionText('other', 'other', ['/usr/bin/cat', mine, other])}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["mine", "other"]
`,
    })
    chmodSync(directory, 0o755)
    for (let run = 0; run < 6; run += 1) {
      assert.deepEqual(await bridge.bell(['mine']), { status: 0, stdout: mine, stderr: '' })
    }
    await until(() => rootsAhead(bridge) >= 2, 5_000)
    for (let run = 0; run < 6; run += 1) {
      const { stdout, stderr } = await bridge.bell(['other'])
      assert.equal(stdout, other)
      assert.match(stderr, /mine: No such file or directory/)
    }
    // Another file at the path that the roots were built with: they are of the past.
    for (let run = 0; run < 3; run += 1) await bridge.bell(['mine'])
    await until(() => rootsAhead(bridge) >= 1, 5_000)
    writeFileSync(`${mine}.new`, 'new')
    renameSync(`${mine}.new`, mine)
    assert.equal((await bridge.bell(['mine'])).stdout, 'new')
    // And a change of the host's mounts ends them.
    for (let run = 0; run < 3; run += 1) await bridge.bell(['mine'])
    await until(() => rootsAhead(bridge) >= 1, 5_000)
    mkdirSync(join(directory, 'mount'))
    execFileSync('mount', ['-t', 'tmpfs', 'belladonna-test', join(directory, 'mount')])
    try {
      await until(() => rootsAhead(bridge) === 0, 5_000)
    } finally {
      execFileSync('umount', [join(directory, 'mount')])
    }
    assert.equal((await bridge.bell(['mine'])).stdout, 'new')
    assert.deepEqual((await bridge.verify()).problems, [])
    rmSync(directory, { recursive: true })
  },
)
