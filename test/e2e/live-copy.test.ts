/** Copies a log while it is written, in both orders, and verifies each copy; then spoils what was signed. */
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { VerifyReport } from '../../src/core/audit/verify-report.ts'
import { BelladonnaError } from '../../src/core/error.ts'
import { verifyDirectory } from '../../src/host/read-log.ts'
import { actionText } from '../support/action-text.ts'
import { startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const copies = 24
const policy = `
schema = 1
[profile.p]
${actionText('true', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["group:sudo"]
may = ["true"]
`

/** The checkpoint first, as docs/how-to/verify-a-copied-log.md says; the other two in this order. */
async function copyLog(
  bridge: TestBridge,
  target: string,
  order: readonly string[],
): Promise<void> {
  const from = join(bridge.root, 'var/lib/belladonna')
  for (const name of ['log', 'receipts', 'state']) {
    mkdirSync(join(target, name), { recursive: true })
  }
  for (const name of ['state/host.pub', 'log/checkpoint', ...order]) {
    copyFileSync(join(from, name), join(target, name))
    await sleep(15) // a slow copy: runs begin and end between two files
  }
}

const files = ['receipts/receipts.wal', 'log/entries.wal'] as const

async function verifyCopy(directory: string): Promise<VerifyReport> {
  const report = await verifyDirectory(directory, { isCopy: true })
  assert.ok(report !== undefined)
  return report
}

test(
  'C67 promise 5: every copy of a log that is being written verifies, and none whose signed part was changed',
  { skip, timeout: 120_000 },
  async () => {
    await using bridge = await startBridge({ policy })
    assert.equal((await bridge.bell(['true'])).status, 0)
    await until(async () => (await bridge.verify()).unsigned_tail === 0, 5_000)
    let copying = true
    let runs = 0
    const clients = Array.from({ length: 4 }, async () => {
      for (; copying; runs += 1) assert.equal((await bridge.bell(['true'])).status, 0)
    })
    const seen = { copies: 0, entries: 0, unsigned: 0, unentered: 0, ahead: 0, damaged: 0 }
    const target = join(bridge.root, 'copy')
    for (; seen.copies < copies; seen.copies += 1) {
      await copyLog(bridge, target, seen.copies % 2 === 0 ? files : files.toReversed())
      const report = await verifyCopy(target)
      assert.deepEqual(report.problems, [], `copy ${seen.copies}`)
      seen.entries += report.entries
      seen.unsigned += report.unsigned_tail > 0 ? 1 : 0
      seen.unentered += report.unentered_receipts > 0 ? 1 : 0
      seen.ahead += report.receipts_ahead > 0 ? 1 : 0
      seen.damaged += report.tail_damage === null ? 0 : 1
    }
    copying = false
    await Promise.all(clients)
    console.log(JSON.stringify({ runs, ...seen }))
    const tails = [seen.unsigned, seen.unentered, seen.ahead]
    assert.ok(
      tails.every((count) => count > 0),
      'a kind of tail that no copy had: nothing was shown',
    )
    await assertSpoiledIsFound(target)
  },
)

/** Every entry and receipt that the checkpoint of this copy covers, changed by one bit. */
async function assertSpoiledIsFound(copy: string): Promise<void> {
  const spoiled = `${copy}.spoiled`
  const { signed_size: entries, signed_receipts: receipts } = await verifyCopy(copy)
  for (const [name, count, mark] of [
    ['log/entries.wal', entries, '"salt":"'],
    ['receipts/receipts.wal', receipts, '"nonce":"'],
  ] as const) {
    const bytes = readFileSync(join(copy, name))
    let at = 0
    for (let index = 0; index < count; index += 1) {
      at = bytes.indexOf(mark, at + 1)
      assert.ok(at > 0, `${name} ${index}`)
      if (index % Math.ceil(count / 10) !== 0) continue
      cpSync(copy, spoiled, { recursive: true })
      const changed = Buffer.from(bytes)
      changed[at + mark.length] = (changed[at + mark.length] ?? 0) ^ 1
      writeFileSync(join(spoiled, name), changed)
      assert.ok(await isRefused(spoiled), `${name}: a change of record ${index} is not found`)
      rmSync(spoiled, { recursive: true })
    }
  }
}

async function isRefused(directory: string): Promise<boolean> {
  try {
    return !(await verifyCopy(directory)).ok
  } catch (error) {
    if (error instanceof BelladonnaError) return error.code === 'log_corrupt'
    throw error
  }
}
