import type {
  DenialEntry,
  Entry,
  EntryCommon,
  IntentEntry,
  OutcomeEntry,
  Recording,
} from '../../core/audit/entry.ts'
import { parseBase64 } from '../../core/json/base64.ts'
import type { CompiledProfile } from '../../core/policy/compiled.ts'
import type { Decision, Permit } from '../../core/policy/decide.ts'
import type { ResolvedAction } from '../../core/policy/resolve.ts'
import type { RunEnd, Submission } from '../../core/protocol/launcher-frames.ts'
import type { Declined } from '../../core/protocol/peer-frames.ts'
import { wireEnd, wireLimit, wireStage } from '../../core/protocol/layout.ts'
import { parseRunOutput } from '../../core/protocol/run-output.ts'
import type { RelayRecording } from '../../core/protocol/run-output.ts'
import type { ActionRequest } from '../../core/protocol/request.ts'
import { askedBy, missingOf } from '../../core/sandbox/enforcement.ts'
import { escapableMark, formatFeatures } from '../../core/sandbox/features.ts'
import { parsePlan } from '../../core/sandbox/plan.ts'

type WithoutCommon<T> = T extends Entry ? Omit<T, keyof EntryCommon> : never
/** An entry before the log's writer adds salt, time and the policy's trust. */
export type NewEntry = WithoutCommon<Entry>

/** A denial, and what the executor found where it was the one that refused. */
type Denial = Omit<Extract<Decision, { kind: 'deny' }>, 'kind'> &
  Readonly<{ found?: Pick<Declined, 'detail' | 'isTold'> }>

/** The denial's entry. Ids are as the kernel gave them; what the requester wrote is marked as theirs. */
export function denialOf(
  { run, subject }: Submission,
  request: ActionRequest | null,
  denial: Denial,
): Omit<DenialEntry, keyof EntryCommon> {
  const { uid, gid, groups, pid, foreign } = subject
  return {
    kind: 'denial',
    run,
    subject: { uid, gid, groups, pid, foreign },
    action: request?.action ?? null,
    code: denial.code,
    rule: denial.rule,
    parameter: denial.parameter,
    detail: denial.found?.detail ?? null,
    requesterText: request?.reason ?? null,
  }
}

export function intentOf(
  { run, subject }: Submission,
  permit: Permit,
  action: ResolvedAction,
  requesterText: string,
): Omit<IntentEntry, keyof EntryCommon> {
  return {
    kind: 'intent',
    run,
    pid: subject.pid,
    action: action.text,
    actionDigest: action.digest,
    decision: 'permit',
    grant: permit.grant,
    requesterText,
  }
}

const endKinds = new Map<number, OutcomeEntry['end']['kind']>([
  [wireEnd.exited, 'exited'],
  [wireEnd.signalled, 'signalled'],
  [wireEnd.timedOut, 'timed_out'],
  [wireEnd.failed, 'failed'],
  [wireEnd.gone, 'gone'],
])

const featuresOfMask = new Map<number, readonly string[]>()
const maxMasks = 64
const asked = new WeakMap<CompiledProfile, number>() // with its policy, it goes

/** Hosts show one mask or two; a launcher that shows more gets them made anew. */
function featuresOf(mask: number): readonly string[] {
  const known = featuresOfMask.get(mask) ?? formatFeatures(mask)
  if (featuresOfMask.size < maxMasks) featuresOfMask.set(mask, known)
  return known
}

/** The end of an intent that came to nothing: another took its place, or the executor refused it. */
export function neverStarted(run: number): RunEnd {
  return {
    ...{ run, kind: wireEnd.gone, value: 0, stage: 0, limits: 0, features: 0 },
    ...{ userUs: 0, systemUs: 0, maxRssKib: 0, wallUs: 0, output: new Uint8Array(0) },
  }
}

/** Of a run that did not start there is nothing to say. */
function missingFrom(profile: CompiledProfile, inForce: number): OutcomeEntry['missing'] {
  if (inForce === 0) return []
  const bits = asked.get(profile) ?? askedBy(parsePlan(parseBase64(profile.plan)))
  asked.set(profile, bits)
  return missingOf(bits, inForce)
}

/** What the launcher saw of a run. An end of a kind that we do not know counts as lost. */
export function outcomeOf(
  { intent, profile }: RecordedRun,
  end: RunEnd,
  receipt: string | null,
  recording: Recording | null = null,
): Omit<OutcomeEntry, keyof EntryCommon> {
  const { run, value, userUs, systemUs, maxRssKib, wallUs } = end
  const stage = Object.entries(wireStage).find(([, number]) => number === end.stage)?.[0]
  return {
    kind: 'outcome',
    run,
    intent,
    end: { kind: endKinds.get(end.kind) ?? 'lost', value, stage: stage ?? `stage_${end.stage}` },
    usage: { userUs, systemUs, maxRssKib, wallUs },
    features: [...featuresOf(end.features), ...(profile.escapable ? [escapableMark] : [])],
    limits: limitsOf(end.limits),
    missing: missingFrom(profile, end.features),
    output: outputOf(profile, end, recording),
    receipt,
  }
}

function limitsOf(bits: number): OutcomeEntry['limits'] {
  const stateOf = (bit: number): OutcomeEntry['limits']['memory'] =>
    (bits & wireLimit.seen) === 0 ? 'unknown' : (bits & bit) === 0 ? 'kept' : 'hit'
  return { memory: stateOf(wireLimit.memory), processes: stateOf(wireLimit.processes) }
}

/** What the outcome takes from the run's profile and its intent. */
type RecordedRun = Readonly<{ intent: number; profile: CompiledProfile }>

function outputOf(
  { output: how, limits }: CompiledProfile,
  end: RunEnd,
  recording: Recording | null,
): OutcomeEntry['output'] {
  if (how === 'pass') return { kind: 'pass' }
  const limitBytes = limits.output_bytes
  const output = parseRunOutput(end.output, limitBytes)
  if (output === null || (output.recording !== null) !== (how === 'recorded')) {
    return { kind: 'unknown', recording }
  }
  const { recording: told, ...counted } = output
  if (told === null) return { kind: 'capped', limitBytes, ...counted }
  if (recording === null) return { kind: 'unknown', recording }
  return { kind: 'recorded', limitBytes, ...counted, recording }
}

/** What a run's relay says of its recording; null: nothing that could be true. */
export function toldRecording({ limits }: CompiledProfile, end: RunEnd): RelayRecording | null {
  return parseRunOutput(end.output, limits.output_bytes)?.recording ?? null
}
