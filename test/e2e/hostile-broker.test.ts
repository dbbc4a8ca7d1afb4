import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { startBridge, until } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0

/** What an honest broker may also send at that moment; it starts nothing either. */
const harmless = new Set(['refuse to the launcher', 'dropped to the executor'])

test('promise 4: whatever a hostile broker sends, nothing runs and no receipt is made for it', { skip, timeout: 240_000 }, async () => {
  const evidence = mkdtempSync('/var/lib/belladonna-test.')
  const policy = `
schema = 1
[profile.p]
write = ["${evidence}"]
[action.touch]
about = "x"
command = ["/usr/bin/touch", "${evidence}/ran"]
run_as = "root"
profile = "p"
risk = "read-only"
[[grant]]
who = ["group:sudo"]
may = ["touch"]
`
  await using bridge = await startBridge({ policy, brokerProgram: 'hostile-broker.ts' })
  const log = join(bridge.root, 'var/lib/belladonna/log')
  const said = (): string => (existsSync(join(log, 'said')) ? readFileSync(join(log, 'said'), 'utf8') : '')
  const count = 2 * Object.keys(wireKind).length + 4
  for (let turn = 0; turn < 6; turn++) {
    // The launcher starts both again after each attack, ever more slowly: six of them show that, the rest start anew.
    await until(() => said().includes(`turn ${turn}: `), 40_000)
    await bridge.bell(['touch'])
  }
  await bridge.stop()
  for (let turn = 6; turn < count; turn++) {
    if (!said().includes(`turn ${turn}: `)) await bridge.startAgain()
    await until(() => said().includes(`turn ${turn}: `), 20_000)
    const name = new RegExp(`turn ${turn}: (.*)`).exec(said())?.[1] ?? ''
    const { pids } = bridge
    const before = pids()
    const asked = bridge.bell(['touch'])
    if (!harmless.has(name)) await until(() => pids().executor !== before.executor, 20_000)
    await bridge.stop()
    assert.notEqual((await asked).status, 0, name)
    assert.equal(existsSync(join(evidence, 'ran')), false, name)
  }
  rmSync(evidence, { recursive: true })
  // "intend twice" makes the one receipt that its first half earned; nothing ran on it.
  assert.ok(bridge.receiptCount() <= 1)
  for (const name of ['execve', 'shadow', 'outside', 'key', 'connect']) {
    assert.match(said(), new RegExp(`could not ${name}`))
  }
  assert.doesNotMatch(said(), /^could (?!not)/m)
})
