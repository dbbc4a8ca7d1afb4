/** A bridge whose state lies on a file system that gets full while log and receipts still have what was prepared for them. */
import assert from 'node:assert/strict'
import { actionText } from '../../support/action-text.ts'
import { startOnSmallDisk } from './small-disk.ts'

const policy = `schema = 1
[profile.p]
${actionText('counted', 'p', ['/usr/bin/true'])}
${actionText('free', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["group:sudo"]
may = ["counted"]
uses = 1000
[[grant]]
who = ["group:sudo"]
may = ["free"]
`
await using disk = await startOnSmallDisk(policy)
const { bridge } = disk
const pids = bridge.pids()
assert.equal((await bridge.bell(['counted'])).status, 0)
disk.fillUp()
const { status, stderr } = await bridge.bell(['--json', 'counted'])
assert.equal(status, 125)
assert.match(stderr, /"code":"log_full"/)
assert.equal((await bridge.bell(['free'])).status, 0) // in what was prepared
assert.deepEqual(bridge.pids(), pids)
