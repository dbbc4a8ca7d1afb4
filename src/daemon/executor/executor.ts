import { BelladonnaError } from '../../core/error.ts'
import { formatHex } from '../../core/audit/merkle.ts'
import { nextReceipt } from '../../core/audit/receipt.ts'
import type { MadeReceipt, ReceiptHead } from '../../core/audit/receipt.ts'
import { parseHex } from '../../core/json/hex.ts'
import type { Permit } from '../../core/policy/decide.ts'
import { isSameProgram } from '../../core/policy/foresee.ts'
import { openPrograms } from '../../core/policy/programs.ts'
import type { UsablePolicy } from '../../core/policy/reload.ts'
import type { Frame } from '../../core/protocol/frame.ts'
import { openHold } from '../../core/protocol/hold.ts'
import { parseInputBytes } from '../../core/protocol/input-frames.ts'
import { wireKind } from '../../core/protocol/layout.ts'
import { formatOpen, parseRunEnd, parseSubmission } from '../../core/protocol/launcher-frames.ts'
import type { Submission } from '../../core/protocol/launcher-frames.ts'
import {
  formatDeclined,
  formatReceiptFrame,
  parseDropped,
  parseIntent,
  parseRecorded,
} from '../../core/protocol/peer-frames.ts'
import { formatLoaded, parseAdopt } from '../../core/protocol/reload-frames.ts'
import type { ExecutorHost } from './executor-host.ts'
import { openIntents } from './intents.ts'
import { openReadings, wipe } from './readings.ts'
import type { ReadAnswer, ReadInputs, Reading } from './readings.ts'
import { isCrowded, mayPrepare, maxRefusedEarly } from './runs.ts'
import type { Run } from './runs.ts'
import { declined, judge, nothingRead, orDeclined, resolve } from './answer.ts'
import type { Declined } from './answer.ts'

/** The executor's side of both channels. A throw of any of them ends the process, and with it the broker and all runs. */
export type Executor = Readonly<{
  fromLauncher: (frame: Frame) => void
  fromBroker: (frame: Frame) => void
  /** After the frames of one read: writes the receipts that they asked for, in one group. */
  batchEnd: () => void
  receiptHead: () => ReceiptHead
}>

const encoder = new TextEncoder()

/**
 * Re-decides each request by itself, writes the receipt, and opens the gate once receipt and entry are durable.
 *
 * The broker is not trusted: it can withhold or drop a run, and a frame of its out of turn ends us both. It cannot name a
 * run that the launcher did not submit, change what was asked or who asked, or have a gate opened without a receipt.
 */
