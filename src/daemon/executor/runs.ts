import type { MadeReceipt, ReceiptHead } from '../../core/audit/receipt.ts'
import type { ExecutableDigests } from '../../core/policy/foresee.ts'
import type { Subject } from '../../core/identity.ts'

/**
 * Where a run stands, as the executor sees it. It goes down this list and never back:
 *
 *   resolved   we would permit it; the broker has our digest
 *   replaced   instead of the next: the policy that permitted it is in force no more, so it can only be dropped
 *   intended   the broker came to the same digest and is recording; our receipt is in one of the next batches
 *   receipted  our receipt is durable
 *   open       receipt and entry are durable, the gate is open
 *
 * `entry` arrives between intended and open, before or after our own receipt is durable.
 */
export type RunStage = 'resolved' | 'replaced' | 'intended' | 'receipted' | 'open'

/** One run that has not ended. Fields that change are the executor's frame handlers'. */
export type Run = {
  readonly run: number
  readonly subject: Subject
  readonly actionDigest: string
  readonly nonce: string
  readonly timeMs: number
  readonly notAfterMs: number
  /** Id of its action, and what runs. */
  readonly action: string
  readonly program: ExecutableDigests
  /** Makes RESOLVED, for a broker that does not foresee it. */
  readonly answer: () => Uint8Array
  isAnswered: boolean
  /** Whether the broker may have foreseen another action: what it says of that one, once, is passed over. */
  stale: 'possible' | 'seen' | 'impossible'
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
/** Most that are kept, with those that the broker has refused and we have not heard of: in all, and of one uid. */
const maxKept = 4 * maxRuns
const maxKeptOfOne = maxRuns

/** Most refusals that may overtake their requests: as many as the launcher holds of the shortest requests, in 4 MiB. */
export const maxRefusedEarly = 65_536

/** Whether there is no place for one more run of this subject. Who has many refused leaves places to others. */
export function isCrowded(
  runs: ReadonlyMap<number, Run>,
  { uid }: Subject,
  readingCount: number,
): boolean {
  if (runs.size + readingCount < maxKeptOfOne) return false
  if (runs.size + readingCount >= maxKept) return true
  let count = 0
  for (const run of runs.values()) if (run.subject.uid === uid) count += 1
  return count >= maxKeptOfOne
}

/**
 * Whether the sandbox may be built while the record is being written. One a subject and `most` in all, so that nobody
 * can fill the host with prepared starts (DESIGN.md section 4).
 */
export function mayPrepare(
  runs: ReadonlyMap<number, Run>,
  subject: Subject,
  most: number,
): boolean {
  let count = 0
  for (const run of runs.values()) {
    if (!run.prepared || run.stage === 'open') continue
    count += 1
    if (run.subject.uid === subject.uid) return false
  }
  return count < most
}
