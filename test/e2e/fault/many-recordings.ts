/** Somebody records until the disk takes no more recordings; see small-disk.ts. */
import assert from 'node:assert/strict'
import { grantedActionText as granted } from '../../support/action-text.ts'
import { until } from '../../support/bridge.ts'
import { startOnSmallDisk } from './small-disk.ts'

const policy = `schema = 1
[profile.kept]
output = "recorded"
limits = { output = "1M", time = "30s", memory = "128M" }
[profile.plain]
${granted('fills', 'kept', ['/usr/bin/dash', '-c', 'head -c 1000000 /dev/zero'])}
${granted('look', 'plain', ['/usr/bin/true'])}
`
await using disk = await startOnSmallDisk(policy, '64m')
const { bridge } = disk

let kept = 0
for (;;) {
  const { status, stderr } = await bridge.bell(['fills'])
  if (status !== 0) {
    assert.match(stderr, /not started: recording: No space left on device/)
    break
  }
  kept += 1
}
assert.ok(kept > 40 && kept < 64, `${kept}`)

// What others ask for is still recorded, each by itself, be it refused or not.
for (let turn = 0; turn < 3; turn += 1) {
  const before = bridge.entries().length
  const { status, stderr } = await bridge.bell(['no.such'])
  assert.equal(status, 127)
  assert.match(stderr, /\(entry \d+\)/)
  assert.ok(bridge.entries().length > before)
}
assert.equal((await bridge.bell(['look'])).status, 0)
await until(async () => (await bridge.verify()).problems.length === 0, 10_000) // once it is signed
