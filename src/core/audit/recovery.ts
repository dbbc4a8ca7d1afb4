import { digestKey } from './digest-key.ts'
import type { Entry, RecoveredEntry } from './entry.ts'
import { parseEntry } from './entry-parse.ts'
import { parseReceipt } from './receipt.ts'

/** What the next start has to say of one run. Salt, time and policy are the writer's to add. */
export type Unclosed = Pick<
  RecoveredEntry,
  'kind' | 'run' | 'actionDigest' | 'intent' | 'receipt' | 'state'
>

/** Follows the log and the receipts, and knows at any time which runs have no end. */
export type RunLedger = Readonly<{
  /** Takes the entry at `index`. Entries come in order. */
  addEntry: (entry: Entry, index: number) => void
  /** Takes one record of the receipts file, in any order, before or after its entries. */
  addReceipt: (record: Uint8Array) => void
  /** Runs without an end: by their intents in order, then by receipts that have no intent. */
  unclosed: () => readonly Unclosed[]
}>

type OpenRun = Readonly<{
  run: number
  intent: number | null
  receipt: Readonly<{ number: number; text: string }> | null
}>

const decoder = new TextDecoder()

/**
 * Opens an empty ledger.
 *
 * It keeps what came since the last `start` only: everything before that is closed, or else `verifyLog` says so.
 */
export function openRunLedger(): RunLedger {
  // By action digest, and by the intent's index. addEntry and addReceipt write them.
  const open = new Map<string, OpenRun>()
  const closed = new Set<string>()
  const digests = new Map<number, string>()
  let closedReceipts = 0
  const close = (digest: string): void => {
    open.delete(digest)
    closed.add(digestKey(digest))
  }
  const forgetBefore = (count: number): void => {
    closedReceipts = count
    closed.clear()
    digests.clear()
    for (const [digest, { receipt }] of open) {
      if (receipt === null || receipt.number <= count) open.delete(digest)
    }
  }
  return {
    addEntry: (entry, index) => {
      if (entry.kind === 'intent') {
        const { run, actionDigest } = entry
        const receipt = open.get(actionDigest)?.receipt ?? null
        open.set(actionDigest, { run, intent: index, receipt })
        digests.set(index, actionDigest)
      } else if (entry.kind === 'outcome') {
        close(digests.get(entry.intent) ?? '')
        digests.delete(entry.intent)
      } else if (entry.kind === 'recovered') {
        close(entry.actionDigest)
      } else if (entry.kind === 'start') {
        forgetBefore(entry.receipts.count)
      }
    },
    addReceipt: (record) => {
      const { number, run, actionDigest } = parseReceipt(record)
      if (number <= closedReceipts || closed.has(digestKey(actionDigest))) return
      const intent = open.get(actionDigest)?.intent ?? null
      const text = decoder.decode(record)
      open.set(actionDigest, { run, intent, receipt: { number, text } })
    },
    unclosed: () => {
      const all = Array.from(open, ([actionDigest, { run, intent, receipt }]): Unclosed => {
        const state = receipt === null ? 'never_started' : 'unknown'
        const text = receipt?.text ?? null
        return { kind: 'recovered', run, actionDigest, intent, receipt: text, state }
      })
      return all.sort((a, b) => (a.intent ?? Infinity) - (b.intent ?? Infinity) || a.run - b.run)
    },
  }
}

/**
 * What a start must append, before its own `start` and in the same append, for runs that a crash left without an end.
 *
 * @param receipts at least those after the last `start`; more does no harm
 * @throws {BelladonnaError} `input_invalid` for a record that cannot be read
 */
export function findUnclosed(
  entries: Iterable<Uint8Array>,
  receipts: Iterable<Uint8Array>,
): readonly Unclosed[] {
  const ledger = openRunLedger()
  let index = 0
  for (const entry of entries) {
    ledger.addEntry(parseEntry(entry), index)
    index += 1
  }
  for (const record of receipts) ledger.addReceipt(record)
  return ledger.unclosed()
}
