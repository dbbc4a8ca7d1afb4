import { BelladonnaError } from '../../core/error.ts'
import { formatHex } from '../../core/audit/merkle.ts'
import { parseHex } from '../../core/json/hex.ts'
import { decide, isNamed } from '../../core/policy/decide.ts'
import type { Decision, Permit } from '../../core/policy/decide.ts'
import { openPrograms } from '../../core/policy/programs.ts'
import type { PolicyIndex } from '../../core/policy/policy-index.ts'
import type { UsablePolicy } from '../../core/policy/reload.ts'
import { isForeseeable } from '../../core/policy/foresee.ts'
import type { ExecutableDigests } from '../../core/policy/foresee.ts'
import { bindsThose, boundInputs, isInputProblem } from '../../core/policy/inputs.ts'
import { resolveAction } from '../../core/policy/resolve.ts'
import type { ResolvedAction } from '../../core/policy/resolve.ts'
import { exitStatusOf, formatProblem, isRefusalCode } from '../../core/problem.ts'
import type { Frame } from '../../core/protocol/frame.ts'
import { wireKind } from '../../core/protocol/layout.ts'
import { formatRefuse, parseRunEnd, parseSubmission } from '../../core/protocol/launcher-frames.ts'
import type { RunEnd, Submission } from '../../core/protocol/launcher-frames.ts'
import {
  formatDropped,
  formatIntent,
  formatRecorded,
  parseDeclined,
  parseReceiptFrame,
  parseResolved,
} from '../../core/protocol/peer-frames.ts'
import type { Declined, Resolved } from '../../core/protocol/peer-frames.ts'
import { noInputs } from '../../core/protocol/input-frames.ts'
import { parseRequest } from '../../core/protocol/request.ts'
import type { ActionRequest } from '../../core/protocol/request.ts'
import type { RelayRecording } from '../../core/protocol/run-output.ts'
import type { Recording } from '../../core/audit/entry.ts'
import { openDenialBudget } from './denial-budget.ts'
import { denialOf, intentOf, neverStarted, outcomeOf, toldRecording } from './entries.ts'
import type { NewEntry } from './entries.ts'
import { openPolicySwitch } from './policy-switch.ts'
import type { PolicySwitch, PolicySwitchHost } from './policy-switch.ts'
import { openRates } from './rates.ts'
import { maxEarlyAnswers } from './runs.ts'
import type { BrokerRun, EarlyAnswer, RecordedRun, WaitingRun } from './runs.ts'

/** What the broker may do to the world. Tests pass plain functions. */
export type BrokerHost = PolicySwitchHost &
  Readonly<{
    hostId: string
    /** How long after it was asked a run may start. */
    recordWithinMs: number
    toLauncher: (frame: Uint8Array) => void
    /** `record` for an entry that nobody waits for: it may be on disk a little later. */
    recordQuietly: (entry: NewEntry) => void
    /** Whether what is left of the disk is for requests that may run: denials are only counted. */
    isTight: () => boolean
    /** Sees to it that a recording is on the disk, and says what there is: `told` is the word of who wrote it. */
    settleRecording: (
      name: string,
      told: RelayRecording | null,
      done: (found: Recording | null) => void,
    ) => void
  }>

/** Numbers since start, by outcome. */
export type BrokerCounts = {
  permitted: number
  denied: number
  ended: number
  /** Requests that were refused without a record, because the disk is full. */
  unrecorded: number
  /** Denials without an entry of their own, beyond what their class may add to the log: they are in `denied` too. */
  unlogged_granted: number
  unlogged_strangers: number
}

export type Broker = Readonly<{
  fromLauncher: (frame: Frame) => void
  fromExecutor: (frame: Frame) => void
  counts: Readonly<BrokerCounts>
  /** Runs that have not ended. */
  pending: () => number
  policy: Pick<PolicySwitch, 'inForce' | 'report'>
}>

