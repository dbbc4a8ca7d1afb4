/** Who may ask cannot fill the log with refusals: beyond a budget they are counted, and others are recorded as ever. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
let bridge: TestBridge
before(async () => {
  if (skip) return
  bridge = await startBridge({
    policy: `schema = 1
[profile.p]
${actionText('x', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["x"]
`,
  })
})
after(async () => {
  if (!skip) await bridge[Symbol.asyncDispose]()
})

function denialsOf(uid: number): number {
  return bridge.entries().filter((entry) => entry.kind === 'denial' && entry.subject.uid === uid)
    .length
}

type Counts = Readonly<{ denied: number; unlogged_granted: number; unlogged_strangers: number }>

async function counts(): Promise<Counts> {
  const status: Readonly<{ counts: Counts }> = JSON.parse((await bridge.status()).stdout)
  return status.counts
}

test(
  'promise 7: promise 9: C66: a stranger who asks without end has few entries, all are counted, and others have theirs',
  { skip, timeout: 60_000 },
  async () => {
    const [stranger, asked] = [61_999, 24]
    const ask = ['x', `p=${'x'.repeat(3_000)}`]
    const before = await counts()
    for (let at = 0; at < asked; at += 1) {
      const { status, stderr } = await bridge.bell(ask, { uid: stranger, groups: [] })
      assert.equal(status, 127, stderr)
      assert.match(stderr, /action_unknown/)
    }
    const logged = denialsOf(stranger)
    assert.ok(logged >= 16 && logged < asked, `${logged}`)
    const now = await counts()
    assert.equal(now.denied - before.denied, asked)
    assert.equal(now.unlogged_strangers, asked - logged)
    // Another stranger, a user of a grant, and a run.
    assert.equal((await bridge.bell(['x'], { uid: 61_998, groups: [] })).status, 127)
    assert.equal(denialsOf(61_998), 1)
    for (let at = 0; at < asked; at += 1) await bridge.bell(['none', `p=${'x'.repeat(3_000)}`])
    assert.equal(denialsOf(caller.uid), asked)
    assert.equal((await bridge.bell(['x'])).status, 0)
    assert.equal((await counts()).unlogged_granted, 0)
    assert.deepEqual((await bridge.verify()).problems, [])
  },
)
