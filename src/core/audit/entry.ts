import type { RefusalCode } from '../refusal.ts'

/**
 * The longest entry in bytes.
 *
 * An entry bundle of c2sp.org/tlog-tiles writes each length as a uint16, so a longer entry could never be sealed into
 * one that other people's tools read.
 */
export const maxEntryBytes: number = 65_535

/** Whether the policy that was in force was signed by an enrolled key. */
export type PolicyTrust = 'unsigned' | 'signed'

/** What each entry has. */
export type EntryCommon = Readonly<{
  /** 32 random hexadecimal digits: without them somebody could guess a redacted entry by its leaf hash. */
  salt: string
  /** The writer's clock. */
  timeMs: number
  policy: PolicyTrust
}>

/** The bridge came up. All runs of earlier starts are closed by the entries before it. */
export type StartEntry = EntryCommon &
  Readonly<{
    kind: 'start'
    /** Host id: 64 hexadecimal digits. */
    host: string
    policyDigest: string
    /** What this host can enforce, by the names of the sandbox features. */
    features: readonly string[]
    /** Versions by name: belladonna, node, kernel. */
    versions: Readonly<Record<string, string>>
    /** The executor's receipts at this moment. `head` is `receiptHash` of the last, 64 zeros for none. */
    receipts: Readonly<{ count: number; head: string }>
  }>

/** Why a run may happen. Durable before its gate opens. */
export type IntentEntry = EntryCommon &
  Readonly<{
    kind: 'intent'
    run: number
    /** The requester's process, as the kernel named it. */
    pid: number
    /** Canonical JSON of the resolved action: an object within the entry. */
    action: string
    /** SHA-256 of `action`, 64 hexadecimal digits. */
    actionDigest: string
    decision: 'permit'
    /** Which grant permitted it. */
    grant: string
    /** What the requester gave as reason. Never ours, never to be believed. */
    requesterText: string
  }>

/** The peer of a request that was refused. Ids are as the kernel gave them, -1 as 4294967295. */
export type DeniedSubject = Readonly<{
  uid: number
  gid: number
  groups: readonly number[]
  pid: number
  foreign: boolean
}>

/** A request that was refused. */
export type DenialEntry = EntryCommon &
  Readonly<{
    kind: 'denial'
    run: number
    subject: DeniedSubject
    /** The action that was asked for, null when it was not even of an id's form. */
    action: string | null
    code: RefusalCode
    rule: string | null
    /** The parameter at fault, when it is one that the policy names. */
    parameter: string | null
    /** What the executor found, in our words, with the path quoted; null where the rest says it all. */
    detail: string | null
    /** What the requester gave as reason, null when the request could not be read. */
    requesterText: string | null
  }>

/** How a run ended. */
export type End = Readonly<{
  kind: 'exited' | 'signalled' | 'timed_out' | 'failed' | 'gone' | 'lost'
  /** Exit status, signal or errno. */
  value: number
  /** Where the making of a run failed, `none` otherwise. */
  stage: string
}>

/** rusage of a run and all its waited-for children. */
export type Usage = Readonly<{
  userUs: number
  systemUs: number
  maxRssKib: number
  wallUs: number
}>

/** A feature that a profile asks for and a run did not have. */
export type MissingFeature = Readonly<{ feature: string; reason: string }>

/** Whether a limit stood in a run's way. `unknown`: this host does not count it, or nobody was there to ask. */
export type LimitState = 'kept' | 'hit' | 'unknown'

/** What the kernel counted of a run's cgroup. */
export type OutcomeLimits = Readonly<{
  /** `hit`: a process of the run was killed for want of memory, by its limit's or the host's. */
  memory: LimitState
  /** `hit`: a process could not be started, for there were as many as there may be. */
  processes: LimitState
}>

/** Through a relay. `truncated`: there was more than `limitBytes`; `undelivered`: the client did not take all of it. */
export type CountedOutput = Readonly<{
  limitBytes: number
  truncated: boolean
  undelivered: boolean
  stdout: OutputStream
  stderr: OutputStream
  /** What the run's own terminal showed; null: it had none. */
  terminal: OutputStream | null
}>

/** What became of a run's output. */
export type OutcomeOutput =
  /** The client's own descriptors, so nothing is known of it. */
  | Readonly<{ kind: 'pass' }>
  | (CountedOutput & Readonly<{ kind: 'capped' }>)
  | (CountedOutput & Readonly<{ kind: 'recorded'; recording: Recording }>)
  /** Through a relay that said nothing: it died, or the run never began. `recording`: what there is of one. */
  | Readonly<{ kind: 'unknown'; recording: Recording | null }>

/** Why a recording does not hold all that it should. */
export type RecordingLack =
  | 'no_space' // the disk was full
  | 'failed' // its file could not be written, or not be read
  | 'not_durable' // it could not be made sure that it is on the disk
  | 'relay_lost' // who wrote it ended without a word
  | 'crash' // the bridge ended before the run did

/** The file `recordings/<name>.rec` of a run: spec/recording.md. */
export type Recording = Readonly<{
  format: 'belladonna/recording/v1'
  /** The request's nonce: 32 hexadecimal digits. */
  name: string
  /** How much of it this is about; if nothing lacks, all. */
  size: number
  /** SHA-256 of that, 64 hexadecimal digits. */
  sha256: string
  incomplete: RecordingLack | null
}>

/** Bytes that the run wrote, how many of them from the start were delivered, and the SHA-256 of those. */
export type OutputStream = Readonly<{ written: number; delivered: number; sha256: string }>

/** A run is over. */
export type OutcomeEntry = EntryCommon &
  Readonly<{
    kind: 'outcome'
    run: number
    /** Index of the run's intent. */
    intent: number
    end: End
    usage: Usage
    /** What was in force for this run. */
    features: readonly string[]
    limits: OutcomeLimits
    /** What its profile asks for and was not, by the same names, with the reason. */
    missing: readonly MissingFeature[]
    output: OutcomeOutput
    /** The receipt's record, as text; null only for a run that never started. */
    receipt: string | null
  }>

/**
 * What a start found unclosed.
 *
 * `unknown`: there is a receipt, so the gate may have opened. `never_started`: there is an intent without a receipt, and
 * no gate opens without one.
 */
export type RecoveredEntry = EntryCommon &
  Readonly<{
    kind: 'recovered'
    run: number
    actionDigest: string
    /** Index of the run's intent, null when the log has none. */
    intent: number | null
    /** The receipt's record, as text. */
    receipt: string | null
    state: 'unknown' | 'never_started'
    /** What is there of its recording; null: nothing. */
    recording: Recording | null
  }>

/** The bridge went down in order. */
export type StopEntry = EntryCommon &
  Readonly<{
    kind: 'stop'
    /** A word of ours, as `requested`. */
    reason: string
  }>

/** The installed policy was read again while the bridge was up. */
export type PolicyEntry = EntryCommon &
  Readonly<{
    kind: 'policy'
    /** `adopted`: it is in force for every later entry. `refused`: the one before stays. */
    state: 'adopted' | 'refused'
    /** Digest of the policy that is in force from here on. */
    policyDigest: string
    /** Why the installed one could not be used, in our words; null when it was adopted. */
    reason: string | null
  }>

/** One record of the log. */
export type Entry =
  StartEntry | IntentEntry | DenialEntry | OutcomeEntry | RecoveredEntry | StopEntry | PolicyEntry