/** Decides each request, records what was decided, and tells the executor once it is durable. */
export function createBroker(host: BrokerHost, firstPolicy: UsablePolicy): Broker {
  const runs = new Map<number, BrokerRun>()
  const early = new Map<number, EarlyAnswer>()
  const rates = openRates()
  /** Runs rise: an answer for a run up to this one that is not in `runs` comes after our refusal. Owned by `submit`. */
  let lastSubmitted = 0
  /** What the executor said of programs. */
  const programs = openPrograms()
  /** Of the times in resolved actions the latest: they never run backwards. */
  let latestMs = 0
  const counts: BrokerCounts = {
    ...{ permitted: 0, denied: 0, ended: 0, unrecorded: 0 },
    ...{ unlogged_granted: 0, unlogged_strangers: 0 },
  }
  const budget = openDenialBudget()

  /** False: it is counted, and that is all (ADR 0031, promises 7 and 9). */
  const isLogged = (submission: Submission): boolean => {
    const kind = isNamed(policy.inForce().index, submission.subject) ? 'granted' : 'strangers'
    const logged = !host.isTight() && budget.take(kind, submission, host.nowMs())
    if (!logged) counts[`unlogged_${kind}`] += 1
    return logged
  }

  const refuse = (submission: Submission, request: ActionRequest | null, denial: Denial): void => {
    const { run } = submission
    const { code, action, parameter, enough, found } = denial
    const detail = found?.isTold === true ? found.detail : null
    runs.delete(run)
    early.delete(run)
    counts.denied += 1
    const tell = (): void => {
      host.toLauncher(answer) // first: a client waits for it
      host.toExecutor(formatDropped(run))
    }
    const logged = isLogged(submission)
    const entry = logged ? host.record(denialOf(submission, request, denial), tell) : undefined
    const problem = formatProblem(code, { action, parameter, detail, enough, entry })
    const answer = formatRefuse(run, exitStatusOf(code), problem) // made before the disk is waited for
    if (!logged) tell()
  }

  /** What is left of the disk is for the ends of what runs, so this leaves a number and no entry (C66, promise 9). */
  const turnAway = ({ run }: Submission): void => {
    early.delete(run)
    counts.unrecorded += 1
    host.toExecutor(formatDropped(run))
    host.toLauncher(formatRefuse(run, exitStatusOf('log_full'), formatProblem('log_full', {})))
  }

  const submit = (submission: Submission): void => {
    lastSubmitted = submission.run
    if (host.isShort()) {
      turnAway(submission)
      return
    }
    const nowMs = host.nowMs()
    const { index } = policy.inForce()
    const { request, decision } = judge(index, submission, nowMs, rates.states)
    // At once, so that requests at the same time cannot share what is left.
    if (decision.kind !== 'deny') rates.take(decision.changes.rate, nowMs)
    if (decision.kind !== 'permit') {
      refuse(submission, request, denialFrom(decision))
      return
    }
    const inputs = request === null ? [] : boundInputs(decision, request, submission)
    if (isInputProblem(inputs)) {
      const { code, parameter, enough } = inputs
      const about = { rule: decision.grant, action: decision.action.id }
      refuse(submission, request, { ...about, code, parameter, enough })
      return
    }
    const { run } = submission
    const requesterText = request?.reason ?? ''
    const found = { kind: 'waiting', submission, permit: decision, inputs, requesterText } as const
    runs.set(run, found)
    const answer = early.get(run)
    early.delete(run)
    if (answer?.kind === 'resolved') intend(answer.resolved)
    else if (answer?.kind === 'declined') decline(answer.declined)
    else foresee(found)
  }

  const waitingFor = (run: number, answer: EarlyAnswer): WaitingRun | null => {
    const found = runs.get(run)
    if (found?.kind === 'waiting') return found
    if (found !== undefined) throw outOfTurn(`a second answer for run ${run}`)
    if (run <= lastSubmitted) return null
    if (early.size >= maxEarlyAnswers) throw outOfTurn('answers without requests')
    early.set(run, answer)
    return null
  }

  /** An intent that we recorded without the executor's answer, which is another: its run is to be answered anew. */
  const takeBack = (run: number): void => {
    const found = runs.get(run)
    if (found?.kind !== 'recorded' || found.foreseen === null) return
    if (found.end !== null) throw outOfTurn(`another answer for run ${run}, which ended`)
    host.recordQuietly(outcomeOf(found, neverStarted(run), null))
    counts.permitted -= 1
    runs.set(run, found.foreseen)
  }

  const decline = (declined: Declined): void => {
    takeBack(declined.run)
    const found = waitingFor(declined.run, { kind: 'declined', declined })
    if (found === null) return
    const code = isRefusalCode(declined.code) ? declined.code : 'disagreement'
    const { action } = found.permit
    const parameter = action.params.find(({ name }) => name === declined.parameter)?.name ?? null
    refuse(found.submission, parseRequest(found.submission.request), {
      ...{ code, rule: 'executor', action: action.id, parameter },
      ...{ enough: declined.enough, found: declined },
    })
  }

  /** Its index; null when it does not fit into an entry: what cannot be recorded is refused (C70). */
  const recordIntent = (found: WaitingRun, action: ResolvedAction): number | null => {
    const { submission, permit, requesterText } = found
    const { run } = submission
    try {
      return host.record(intentOf(submission, permit, action, requesterText), (entry) => {
        const now = runs.get(run)
        if (now?.kind !== 'recorded' || now.intent !== entry) return // taken back
        host.toExecutor(formatRecorded({ run, entry }))
      })
    } catch (error) {
      if (!(error instanceof BelladonnaError) || error.code !== 'input_invalid') throw error
      refuse(submission, null, {
        ...{ code: 'not_recorded', rule: null, action: permit.action.id, parameter: null },
        enough: 'a shorter request',
      })
      return null
    }
  }

  const intend = (resolved: Resolved): void => {
    const { run } = resolved
    const found = waitingFor(run, { kind: 'resolved', resolved })
    if (found === null) return
    const program = programOf(resolved, found.permit)
    const { timeMs, notAfterMs, bound } = resolved
    const action = resolveAgain(found, program, { timeMs, notAfterMs, bound })
    const binds = bindsThose(found.inputs, found.permit.paths, bound)
    if (binds && action.digest === formatHex(resolved.actionDigest)) {
      record(found, action, null)
    } else {
      refuse(found.submission, parseRequest(found.submission.request), {
        ...{ code: 'disagreement', rule: null, action: found.permit.action.id },
        ...{ parameter: null, enough: null },
      })
    }
    learn(found.permit.action.id, program)
  }

  /** The same resolved action, made from our own decision; of the executor's we take only what it alone can know. */
  const resolveAgain = (
    { permit, submission: { subject, nonce } }: WaitingRun,
    program: ExecutableDigests,
    { timeMs, notAfterMs, bound }: Pick<Resolved, 'timeMs' | 'notAfterMs' | 'bound'>,
  ): ResolvedAction => {
    latestMs = Math.max(latestMs, timeMs)
    const facts = { policyDigest: policy.inForce().digest, hostId: host.hostId, nonce, notAfterMs }
    return resolveAction(permit, subject, { ...facts, ...program, bound })
  }

  const record = (found: WaitingRun, action: ResolvedAction, foreseen: WaitingRun | null): void => {
    const intent = recordIntent(found, action)
    if (intent === null) return
    const { run, nonce } = found.submission
    counts.permitted += 1
    const { profile } = found.permit
    runs.set(run, {
      ...{ kind: 'recorded', run, intent, actionDigest: action.digest, foreseen },
      ...{ nonce, profile, receipt: null, end: null },
    })
    // Before our own fdatasync, so that the executor writes its receipt at the same time.
    host.toExecutor(formatIntent({ run, actionDigest: parseHex(action.digest) }))
  }

  /**
   * Records what the executor is about to answer, at the time that it works on it. If it answers something else after all,
   * as when a program was replaced, the intent is taken back and its own answer recorded.
   */
  const foresee = (found: WaitingRun): void => {
    const program = programs.known(policy.inForce().digest, found.permit.action.id)
    if (program === null || !isForeseeable(found.permit, found.inputs.length)) return
    const timeMs = Math.max(latestMs, found.submission.timeMs)
    const notAfterMs = timeMs + host.recordWithinMs
    record(found, resolveAgain(found, program, { timeMs, notAfterMs, bound: noInputs }), found)
  }

  /** From here on the executor does not answer where we can foresee it, so neither does who waits already. */
  const learn = (action: string, program: ExecutableDigests): void => {
    if (!programs.learn(policy.inForce().digest, action, program)) return
    for (const found of runs.values()) {
      if (found.kind === 'waiting' && found.permit.action.id === action) foresee(found)
    }
  }

  const resolve = (resolved: Resolved): void => {
    const found = runs.get(resolved.run)
    const isKnown =
      found?.kind === 'recorded' && found.actionDigest === formatHex(resolved.actionDigest)
    if (isKnown && found.foreseen !== null) {
      runs.set(resolved.run, { ...found, foreseen: null })
      return
    }
    takeBack(resolved.run)
    intend(resolved)
  }

  /** The outcome is recorded when both have come: the launcher's word of the end, and the executor's receipt. */
  const close = (run: number, news: Readonly<{ receipt?: string; end?: RunEnd }>): void => {
    const found = runs.get(run)
    if (found?.kind !== 'recorded') {
      if (news.end !== undefined && found === undefined) return // an OPEN that came too late for anything
      throw outOfTurn(`an end or receipt of run ${run}`)
    }
    // An end may overtake the executor's answer, but its receipt comes behind that.
    const foreseen = news.receipt === undefined ? found.foreseen : null
    const next = { ...found, ...news, foreseen }
    runs.set(run, next)
    if (next.end === null || next.receipt === null) return
    runs.delete(run)
    counts.ended += 1
    conclude(next, next.end, next.receipt)
  }

  /** A recording is on the disk before the entry that names it. Until then the run is one that has not ended in the log. */
  const conclude = (run: RecordedRun, end: RunEnd, receipt: string): void => {
    if (run.profile.output !== 'recorded') {
      host.recordQuietly(outcomeOf(run, end, receipt))
      return
    }
    // Of one that did not begin a relay has nothing to tell.
    const told = end.features === 0 ? null : toldRecording(run.profile, end)
    host.settleRecording(run.nonce, told, (found) => {
      host.recordQuietly(outcomeOf(run, end, receipt, found))
    })
  }

  const fromLauncher = (frame: Frame): void => {
    if (frame.kind === wireKind.exited) {
      const end = parseRunEnd(frame.body)
      close(end.run, { end })
    } else if (frame.kind !== wireKind.submit && frame.kind !== wireKind.reload) {
      throw outOfTurn(`frame ${frame.kind} from the launcher`)
    } else if (policy.keep(frame)) return
    else if (frame.kind === wireKind.reload) policy.reload()
    else submit(parseSubmission(frame.body))
  }
  const policy = openPolicySwitch(host, firstPolicy, fromLauncher)

  return {
    fromLauncher,
    fromExecutor: (frame) => {
      if (frame.kind === wireKind.resolved) resolve(parseResolved(frame.body))
      else if (frame.kind === wireKind.declined) decline(parseDeclined(frame.body))
      else if (frame.kind === wireKind.loaded) policy.loaded(frame.body)
      else if (frame.kind === wireKind.receipt) {
        const { run, receipt } = parseReceiptFrame(frame.body)
        close(run, { receipt: new TextDecoder().decode(receipt) })
      } else throw outOfTurn(`frame ${frame.kind} from the executor`)
    },
    counts,
    pending: () => runs.size,
    policy,
  }
}

