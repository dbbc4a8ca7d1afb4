import { verifyCheckpoint } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'
import { parseEntry } from './entry-parse.ts'
import { appendLeaf, emptyTree, equalHashes, formatHex, leafHash, rootHash } from './merkle.ts'
import type { TreeState } from './merkle.ts'
import { formatVerifierKey } from './signed-note.ts'
import type { VerifierKey } from './signed-note.ts'
import { indexReceipts } from './verify-receipts.ts'
import type { ReceiptIndex } from './verify-receipts.ts'
import { maxListedProblems, messageOf } from './verify-report.ts'
import type { AddProblem, VerifyProblem, VerifyReport } from './verify-report.ts'
import { openRecordingCheck } from './verify-recordings.ts'
import type { OpenRecording } from './verify-recordings.ts'
import { openRunCheck } from './verify-runs.ts'

/** What is verified. The records are read once each and in order, so they may come from a stream. */
export type VerifyInput = Readonly<{
  entries: Iterable<Uint8Array>
  receipts: Iterable<Uint8Array>
  /** Signed notes: the log's checkpoint, and older ones that somebody kept elsewhere. */
  checkpoints: readonly string[]
  key: VerifierKey
  /**
   * Receipts up to this number must have an entry, all of them if it is left out. Beside a running bridge later ones may
   * have come after the entries were read.
   */
  settledReceipts?: number
  /**
   * The files may be of different moments: what the checkpoint covers must match exactly, and at the end of what it does
   * not cover entries and receipts may each be ahead of the other. `settledReceipts` then counts for nothing.
   */
  isCopy?: boolean
  /** Opens what recordings there are. Without it there are none to be had, and they are only counted. */
  openRecording?: OpenRecording | undefined
}>

/**
 * Verifies a log: every entry's form, the tree against each checkpoint, the receipts, and that each run has its intent,
 * its receipt and its end.
 *
 * It trusts nothing but `key`. It never stops at a problem, so that the report names the first wrong index of each kind.
 */
export function verifyLog(input: VerifyInput): VerifyReport {
  const problems: VerifyProblem[] = []
  let problemCount = 0
  const addProblem: AddProblem = (code, index, message) => {
    problemCount += 1
    if (problems.length < maxListedProblems) problems.push({ code, index, message })
  }
  const checkpoints = readCheckpoints(input, addProblem)
  const receipts = indexReceipts(input.receipts, input.key, addProblem)
  const signed = Math.max(0, ...checkpoints.map(({ size }) => size))
  const signedReceipts = Math.max(0, ...checkpoints.map(({ receipts: { count } }) => count))
  const isCopy = input.isCopy === true
  const runs = openRunCheck(receipts, input.key, addProblem, isCopy ? signed : Infinity)
  const recordings = openRecordingCheck(input.openRecording, addProblem)
  const checkTree = openTreeCheck(checkpoints, receipts, addProblem)
  let tree = emptyTree
  checkTree(tree)
  for (const bytes of input.entries) {
    const index = tree.size
    tree = appendLeaf(tree, leafHash(bytes))
    checkTree(tree)
    try {
      const entry = parseEntry(bytes)
      runs.addEntry(entry, index)
      recordings.addEntry(entry, index)
    } catch (error) {
      addProblem('entry_malformed', index, messageOf(error))
    }
  }
  const settled = isCopy ? signedReceipts : (input.settledReceipts ?? receipts.count)
  const end = runs.finish(settled)
  if (signed > tree.size) {
    const hint = isCopy ? '; of a bridge that runs, copy the checkpoint first' : ''
    const message = `the log has ${String(tree.size)} entries, ${String(signed)} were signed${hint}`
    addProblem('log_shorter_than_signed', null, message)
  }
  return {
    ok: problemCount === 0,
    key: formatVerifierKey(input.key),
    entries: tree.size,
    signed_size: Math.min(signed, tree.size),
    unsigned_tail: Math.max(0, tree.size - signed),
    receipts: receipts.count,
    signed_receipts: Math.min(signedReceipts, receipts.count),
    unentered_receipts: end.unentered,
    receipts_ahead: end.ahead,
    ...recordings.counts(),
    tail_damage: null,
    pending: end.pending,
    problem_count: problemCount,
    problems,
  }
}

function readCheckpoints(input: VerifyInput, addProblem: AddProblem): readonly Checkpoint[] {
  if (input.checkpoints.length === 0) {
    addProblem('checkpoint_missing', null, 'there is no checkpoint: nothing of the log was signed')
  }
  return input.checkpoints.flatMap((note) => {
    try {
      return [verifyCheckpoint(note, input.key)]
    } catch (error) {
      addProblem('checkpoint_invalid', null, messageOf(error))
      return []
    }
  })
}

/** Compares the growing tree with every checkpoint of its size. */
function openTreeCheck(
  checkpoints: readonly Checkpoint[],
  receipts: ReceiptIndex,
  addProblem: AddProblem,
): (tree: TreeState) => void {
  for (const { size, receipts: signed } of checkpoints) {
    if (receipts.hashOf(signed.count) !== formatHex(signed.head)) {
      const message = `checkpoint ${String(size)} does not name the hash of receipt ${String(signed.count)}`
      addProblem('checkpoint_receipts', null, message)
    }
  }
  return (tree) => {
    for (const { size, root } of checkpoints) {
      if (size === tree.size && !equalHashes(root, rootHash(tree))) {
        const message = `the first ${String(size)} entries are not those that were signed`
        addProblem('root_mismatch', null, message)
      }
    }
  }
}
