import { BelladonnaError } from '../../core/error.ts'
import type { EntryCommon, Recording } from '../../core/audit/entry.ts'
import {
  appendLeaf,
  emptyTree,
  equalHashes,
  formatHex,
  leafHash,
  rootHash,
} from '../../core/audit/merkle.ts'
import { parseReceipt } from '../../core/audit/receipt.ts'
import { findUnclosed } from '../../core/audit/recovery.ts'
import type { Unclosed } from '../../core/audit/recovery.ts'
import type { ExecutorIdentity } from '../../core/protocol/identity-frame.ts'
import { openAppendFile } from '../../host/append-file.ts'
import type { NewEntry } from './entries.ts'
import { openLogWriter } from './log-writer.ts'
import type { LogPosition, LogWriter } from './log-writer.ts'

/** What a start says of itself in the log. */
export type StartFacts = Readonly<{
  hostId: string
  features: readonly string[]
  versions: Readonly<Record<string, string>>
}>

export type OpenLog = Readonly<{
  writer: LogWriter
  /** Whether the disk is so full that nothing new may begin. */
  isShort: () => boolean
}>

/**
 * Opens the log for writing: holds it against what the executor last signed, closes what a crash left open, and records
 * the start. All of that is durable when it returns.
 *
 * @throws {BelladonnaError} `log_corrupt` when the log is shorter than, or other than, what was signed
 */
export function openLog(
  path: string,
  receipts: Iterable<Uint8Array>,
  identity: ExecutorIdentity,
  facts: StartFacts,
  common: () => EntryCommon,
  stepBytes: number,
  leftRecording: (name: string) => Recording | null,
): OpenLog {
  const entries: Uint8Array[] = []
  const file = openAppendFile(path, {
    purpose: 'log',
    stepBytes,
    onRecord: (record) => entries.push(record.slice()),
  })
  const append = (records: readonly Uint8Array[]): void => file.append(records)
  const writer = openLogWriter({ append, common }, positionOf(entries, identity))
  const nothing = (): void => undefined
  for (const unclosed of findUnclosed(entries, receipts)) {
    writer.record({ ...unclosed, recording: recordingOf(unclosed, leftRecording) }, nothing)
  }
  writer.record(startEntry(identity, facts), nothing)
  writer.commit()
  return { writer, isShort: () => file.isShort() }
}

/** Of a run whose gate never opened there is none. */
function recordingOf(
  { receipt }: Unclosed,
  leftRecording: (name: string) => Recording | null,
): Recording | null {
  if (receipt === null) return null
  return leftRecording(parseReceipt(new TextEncoder().encode(receipt)).nonce)
}

/** The right edge, made again from the entries: it must be what the executor signed. */
function positionOf(entries: readonly Uint8Array[], identity: ExecutorIdentity): LogPosition {
  const { signedSize, signedRoot } = identity
  if (entries.length < signedSize) {
    throw new BelladonnaError(
      'log_corrupt',
      `the log has ${entries.length} entries, and ${signedSize} were signed`,
    )
  }
  const leaves = entries.map(leafHash)
  const signed = leaves.slice(0, signedSize).reduce(appendLeaf, emptyTree)
  if (!equalHashes(rootHash(signed), signedRoot)) {
    throw new BelladonnaError(
      'log_corrupt',
      `the first ${signedSize} entries are not those that were signed`,
    )
  }
  return { signed, unsignedLeaves: leaves.slice(signedSize) }
}

function startEntry(identity: ExecutorIdentity, facts: StartFacts): NewEntry {
  return {
    kind: 'start',
    host: facts.hostId,
    policyDigest: formatHex(identity.policyDigest),
    features: facts.features,
    versions: facts.versions,
    receipts: { count: identity.receiptCount, head: formatHex(identity.receiptHead) },
  }
}