type Denial = Parameters<typeof denialOf>[2]

function judge(
  policy: PolicyIndex,
  submission: Submission,
  nowMs: number,
  rates: ReadonlyMap<string, number>,
): Readonly<{ request: ActionRequest | null; decision: Decision }> {
  try {
    const request = parseRequest(submission.request)
    const facts = { nowMs, uses: null, rates } // uses are counted by the executor
    return { request, decision: decide(policy, submission.subject, request, facts) }
  } catch (error) {
    // A throw on the decision path is a denial. What else could be wrong with a request is its form.
    if (!(error instanceof BelladonnaError) || error.code !== 'frame_invalid') throw error
    const denial = { code: 'request_malformed', rule: null, action: null } as const
    return { request: null, decision: { kind: 'deny', ...denial, parameter: null, enough: null } }
  }
}

function denialFrom(decision: Exclude<Decision, Permit>): Denial {
  if (decision.kind === 'deny') return decision
  const enough = `${decision.need} approval(s) from ${decision.from}`
  const action = decision.action.id
  return { code: 'approval_required', rule: decision.grant, action, parameter: null, enough }
}

function programOf(resolved: Resolved, { action, profile }: Permit): ExecutableDigests {
  return {
    executableSha256: formatHex(resolved.executableSha256),
    interpreterSha256: action.interpreter === null ? null : formatHex(resolved.interpreterSha256),
    proxySha256: profile.proxy === null ? null : formatHex(resolved.proxySha256),
  }
}

function outOfTurn(what: string): BelladonnaError {
  return new BelladonnaError('frame_invalid', `out of turn: ${what}`)
}
