import { sha256Hex } from '../json/digest.ts'
import { hostIdOf } from './checkpoint.ts'
import { digestKey } from './digest-key.ts'
import type { Entry, IntentEntry, OutcomeEntry, RecoveredEntry, StartEntry } from './entry.ts'
import { parseReceipt, receiptHash } from './receipt.ts'
import type { VerifierKey } from './signed-note.ts'
import type { ReceiptIndex } from './verify-receipts.ts'
import type { AddProblem } from './verify-report.ts'

/** Follows the runs through the log and holds them against the receipts. */
export type RunCheck = Readonly<{
  /** Takes the entry at `index`. Entries come in order. */
  addEntry: (entry: Entry, index: number) => void
  /** Call once after the last entry, with the last receipt that must have one. Returns how many runs have no end. */
  finish: (settledReceipts: number) => number
}>

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
  /** Receipts up to here were already checked for being closed. */
  settled: number
}

const encoder = new TextEncoder()

/** Opens a check of the runs against these receipts. */
export function openRunCheck(
  receipts: ReceiptIndex,
  key: VerifierKey,
  addProblem: AddProblem,
): RunCheck {
  const state: State = {
    key,
    receipts,
    addProblem,
    open: new Map(),
    withoutReceipt: new Set(),
    seen: new Uint8Array(receipts.count + 1),
    settled: 0,
  }
  return {
    addEntry: (entry, index) => {
      addEntry(state, entry, index)
    },
    finish: (settledReceipts) => {
      settle(state, settledReceipts, null)
      return state.open.size
    },
  }
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
    case 'denial':
    case 'stop':
      return
  }
}

function addStart(state: State, entry: StartEntry, index: number): void {
  const { count, head } = entry.receipts
  if (entry.host !== hostIdOf(state.key.publicKey)) {
    state.addProblem('host_mismatch', index, 'start of another host')
  }
  if (state.receipts.hashOf(count) !== head) {
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
  const receipt = state.receipts.numberOf(actionDigest)
  const key = digestKey(actionDigest)
  if (receipt === undefined ? state.withoutReceipt.has(key) : state.seen[receipt] !== 0) {
    state.addProblem('intent_duplicate', index, 'a second intent for one resolved action')
  }
  if (receipt === undefined) state.withoutReceipt.add(key)
  else state.seen[receipt] = 1
  state.open.set(index, { run, actionDigest, receipt })
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
  if (number === undefined || state.receipts.hashOf(number) !== hash) {
    state.addProblem('receipt_differs', index, 'the receipt is not that of the receipts file')
    return
  }
  state.seen[number] = 2
  if (parseReceipt(encoder.encode(text)).run !== intent.run) {
    state.addProblem('run_mismatch', index, 'the receipt is of another run')
  }
}
