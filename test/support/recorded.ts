/** Holds what the disk shows against what ran: by identity, never by count. */
import assert from 'node:assert/strict'
import type { Entry } from '../../src/core/audit/entry.ts'
import { parseReceipt } from '../../src/core/audit/receipt.ts'
import type { Receipt } from '../../src/core/audit/receipt.ts'
import type { TestBridge } from './bridge.ts'

const encoder = new TextEncoder()

type Recorded = Readonly<{
  intents: ReadonlyMap<number, Extract<Entry, { kind: 'intent' }>>
  receipts: ReadonlyMap<string, Receipt>
  /** The receipt in the end of the run, by the action digest of the run. */
  ends: ReadonlyMap<string, Receipt | null>
}>

function readRecorded(bridge: TestBridge): Recorded {
  const intents = new Map<number, Extract<Entry, { kind: 'intent' }>>()
  const ends = new Map<string, Receipt | null>()
  bridge.entries().forEach((entry, index) => {
    if (entry.kind === 'intent') intents.set(index, entry)
    if (entry.kind !== 'outcome' && entry.kind !== 'recovered') return
    const digest =
      entry.kind === 'recovered' ? entry.actionDigest : intents.get(entry.intent)?.actionDigest
    assert.ok(digest !== undefined, `entry ${index}: an end without its intent`)
    assert.ok(!ends.has(digest), `entry ${index}: a second end of ${digest}`)
    ends.set(digest, entry.receipt === null ? null : parseReceipt(encoder.encode(entry.receipt)))
  })
  const receipts = new Map(bridge.receipts().map((receipt) => [receipt.actionDigest, receipt]))
  return { intents, receipts, ends }
}

/**
 * Whatever ran has its own intent, its own receipt, and its own end that holds this receipt; so has every run that was
 * acknowledged, and that one did run; and each receipt there is belongs to one end.
 *
 * @param ran what runs left behind: each name is the last part of the last word of the command that made it
 */
export function assertRecorded(
  bridge: TestBridge,
  ran: readonly string[],
  acknowledged: ReadonlySet<string>,
): void {
  const { intents, receipts, ends } = readRecorded(bridge)
  const byName = new Map([...intents.values()].map((intent) => [nameOf(intent.action), intent]))
  for (const name of acknowledged)
    assert.ok(ran.includes(name), `${name} was acknowledged and did not run`)
  for (const name of ran) {
    const intent = byName.get(name)
    assert.ok(intent !== undefined, `${name} ran without an intent`)
    const receipt = receipts.get(intent.actionDigest)
    assert.ok(receipt !== undefined, `${name} ran without a receipt`)
    assert.equal(receipt.run, intent.run, `${name}: the receipt of another run`)
    assert.deepEqual(ends.get(intent.actionDigest), receipt, `${name}: its end has another receipt`)
  }
  for (const [digest, receipt] of receipts)
    assert.deepEqual(ends.get(digest), receipt, `receipt ${receipt.number} has no end of its own`)
}

function nameOf(action: string): string {
  return /"argv":\[[^\]]*\/([^"/]+)"\]/.exec(action)?.[1] ?? ''
}
