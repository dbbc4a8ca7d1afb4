import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
} from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { BelladonnaError } from '../core/error.ts'
import { parseVerifierKey } from '../core/audit/signed-note.ts'
import type { VerifierKey } from '../core/audit/signed-note.ts'
import { verifyLog } from '../core/audit/verify.ts'
import type { VerifyReport } from '../core/audit/verify-report.ts'
import { isCode } from './directory.ts'
import { readRecordFileId } from './record-file.ts'
import { recordingFile } from './recordings.ts'
import type { RecordPurpose } from './record-frame.ts'
import { scanRecords } from './record-scan.ts'

/** Where a log can be read. It may be in use, or a copy far from its host. */
export type LogSource = Readonly<{
  key: VerifierKey
  /** The checkpoint's note as it was when the source was opened, null when there is none. */
  checkpoint: string | null
  /** Reads the checkpoint that the executor keeps, and the broker cannot write; null when there is none. */
  kept: () => string | null
  /** Starts reading the entries that are there now. */
  entries: () => Iterable<Uint8Array>
  /** Starts reading the receipts that are there now. */
  receipts: () => Iterable<Uint8Array>
  /** Starts reading a recording; null: it is not there. Undefined in a copy that has none at all. */
  recording: ((name: string) => Iterable<Uint8Array> | null) | undefined
}>

/** How a directory is verified. */
export type VerifyOptions = Readonly<{
  /** The verifier key to hold everything against; without it, that of `state/host.pub`. */
  vkey?: string | undefined
  /**
   * It may be a copy that was taken while the bridge ran, with its files of different moments. Who verifies the bridge's own
   * directory leaves it out, and then every receipt must have its entry within a second.
   */
  isCopy?: boolean
  onEntry?: OnEntry | undefined
}>

/** Called while entries are read, with how many there were so far, and how many there will be. */
export type OnEntry = (count: number, total: number) => void

const maxSmallFileBytes = 262_144
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
/** A receipt and its intent become durable side by side; this long one may be there without the other. */
const settleMs = 200
const attempts = 5

/**
 * Opens what `audit` reads, without any lock: the log's directories below `directory`, which is a bridge's
 * `var/lib/belladonna`, a copy of it, or a root that holds it.
 *
 * Not trusted: everything in it, the key too, unless the caller brings a key that came another way.
 *
 * @param vkey the verifier key to hold everything against; without it, that of `state/host.pub`
 * @returns undefined when there is neither a log nor receipts nor a checkpoint
 * @throws {BelladonnaError} `path_unsafe` when something there cannot be read, `state_invalid` without a key
 */
export function openLogSource(directory: string, vkey: string | undefined): LogSource | undefined {
  const below = `${directory}/var/lib/belladonna`
  const base = existsSync(`${directory}/log`) || !existsSync(below) ? directory : below
  const files = {
    entries: `${base}/log/entries.wal`,
    receipts: `${base}/receipts/receipts.wal`,
    checkpoint: `${base}/log/checkpoint`,
    kept: `${base}/state/checkpoint`,
    key: `${base}/state/host.pub`,
  }
  const recordings = `${base}/recordings`
  const checkpoint = readSmallFile(files.checkpoint)
  const isThere = checkpoint !== null || existsSync(files.entries) || existsSync(files.receipts)
  if (!isThere) return undefined
  return {
    key: parseKey(vkey ?? readSmallFile(files.key), files.key),
    checkpoint,
    kept: () => readSmallFile(files.kept),
    entries: () => readRecords(files.entries, 'log'),
    receipts: () => readRecords(files.receipts, 'receipts'),
    recording: existsSync(recordings)
      ? (name) => readPieces(recordingFile(recordings, name))
      : undefined,
  }
}

/**
 * Verifies what is in a directory as `openLogSource` reads it, also beside a running bridge.
 *
 * Of a bridge's own directory the order is what makes that right: the checkpoints and the number of receipts first, then the end of the entries, then
 * all receipts, then the entries up to that end. What came later is left for the next time.
 *
 * @returns undefined when nothing is there
 */
export async function verifyDirectory(
  directory: string,
  options: VerifyOptions = {},
): Promise<VerifyReport | undefined> {
  let report: VerifyReport | undefined
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const source = openLogSource(directory, options.vkey)
    if (source === undefined) return undefined
    if (options.isCopy === true) return verifyCopy(source, options)
    report = verifySource(source, options)
    // A receipt whose intent is about to be durable looks like one that has none. What is wrong stays wrong.
    if (!report.problems.some(({ code }) => code === 'receipt_unrecorded')) break
    if (attempt < attempts) await sleep(settleMs)
  }
  return report
}

