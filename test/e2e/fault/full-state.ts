/**
 * A bridge whose state lies on a file system that gets full while log and receipts still have what was prepared for them.
 * full-disk.test.ts starts it in a mount namespace of its own.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startBridge } from '../../support/bridge.ts'

const root = mkdtempSync('/tmp/belladonna.')
chmodSync(root, 0o755)
const lib = join(root, 'var/lib/belladonna')
mkdirSync(lib, { recursive: true, mode: 0o755 })
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m,mode=755', 'none', lib])
const action = (name: string): string => `[action.${name}]
about = "x"
command = ["/usr/bin/true"]
run_as = "root"
profile = "p"
risk = "read-only"
`
const policy = `schema = 1
[profile.p]
${action('counted')}
${action('free')}
[[grant]]
who = ["group:sudo"]
may = ["counted"]
uses = 1000
[[grant]]
who = ["group:sudo"]
may = ["free"]
`
await using bridge = await startBridge({ policy, root })
await using cleaning = new AsyncDisposableStack()
cleaning.defer(async () => {
  await bridge.stop()
  execFileSync('umount', [lib])
})
const pids = bridge.pids()
assert.equal((await bridge.bell(['counted'])).status, 0)
for (let left = 1; left > 0;) {
  const { bavail, bsize } = statfsSync(lib)
  left = bavail
  const name = `ballast${readdirSync(lib).length}`
  if (left > 0) writeFileSync(join(lib, name), Buffer.alloc(left * bsize, 1))
}
const { status, stderr } = await bridge.bell(['--json', 'counted'])
assert.equal(status, 125)
assert.match(stderr, /"code":"log_full"/)
assert.equal((await bridge.bell(['free'])).status, 0) // in what was prepared
assert.deepEqual(bridge.pids(), pids)