export function createExecutor(
  host: ExecutorHost,
  firstPolicy: UsablePolicy,
  firstHead: ReceiptHead,
): Executor {
  const runs = new Map<number, Run>()
  /** Requests that came after a RELOAD wait for its outcome: none is decided under two policies. */
  const hold = openHold()
  /** RELOAD came, and LOADED is not sent yet. */
  let isReloadDue = false
  let policy = firstPolicy
  /** What is waiting for ADOPT; null when it could not be used. */
  let offered: UsablePolicy | null = null
  let head = firstHead
  const intents = openIntents()
  /** Programs that the broker has from us: of their runs it foresees our answer, and gets none. */
  let told = openPrograms()
  /** Runs rise: a later one is still on its way from the launcher. Owned by `submit`. */
  let lastSubmitted = 0
  /** Refused by the broker before the launcher's frame came: two sockets, no common order. */
  const refusedEarly = new Set<number>()
  const readings = openReadings(host.toLauncher)

  const decline = (run: number, answer: Declined, permit?: Permit): void => {
    const use = permit?.changes.uses?.grant
    if (use !== undefined) host.usedGrants.giveBack(use)
    host.toBroker(formatDeclined({ run, ...answer }))
  }

  const submit = (submission: Submission): void => {
    const { run } = submission
    lastSubmitted = run
    if (refusedEarly.delete(run)) return
    answerTo(submission)
    const early = intents.takeEarly(run)
    if (early === null) return
    const found = runs.get(run)
    if (found !== undefined && agreesWith(found, early.actionDigest)) found.entry = early.entry
    else intents.withdraw(run)
  }

  const answerTo = (submission: Submission): void => {
    const answer = judge(host, policy, submission, head.timeMs)
    if (answer.kind === 'declined') {
      decline(submission.run, answer)
      return
    }
    // The broker's refusals give places free before we hear of them, so there may be more than the launcher has.
    if (isCrowded(runs, submission.subject, readings.count())) {
      decline(submission.run, declined('busy'))
      return
    }
    const { permit, inputs } = answer
    const use = permit.changes.uses?.grant
    if (use !== undefined && !host.usedGrants.hasRoom()) {
      decline(submission.run, declined('log_full'))
      return
    }
    if (use !== undefined) host.usedGrants.take(use) // at once: requests at the same time cannot share the last
    if (inputs.length > 0) readings.begin({ submission, permit, inputs })
    else start({ submission, permit }, nothingRead)
  }

  const start = ({ submission, permit }: Omit<Reading, 'inputs'>, read: ReadInputs): void => {
    const timeMs = Math.max(submission.timeMs, head.timeMs)
    const answer = orDeclined(() =>
      resolve(host, policy.digest, submission, { permit, timeMs, read }),
    )
    wipe(read.secrets)
    if (answer.kind === 'declined') {
      decline(submission.run, answer, permit)
      return
    }
    const prepared = mayPrepare(runs, submission.subject, host.settings.prepared)
    const { action, program, stale } = answer.run
    const known = told.known(policy.digest, action)
    const isForeseen = stale === 'possible' && known !== null && isSameProgram(known, program)
    if (!isForeseen) host.toBroker(answer.run.answer()) // first: two records on disk take longer than a sandbox
    if (prepared) host.toLauncher(answer.run.prepare)
    runs.set(submission.run, { ...answer.run, prepared, isAnswered: !isForeseen })
  }

  const goOn = (answer: ReadAnswer | null): void => {
    if (answer === null) return
    const { reading } = answer
    if (answer.kind === 'read') start(reading, answer.read)
    else
      decline(reading.submission.run, declined(answer.problem.code, answer.problem), reading.permit)
    loadOnceRead()
  }

  /** A run ended, whatever it came to. */
  const forget = (run: number): void => {
    const found = runs.get(run)
    runs.delete(run)
    const read = readings.forget(run)?.permit.changes.uses?.grant
    const wasGivenUp = found?.stage === 'resolved' || found?.stage === 'replaced'
    const use = wasGivenUp ? found.use : (read ?? null)
    if (use !== null) host.usedGrants.giveBack(use)
    found?.release()
    loadOnceRead()
  }

  /** false: the broker foresaw another action. It hears ours, and begins again. */
  const agreesWith = (found: Run, actionDigest: string): boolean => {
    if (found.stage !== 'resolved') throw outOfTurn(`run ${found.run} is not resolved`)
    if (actionDigest === found.actionDigest) {
      found.stage = 'intended'
      if (found.isAnswered) told.learn(policy.digest, found.action, found.program)
      return true
    }
    if (found.stale !== 'possible') throw outOfTurn('another action digest')
    found.stale = 'seen'
    answerOnce(found)
    return false
  }

  const answerOnce = (run: Run): void => {
    if (!run.isAnswered) host.toBroker(run.answer())
    run.isAnswered = true
  }

  const intend = (body: Uint8Array): void => {
    const intent = parseIntent(body)
    const { run } = intent
    const actionDigest = formatHex(intent.actionDigest)
    const found = runs.get(run)
    if (found !== undefined) {
      if (agreesWith(found, actionDigest)) intents.add(run)
    } else if (refusedEarly.has(run)) throw outOfTurn('intend of a run that was refused')
    else if (run > lastSubmitted) intents.addEarly(run, actionDigest)
    else if (readings.has(run)) throw outOfTurn('intend before its inputs are read')
  }

  const record = (body: Uint8Array): void => {
    const { run, entry } = parseRecorded(body)
    const found = runs.get(run)
    if (found === undefined) {
      if (run > lastSubmitted) intents.recordEarly(run, entry)
      return // or we refused it meanwhile
    }
    if (found.stage === 'resolved' && found.stale === 'seen') return
    const waiting = found.stage === 'intended' || found.stage === 'receipted'
    if (!waiting || found.entry !== null) throw outOfTurn('recorded')
    found.entry = entry
    if (found.stage === 'receipted') open(host, found)
  }

  const drop = (run: number): void => {
    if (run > lastSubmitted) {
      if (intents.isEarly(run)) throw outOfTurn('a refusal behind intend')
      if (refusedEarly.size >= maxRefusedEarly) throw outOfTurn('refusals without requests')
      refusedEarly.add(run)
      return
    }
    const found = runs.get(run)
    if (found !== undefined && found.stage !== 'replaced') expectRun(runs, run, 'resolved')
    forget(run)
  }

  const reload = (): void => {
    hold.begin()
    isReloadDue = true
    loadOnceRead()
  }

  /**
   * A request whose inputs are still being read is answered first: what came before RELOAD is the old policy's. So are those
   * whose answer the broker foresees: if it foresaw another, it must begin again under the policy that they were asked under.
   */
  const loadOnceRead = (): void => {
    if (!isReloadDue || readings.count() > 0) return
    isReloadDue = false
    for (const run of runs.values()) if (run.stage === 'resolved') answerOnce(run)
    const found = host.loadPolicy()
    if (found.kind === 'unusable') host.toBroker(formatLoaded(found))
    else host.toBroker(formatLoaded({ kind: 'policy', digest: parseHex(found.digest) }))
    offered = found.kind === 'policy' ? found : null
  }

  /** The broker can keep the old policy in force. It cannot bring any in but the installed one, nor start what that ended. */
  const adopt = (body: Uint8Array): void => {
    const digest = formatHex(parseAdopt(body))
    if (!hold.isHolding() || isReloadDue) throw outOfTurn('adopt') // or nothing was offered yet
    if (digest !== policy.digest) {
      if (offered?.digest !== digest) throw outOfTurn('a policy that was not loaded')
      policy = offered
      for (const run of runs.values()) if (run.stage === 'resolved') run.stage = 'replaced'
      told = openPrograms()
      host.adopted(policy)
    }
    offered = null
    hold.release(fromLauncher)
  }

  const fromLauncher = (frame: Frame): void => {
    if (frame.kind === wireKind.exited) forget(parseRunEnd(frame.body).run)
    else if (frame.kind === wireKind.bytes) goOn(readings.take(parseInputBytes(frame.body)))
    else if (frame.kind !== wireKind.submit && frame.kind !== wireKind.reload) {
      throw outOfTurn(`frame ${frame.kind} from the launcher`)
    } else if (hold.keep(frame)) return
    else if (frame.kind === wireKind.reload) reload()
    else submit(parseSubmission(frame.body))
  }

  return {
    fromLauncher,
    fromBroker: (frame) => {
      if (frame.kind === wireKind.intend) intend(frame.body)
      else if (frame.kind === wireKind.recorded) record(frame.body)
      else if (frame.kind === wireKind.dropped) drop(parseDropped(frame.body))
      else if (frame.kind === wireKind.adopt) adopt(frame.body)
      else throw outOfTurn(`frame ${frame.kind} from the broker`)
    },
    batchEnd: () => {
      const due = intents.due(runs)
      if (due.length === 0) signAhead(host, runs, head)
      else head = writeReceipts(host, due, head)
    },
    receiptHead: () => head,
  }
}

