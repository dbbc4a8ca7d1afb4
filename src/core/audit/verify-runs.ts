import { sha256Hex } from '../json/digest.ts'
import { hostIdOf } from './checkpoint.ts'
import { digestKey } from './digest-key.ts'
import type { Entry, IntentEntry, OutcomeEntry, RecoveredEntry, StartEntry } from './entry.ts'
import { parseReceipt, receiptHash, verifyReceipt } from './receipt.ts'
import type { VerifierKey } from './signed-note.ts'
import type { ReceiptIndex } from './verify-receipts.ts'
import type { AddProblem } from './verify-report.ts'

/** Follows the runs through the log and holds them against the receipts. */
export type RunCheck = Readonly<{
  /** Takes the entry at `index`. Entries come in order. */
  addEntry: (entry: Entry, index: number) => void
  /** Call once after the last entry, with the last receipt that must have one. */
  finish: (settledReceipts: number) => RunTail
}>

/** What is open where the log ends. */
export type RunTail = Readonly<{
  /** Runs without an end. */
  pending: number
  /** Receipts at the end that have no entry, and need not have one yet. */
  unentered: number
  /** Receipts that entries hold and the receipts file does not. */
  ahead: number
}>

/**
 * How far apart the first receipt without an entry and the last receipt may be. An honest record takes milliseconds, and
 * the executor waits for none longer than half of this; so a broker that was taken over can hide runs in the tail only for
 * so long before a copy shows it.
 */
const maxTailMs = 60_000

type OpenRun = Readonly<{ run: number; actionDigest: string; receipt: number | undefined }>

/** What is known while the log is read. Only the functions of this file write it, each `openRunCheck` its own. */
type State = {
  readonly key: VerifierKey
  readonly receipts: ReceiptIndex
  readonly addProblem: AddProblem
  /** By index of the intent. */
  readonly open: Map<number, OpenRun>
  /** Resolved actions that had an intent without a receipt. */
  readonly withoutReceipt: Set<string>
  /** A byte per receipt: 1 once it has an intent, 2 once its run is closed. */
  readonly seen: Uint8Array
  /** Entries from this index on may hold receipts that the file does not have. */
  readonly tailFrom: number
  /** Digest that the last `start` or `policy` entry names; null before the first. */
  policy: string | null
  ahead: number
  /** Receipts up to here were already checked for being closed. */
  settled: number
}

const encoder = new TextEncoder()

/** Opens a check of the runs against these receipts. */
export function openRunCheck(
  receipts: ReceiptIndex,
  key: VerifierKey,
  addProblem: AddProblem,
  tailFrom: number,
): RunCheck {
  const state: State = {
    key,
    receipts,
    addProblem,
    open: new Map(),
    withoutReceipt: new Set(),
    seen: new Uint8Array(receipts.count + 1),
    tailFrom,
    policy: null,
    ahead: 0,
    settled: 0,
  }
  return {
    addEntry: (entry, index) => {
      addEntry(state, entry, index)
    },
    finish: (settledReceipts) => {
      // Intents and receipts come in one order, so a receipt before one that has an entry must have one itself.
      settle(
        state,
        Math.max(
          settledReceipts,
          state.seen.findLastIndex((mark) => mark !== 0),
        ),
        null,
      )
      const unentered = state.receipts.count - state.settled
      if (unentered > 0) checkTail(state)
      return { pending: state.open.size, unentered, ahead: state.ahead }
    },
  }
}

/** Receipts after `settled` have no entry. That is the way of a run that is being recorded, and of one that is hidden. */
function checkTail({ receipts, settled, addProblem }: State): void {
  const spanMs = receipts.timeOf(receipts.count) - receipts.timeOf(settled + 1)
  if (spanMs <= maxTailMs) return
  const which = `receipts ${String(settled + 1)} to ${String(receipts.count)}`
  addProblem(
    'receipt_unrecorded',
    null,
    `${which} have no entry, over ${String(Math.round(spanMs / 1000))} s`,
  )
}

function addEntry(state: State, entry: Entry, index: number): void {
  switch (entry.kind) {
    case 'start':
      return addStart(state, entry, index)
    case 'intent':
      return addIntent(state, entry, index)
    case 'outcome':
      return addOutcome(state, entry, index)
    case 'recovered':
      return addRecovered(state, entry, index)
    case 'policy':
      state.policy = entry.policyDigest
      return
    case 'denial':
    case 'stop':
      return
  }
}

function addStart(state: State, entry: StartEntry, index: number): void {
  const { count, head } = entry.receipts
  state.policy = entry.policyDigest
  if (entry.host !== hostIdOf(state.key.publicKey)) {
    state.addProblem('host_mismatch', index, 'start of another host')
  }
  const isAhead = index >= state.tailFrom && count > state.receipts.count
  if (!isAhead && state.receipts.hashOf(count) !== head) {
    state.addProblem(
      'receipt_differs',
      index,
      `start does not name the hash of receipt ${String(count)}`,
    )
  }
  for (const intent of state.open.keys()) {
    state.addProblem('run_unclosed', index, `start leaves the run of intent ${String(intent)} open`)
  }
  state.open.clear()
  settle(state, count, index)
}

