import type { CompiledProfile } from '../../core/policy/compiled.ts'
import type { Permit } from '../../core/policy/decide.ts'
import type { BoundInput } from '../../core/policy/inputs.ts'
import type { Declined, Resolved } from '../../core/protocol/peer-frames.ts'
import type { RunEnd, Submission } from '../../core/protocol/launcher-frames.ts'

/** What the executor said of a run that the launcher's frame has not told us of yet: two sockets, no common order. */
export type EarlyAnswer =
  | Readonly<{ kind: 'resolved'; resolved: Resolved }>
  | Readonly<{ kind: 'declined'; declined: Declined }>

/** One run that has not ended, as the broker sees it. */
export type BrokerRun = WaitingRun | RecordedRun

/** We permit it; the executor has not answered. */
export type WaitingRun = Readonly<{
  kind: 'waiting'
  submission: Submission
  permit: Permit
  /** What of its descriptors the executor has to bind. */
  inputs: readonly BoundInput[]
  requesterText: string
}>

export type RecordedRun = Readonly<{
  /** The intent is recorded, or in the batch that is being recorded. */
  kind: 'recorded'
  run: number
  intent: number
  actionDigest: string
  /** Of its request; its recording has that name. */
  nonce: string
  /** What it was before, if we recorded it without the executor's answer: it may still say otherwise. */
  foreseen: WaitingRun | null
  /** The outcome says what of it was in force. */
  profile: CompiledProfile
  receipt: string | null
  end: RunEnd | null
}>

/** Bound of the table of early answers; the launcher has no more slots. */
export const maxEarlyAnswers = 128
