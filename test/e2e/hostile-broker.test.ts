import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { actionText } from '../support/action-text.ts'
import { run, startBridge, until } from '../support/bridge.ts'
import { installPolicyText } from '../support/install-policy.ts'

const skip = process.geteuid?.() !== 0

/** What an honest broker may also send at that moment; it starts nothing either. */
const harmless = new Set(['refuse to the launcher', 'dropped to the executor'])

/** So many bridges, each with a share of the attacks. */
const shares = 6

describe('a hostile broker', { concurrency: shares, timeout: 240_000 }, () => {
  for (let share = 0; share < shares; share++) {
    test(
      `promise 4: whatever a hostile broker sends, nothing runs and no receipt is made for it: share ${share + 1} of ${shares}`,
      { skip, timeout: 240_000 },
      async () => {
        await attack(share)
      },
    )
  }
})

test(
  'promise 4: what the executor would not permit does not run, though a hostile broker records it as if it were',
  { skip, timeout: 60_000 },
  async () => {
    const evidence = mkdtempSync('/var/lib/belladonna-test.')
    const approval = 'approval = { need = 1, from = "oncall" }'
    const names = ['none', 'expired', 'asked', 'granted']
    const policy = `
schema = 1
[profile.p]
write = ["${evidence}"]
${names.map((name) => actionText(name, 'p', ['/usr/bin/touch', `${evidence}/${name}`]) + (name === 'asked' ? `\n${approval}` : '')).join('\n')}
[approvers.oncall]
members = ["webauthn:x"]
[[grant]]
who = ["uid:61291"]
may = ["none"]
[[grant]]
who = ["group:sudo"]
may = ["expired"]
until = 2020-01-01T00:00:00Z
[[grant]]
who = ["group:sudo"]
may = ["asked", "granted"]
[[grant]]
who = ["uid:0"]
may = ["granted"]
`
    await using bridge = await startBridge({
      policy,
      brokerProgram: 'hostile-broker.ts',
      brokerEnvironment: ['BELLADONNA_TEST_SHARE=denied'],
    })
    await new Promise((resolve) => bridge.launcher().stdout?.once('data', resolve))
    const elsewhere = ['/usr/bin/unshare', '--user', '--map-root-user', bridge.bellPath]
    const requests = [
      ...['none', 'expired', 'asked'].map((name) => async () => await bridge.bell([name])),
      async () => await bridge.bell(['granted'], { groups: [] }),
      async () => await run([...elsewhere, '-S', bridge.socket, 'granted']), // as uid 0, who has a grant
    ]
    for (const [at, request] of requests.entries()) {
      const { status, stderr } = await request()
      assert.deepEqual([status, /disagreement/.test(stderr)], [125, true], `${at}: ${stderr}`)
      assert.deepEqual(readdirSync(evidence), [])
    }
    assert.equal(bridge.receiptCount(), 0)
    const said = readFileSync(join(bridge.root, 'var/lib/belladonna/log/said'), 'utf8')
    assert.equal(said.match(/^recorded \d+$/gm)?.length, requests.length)
    // What it would permit does run, so that the rows above can fail.
    assert.equal((await bridge.bell(['granted'])).status, 0)
    assert.deepEqual([readdirSync(evidence), bridge.receiptCount()], [['granted'], 1])
    rmSync(evidence, { recursive: true })
  },
)

async function attack(share: number): Promise<void> {
  const evidence = mkdtempSync('/var/lib/belladonna-test.')
  const policy = `
schema = 1
[profile.p]
write = ["${evidence}"]
${actionText('touch', 'p', ['/usr/bin/touch', `${evidence}/ran`])}
[[grant]]
who = ["group:sudo"]
may = ["touch"]
`
  await using bridge = await startBridge({
    policy,
    brokerProgram: 'hostile-broker.ts',
    brokerEnvironment: [`BELLADONNA_TEST_SHARE=${share}/${shares}`],
  })
  const log = join(bridge.root, 'var/lib/belladonna/log')
  const said = (): string =>
    existsSync(join(log, 'said')) ? readFileSync(join(log, 'said'), 'utf8') : ''
  const count = Math.ceil((2 * Object.keys(wireKind).length + 10 - share) / shares)
  let installs = 0
  /** Another policy, once the run that was asked for is resolved under the one before. */
  const reloadSoon = async (): Promise<void> => {
    const another = policy.replace('about = "x"', `about = "${(installs += 1)}"`)
    installPolicyText(bridge.root, another)
    await sleep(300)
    bridge.launcher().kill('SIGHUP')
  }
  const turnOf = (): number => Number([...said().matchAll(/^turn (\d+): /gm)].at(-1)?.[1] ?? -1)
  for (let restarts = 0; !said().includes('done'); restarts++) {
    assert.ok(restarts < count, said())
    const begun = Date.now()
    let turn = turnOf()
    // A launcher waits longer before each restart, so after some attacks another one takes over.
    while (!said().includes('done') && Date.now() - begun < 4_000) {
      const isReload = said().includes(`turn ${turnOf()}: reload`)
      const receipts = bridge.receiptCount()
      const asked = bridge.bell(['touch'])
      if (isReload) await reloadSoon()
      const answer = await asked
      if (isReload) assert.equal(bridge.receiptCount(), receipts, said())
      assert.notEqual(answer.status, 0, `turn ${turnOf()}`)
      assert.equal(existsSync(join(evidence, 'ran')), false, `turn ${turnOf()}`)
      const name = new RegExp(`turn ${turnOf()}: (.*)`).exec(said())?.[1] ?? ''
      if (turn === turnOf() && harmless.has(name)) break
      turn = turnOf()
      await sleep(50)
    }
    await bridge.stop()
    if (!said().includes('done')) await bridge.startAgain()
    await until(() => said().includes('done') || turnOf() > turn, 20_000)
  }
  for (let turn = 0; turn < count; turn++) assert.match(said(), new RegExp(`turn ${turn}: `))
  rmSync(evidence, { recursive: true })
  // "intend twice" makes the one receipt that its first half earned; nothing ran on it.
  assert.ok(bridge.receiptCount() <= 1)
  for (const name of ['execve', 'shadow', 'outside', 'key', 'connect']) {
    assert.match(said(), new RegExp(`could not ${name}`))
  }
  assert.doesNotMatch(said(), /^could (?!not)/m)
}
