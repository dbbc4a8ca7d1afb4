/** What can be wrong with a log, its receipts or its checkpoint. */
export type VerifyCode =
  | 'checkpoint_invalid' // no checkpoint, or not signed by the key
  | 'checkpoint_missing'
  | 'checkpoint_receipts' // the receipts are not those that the checkpoint counts
  | 'root_mismatch'
  | 'log_shorter_than_signed'
  | 'entry_malformed'
  | 'host_mismatch'
  | 'action_digest' // an entry's resolved action is not what its digest says
  | 'intent_duplicate'
  | 'policy_mismatch' // an intent under another policy than the entries before it say
  | 'intent_missing' // an outcome without its intent
  | 'run_mismatch' // entries or receipt of one run contradict each other
  | 'run_unclosed' // a start did not close the runs before it
  | 'receipt_malformed'
  | 'receipt_chain' // number, hash or time does not follow
  | 'receipt_signature'
  | 'receipt_duplicate' // two receipts for one resolved action
  | 'receipt_missing' // a run without a receipt
  | 'receipt_differs' // an entry holds another receipt than the receipts file
  | 'receipt_unrecorded' // a receipt without an entry
  | 'recording_missing' // an entry names a recording that is not there
  | 'recording_differs' // a recording is not the one that its entry names, or not what the client got
  | 'recording_malformed'

/** One thing that is wrong. `index` is of the entry, or null when it is about receipts or the checkpoint. */
export type VerifyProblem = Readonly<{ code: VerifyCode; index: number | null; message: string }>

/** The result of a verification, as `audit verify --json` shows it. */
export type VerifyReport = Readonly<{
  ok: boolean
  /** The verifier key that everything was checked against. */
  key: string
  entries: number
  /** Entries that a valid checkpoint covers. */
  signed_size: number
  /** Entries after that: only as good as the directory they lie in. */
  unsigned_tail: number
  receipts: number
  /** Receipts that a valid checkpoint counts: each of these has its entry, or is a problem. */
  signed_receipts: number
  /** Receipts at the end, after those, that have no entry: a run is being recorded, was when this was copied, or is hidden. */
  unentered_receipts: number
  /** Receipts that entries of the unsigned tail hold and the receipts file does not: it was copied before the entries. */
  receipts_ahead: number
  /** Recordings that entries name. */
  recordings: number
  /** Of them, those that are not there. In a copy without any that is no problem. */
  recordings_missing: number
  /** What is bad behind the signed part of a copy, where reading ended; null when all could be read. */
  tail_damage: string | null
  /** Runs without an end: still running, or to be closed by the next start. */
  pending: number
  problem_count: number
  /** The first hundred. */
  problems: readonly VerifyProblem[]
}>

/** Takes what is wrong. */
export type AddProblem = (code: VerifyCode, index: number | null, message: string) => void

/** How many problems a report lists: a log that is wrong throughout must not fill the memory. */
export const maxListedProblems: number = 100

/** What went wrong, in the words of whoever threw it. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