/**
 * Whoever copies a file that is being appended to may have read a page before an append and the next one after it. So
 * behind what was signed a bad frame before a good one is where a copy ends, and only before that it is damage.
 *
 * @throws {BelladonnaError} `log_corrupt` when that is not all that is wrong
 */
function verifyCopy(source: LogSource, { onEntry }: VerifyOptions): VerifyReport {
  let damage: unknown
  const untilDamage = function* (records: Iterable<Uint8Array>): Generator<Uint8Array> {
    try {
      yield* records
    } catch (error) {
      if (!(error instanceof BelladonnaError) || error.code !== 'log_corrupt') throw error
      damage ??= error
    }
  }
  const count = countOf(untilDamage(source.entries()))
  const report = verifyLog({
    key: source.key,
    checkpoints: source.checkpoint === null ? [] : [source.checkpoint],
    receipts: untilDamage(source.receipts()),
    entries: firstOf(untilDamage(source.entries()), count, onEntry),
    isCopy: true,
    openRecording: source.recording,
  })
  if (damage instanceof BelladonnaError) {
    if (!report.ok) throw damage
    return { ...report, tail_damage: damage.message }
  }
  return report
}

/**
 * The executor's own checkpoint counts too: the log's lies where the broker could put an older one. In a copy of different
 * moments it may be ahead of the entries.
 */
function verifySource(source: LogSource, { onEntry }: VerifyOptions): VerifyReport {
  const checkpoints = [source.checkpoint, source.kept()].filter((note) => note !== null)
  const settledReceipts = countOf(source.receipts())
  const entries = countOf(source.entries())
  return verifyLog({
    key: source.key,
    checkpoints,
    receipts: source.receipts(),
    entries: firstOf(source.entries(), entries, onEntry),
    settledReceipts,
    openRecording: source.recording ?? (() => null),
  })
}

function countOf(records: Iterable<Uint8Array>): number {
  let count = 0
  const iterator = records[Symbol.iterator]()
  while (iterator.next().done !== true) count += 1
  return count
}

function* firstOf(
  records: Iterable<Uint8Array>,
  count: number,
  onEntry: OnEntry = () => undefined,
): Generator<Uint8Array> {
  let read = 0
  for (const record of records) {
    if (read === count) return
    yield record
    read += 1
    onEntry(read, count)
  }
}

/** The whole records of a file, none when there is no such file. */
export function* readRecords(path: string, purpose: RecordPurpose): Generator<Uint8Array> {
  const descriptor = openToRead(path)
  if (descriptor === undefined) return
  try {
    yield* scanRecords(descriptor, readRecordFileId(descriptor, purpose))
  } finally {
    closeSync(descriptor)
  }
}

const pieceBytes = 1024 * 1024

function readPieces(path: string): Iterable<Uint8Array> | null {
  const descriptor = openToRead(path)
  return descriptor === undefined ? null : piecesOf(descriptor)
}

function* piecesOf(descriptor: number): Generator<Uint8Array> {
  const buffer = Buffer.alloc(pieceBytes)
  try {
    for (;;) {
      const count = readSync(descriptor, buffer)
      if (count === 0) return
      yield buffer.subarray(0, count)
    }
  } finally {
    closeSync(descriptor)
  }
}

function readSmallFile(path: string): string | null {
  const descriptor = openToRead(path)
  if (descriptor === undefined) return null
  try {
    if (fstatSync(descriptor).size > maxSmallFileBytes) {
      throw new BelladonnaError('path_unsafe', `${JSON.stringify(path)}: too long`)
    }
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/** Opens a regular file for reading, never through a link; undefined when there is none. */
function openToRead(path: string): number | undefined {
  let descriptor: number
  try {
    descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return undefined
    throw new BelladonnaError('path_unsafe', `open ${JSON.stringify(path)}`, { cause })
  }
  if (fstatSync(descriptor).isFile()) return descriptor
  closeSync(descriptor)
  throw new BelladonnaError('path_unsafe', `${JSON.stringify(path)}: not a regular file`)
}

function parseKey(vkey: string | null, path: string): VerifierKey {
  if (vkey === null) {
    throw new BelladonnaError('state_invalid', `no key to verify with: ${JSON.stringify(path)}`)
  }
  return parseVerifierKey(vkey.trimEnd())
}