/** Reports receipts up to number `count` that have no entry, each once. */
function settle(state: State, count: number, index: number | null): void {
  const last = Math.min(count, state.receipts.count)
  for (; state.settled < last; state.settled += 1) {
    const number = state.settled + 1
    if (state.seen[number] === 0) {
      state.addProblem('receipt_unrecorded', index, `receipt ${String(number)} has no entry`)
    }
  }
}

function addIntent(state: State, entry: IntentEntry, index: number): void {
  const { run, action, actionDigest } = entry
  if (sha256Hex(action) !== actionDigest) {
    state.addProblem('action_digest', index, 'the resolved action has another digest')
  }
  if (state.policy !== null && (policyOf(action) ?? state.policy) !== state.policy) {
    state.addProblem('policy_mismatch', index, 'permitted under a policy that was not in force')
  }
  const receipt = state.receipts.numberOf(actionDigest)
  const key = digestKey(actionDigest)
  if (receipt === undefined ? state.withoutReceipt.has(key) : state.seen[receipt] !== 0) {
    state.addProblem('intent_duplicate', index, 'a second intent for one resolved action')
  }
  if (receipt === undefined) state.withoutReceipt.add(key)
  else state.seen[receipt] = 1
  state.open.set(index, { run, actionDigest, receipt })
}

/** Names of variables and secrets are the policy's author's, but their values are texts: the number is ours alone. */
const policyMember = /,"not_after_ms":[0-9]+,"policy":"([0-9a-f]{64})"/

/** The policy that a resolved action names. */
function policyOf(action: string): string | undefined {
  return policyMember.exec(action)?.[1]
}

function addOutcome(state: State, entry: OutcomeEntry, index: number): void {
  const intent = closeIntent(state, entry.intent, entry.run, index)
  if (intent === undefined) return
  if (entry.receipt !== null) {
    return checkReceipt(state, entry.receipt, intent, index)
  }
  const mayHaveNone = entry.end.kind === 'gone' || entry.end.kind === 'failed'
  if (!mayHaveNone || intent.receipt !== undefined) {
    state.addProblem('receipt_missing', index, 'the outcome of a run without its receipt')
  }
}

function addRecovered(state: State, entry: RecoveredEntry, index: number): void {
  const { run, actionDigest } = entry
  const ofFile = state.receipts.numberOf(actionDigest)
  const intent =
    entry.intent === null
      ? { run, actionDigest, receipt: ofFile }
      : closeIntent(state, entry.intent, run, index)
  if (intent === undefined) return
  if (intent.actionDigest !== actionDigest) {
    state.addProblem('run_mismatch', index, 'recovered for another resolved action')
  }
  if (entry.intent === null && ofFile !== undefined && state.seen[ofFile] !== 0) {
    state.addProblem('run_mismatch', index, 'recovered without the intent that the log has')
  }
  if (entry.receipt !== null) checkReceipt(state, entry.receipt, intent, index)
  const hasReceipt = entry.receipt !== null
  const lacksReceipt = !hasReceipt && (ofFile !== undefined || entry.intent === null)
  if (lacksReceipt || hasReceipt !== (entry.state === 'unknown')) {
    state.addProblem('receipt_missing', index, 'recovered without the receipt that there is')
  }
}

/** Takes a run off the open ones, or says why not. */
function closeIntent(
  state: State,
  intent: number,
  run: number,
  index: number,
): OpenRun | undefined {
  const found = state.open.get(intent)
  state.open.delete(intent)
  if (found === undefined) {
    state.addProblem('intent_missing', index, `entry ${String(intent)} is not an open intent`)
  } else if (found.run !== run) {
    state.addProblem('run_mismatch', index, `entry ${String(intent)} is of another run`)
  }
  return found
}

/** An entry's receipt must be, byte for byte, the one in the receipts file for that resolved action. */
function checkReceipt(state: State, text: string, intent: OpenRun, index: number): void {
  const number = intent.receipt
  const hash = receiptHash(encoder.encode(text))
  if (number === undefined && index >= state.tailFrom && isNextReceipt(state, text, intent)) {
    state.ahead += 1
    return
  }
  if (number === undefined || state.receipts.hashOf(number) !== hash) {
    state.addProblem('receipt_differs', index, 'the receipt is not that of the receipts file')
    return
  }
  state.seen[number] = 2
  if (parseReceipt(encoder.encode(text)).run !== intent.run) {
    state.addProblem('run_mismatch', index, 'the receipt is of another run')
  }
}

/** Whether this is a receipt of our host for this run that the receipts file was copied too early to have. */
function isNextReceipt(state: State, text: string, intent: OpenRun): boolean {
  try {
    const receipt = parseReceipt(encoder.encode(text))
    const { number, host, run, actionDigest } = receipt
    return (
      number > state.receipts.count &&
      host === hostIdOf(state.key.publicKey) &&
      run === intent.run &&
      actionDigest === intent.actionDigest &&
      verifyReceipt(receipt, state.key.key)
    )
  } catch {
    return false // not even a receipt: what it differs from is the caller's to say
  }
}
