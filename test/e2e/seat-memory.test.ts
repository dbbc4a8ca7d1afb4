/** What a run leaves in memory that outlives it is not the next run's to pay for, in whichever cgroup that runs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const other = { uid: caller.uid + 1, groups: [] } as const
const directory = mkdtempSync('/var/lib/belladonna-test.')
const kept = join(directory, 'kept')
let bridge: TestBridge

/** A file of a file system in memory is charged to the cgroup of who wrote it, for as long as it is there. */
const leave = `dd if=/dev/zero of=${kept}/$$.$(date +%N) bs=1M count=40`
/** Less than a seat may keep for another run of the same size, and more than one of a profile with little memory has left over. */
const leaveLittle = `dd if=/dev/zero of=${kept}/$$.$(date +%N) bs=1k count=`
const littles = [300, 900, 1800, 3000]
const need = 'dd if=/dev/zero of=/dev/null bs=24M count=1'

before(async () => {
  if (skip !== false) return
  mkdirSync(kept)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1g', 'none', kept])
  bridge = await startBridge({
    policy: `schema = 1
[profile.leaves]
write = ["${kept}"]
limits = { processes = 8, memory = "60M", time = "20s" }
[profile.needs]
limits = { processes = 8, memory = "36M", time = "20s" }
[profile.little]
limits = { processes = 8, memory = "1M", time = "20s" }
[profile.small]
limits = { processes = 8, memory = "2M", time = "20s" }
${actionText('little', 'little', ['/usr/bin/true'])}
${actionText('small', 'small', ['/usr/bin/true'])}
${littles.map((kib) => actionText(`leave.${kib}`, 'leaves', ['/usr/bin/dash', '-c', `${leaveLittle}${kib}`])).join('\n')}
${actionText('leave', 'leaves', ['/usr/bin/dash', '-c', leave])}
${actionText('need', 'needs', ['/usr/bin/dash', '-c', need])}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["leave", ${littles.map((kib) => `"leave.${kib}"`).join()}]
[[grant]]
who = ["uid:${other.uid}"]
may = ["need", "little", "small"]
`,
  })
})
after(async () => {
  if (skip === false) {
    await bridge[Symbol.asyncDispose]()
    execFileSync('umount', [kept])
  }
  rmSync(directory, { recursive: true, force: true })
})

test(
  'promise 7: C90: memory that outlives a run leaves the next one all that it may have',
  { skip, timeout: 60_000 },
  async () => {
    for (let turn = 0; turn < 12; turn += 1) {
      const { status, stderr } = await bridge.bell(['leave'])
      assert.deepEqual([status, stderr.includes('bell:')], [0, false], stderr)
    }
    for (let turn = 0; turn < 8; turn += 1) {
      const outcome = await bridge.outcomeOf(async () => {
        const { status, stderr } = await bridge.bell(['need'], other)
        assert.deepEqual([status, stderr.includes('bell:')], [0, false], stderr)
      })
      assert.notEqual(outcome.limits.memory, 'hit')
    }
  },
)

for (const kib of littles) {
  test(
    `promise 7: C90: ${kib} KiB that outlive each of another's runs keep no run of 1 or 2 MiB from its own`,
    { skip, timeout: 60_000 },
    async () => {
      for (let turn = 0; turn < 8; turn += 1) {
        const { status, stderr } = await bridge.bell([`leave.${kib}`])
        assert.deepEqual([status, stderr.includes('bell:')], [0, false], stderr)
      }
      for (const action of ['little', 'small']) {
        for (let turn = 0; turn < 6; turn += 1) {
          const { status, stderr } = await bridge.bell([action], other)
          assert.deepEqual([status, stderr], [0, ''])
        }
      }
    },
  )
}