/**
 * Signs the receipt of a run that is alone while the broker decides and records, which takes as long. Not one byte of it
 * leaves us before the broker has agreed, and it is thrown away if another receipt comes first.
 */
function signAhead(host: ExecutorHost, runs: ReadonlyMap<number, Run>, head: ReceiptHead): void {
  if (runs.size !== 1) return
  for (const run of runs.values()) {
    if (run.stage !== 'resolved' || run.ahead !== null) return
    run.ahead = { follows: head, receipt: receiptOf(host, run, head) }
  }
}

function receiptOf(host: ExecutorHost, run: Run, head: ReceiptHead): MadeReceipt {
  const { subject, actionDigest, nonce, timeMs } = run
  const facts = {
    ...{ actionDigest, run: run.run, nonce, timeMs, host: host.hostId },
    subject: { uid: subject.uid, gid: subject.gid },
  }
  return nextReceipt(head, facts, host.sign)
}

/** Makes, writes and tells the receipts of one group; gates whose entries are durable already open here. */
function writeReceipts(host: ExecutorHost, batch: readonly Run[], first: ReceiptHead): ReceiptHead {
  let head = first
  const records: Uint8Array[] = []
  for (const run of batch) {
    const made = run.ahead?.follows === head ? run.ahead.receipt : receiptOf(host, run, head)
    run.ahead = null
    head = made.head
    run.receipt = made.receipt.number
    records.push(made.record)
  }
  if (batch.some(({ use }) => use !== null)) host.usedGrants.keep()
  host.appendReceipts(records)
  batch.forEach((run, index) => {
    const record = records[index]
    if (record === undefined) throw outOfTurn('a receipt without a run')
    run.receiptRecord = record
    run.stage = 'receipted'
    if (run.entry !== null) open(host, run)
  })
  return head
}

/** Receipt and entry are durable: the command may start. */
function open(host: ExecutorHost, run: Run): void {
  if (host.nowMs() > run.notAfterMs) {
    throw new BelladonnaError('log_failed', `run ${run.run}: recorded too late to start`)
  }
  run.stage = 'open'
  if (!run.prepared) host.toLauncher(run.prepare)
  const { entry, receipt, actionDigest } = run
  const ticket = `{"action_digest":"${actionDigest}","entry":${entry},"receipt":${receipt}}`
  host.toLauncher(formatOpen(run.run, encoder.encode(ticket)))
  host.toBroker(formatReceiptFrame(run.run, run.receiptRecord)) // for the outcome: nothing waits for it
}

function expectRun(runs: ReadonlyMap<number, Run>, run: number, stage: Run['stage']): Run {
  const found = runs.get(run)
  if (found?.stage !== stage) throw outOfTurn(`run ${run} is not ${stage}`)
  return found
}

function outOfTurn(what: string): BelladonnaError {
  return new BelladonnaError('frame_invalid', `out of turn: ${what}`)
}
