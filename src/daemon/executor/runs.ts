import type { MadeReceipt, ReceiptHead } from '../../core/audit/receipt.ts'
import type { Subject } from '../../core/identity.ts'

/**
 * Where a run stands, as the executor sees it. It goes down this list and never back:
 *
 *   resolved   we would permit it; the broker has our digest
 *   intended   the broker came to the same digest and is recording; our receipt is in the next batch
 *   receipted  our receipt is durable
 *   open       receipt and entry are durable, the gate is open
 *
 * `entry` arrives between intended and open, before or after our own receipt is durable.
 */
export type RunStage = 'resolved' | 'intended' | 'receipted' | 'open'

/** One run that has not ended. Fields that change are the executor's frame handlers'. */
export type Run = {
  readonly run: number
  readonly subject: Subject
  readonly actionDigest: string
  readonly nonce: string
  readonly timeMs: number
  readonly notAfterMs: number
  /** PREPARE; sent at once for a prepared start, else with OPEN. */
  readonly prepare: Uint8Array
  prepared: boolean
  stage: RunStage
  /** Index of the intent's entry; set by RECORDED. */
  entry: number | null
  /** Number of our receipt; set when it is made. */
  receipt: number | null
  /** Its bytes; empty until it is made. */
  receiptRecord: Uint8Array
  /** Its receipt, if it was signed ahead, and the head that it follows. */
  ahead: Readonly<{ follows: ReceiptHead; receipt: MadeReceipt }> | null
  /** The grant whose `uses` count it, or null. */
  readonly use: string | null
  /** Lets go of what was made for this run alone. */
  readonly release: () => void
}

/** Most runs that wait for their record at once; the launcher has no more slots. */
export const maxRuns = 128
const maxPrepared = 16

/**
 * Whether the sandbox may be built while the record is being written. One a subject and sixteen in all, so that nobody
 * can fill the host with prepared starts (DESIGN.md section 4).
 */
export function mayPrepare(runs: ReadonlyMap<number, Run>, subject: Subject): boolean {
  let count = 0
  for (const run of runs.values()) {
    if (!run.prepared || run.stage === 'open') continue
    count += 1
    if (run.subject.uid === subject.uid) return false
  }
  return count < maxPrepared
}
