import { closeSync, fdatasyncSync, writeSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { isCode } from './directory.ts'
import { holdFileLock } from './file-lock.ts'
import { formatFrame, frameBytes, maxPayloadBytes, maxRecordBytes } from './record-frame.ts'
import type { RecordFileId, RecordPurpose } from './record-frame.ts'
import { cutTail, openRecordFile, readRecordFileId } from './record-file.ts'
import { scanRecords } from './record-scan.ts'
import { openSpaceAhead } from './space-ahead.ts'
import type { SpaceAhead } from './space-ahead.ts'

/** The two calls that can fail while records are appended. Tests pass failing ones. */
export type FileCalls = Readonly<{
  /** Writes at `position` and returns how many bytes it took, as pwrite(2). */
  write: (
    descriptor: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ) => number
  /** fdatasync(2). */
  datasync: (descriptor: number) => void
}>

export type AppendFileOptions = Readonly<{
  purpose: RecordPurpose
  /** Gets each record that the file has, in order. The bytes are good for this call only: copy what is kept. */
  onRecord?: (record: Uint8Array, index: number) => void
  /** The one user that may own the file. Without it, the process's effective user. */
  uid?: number
  /** Rights of a new file. With 0o640 its directory's group may read it. */
  mode?: 0o600 | 0o640
  /** How much space is prepared at a time. */
  stepBytes?: number
  calls?: FileCalls
}>

/** What opening found. */
export type Recovery = Readonly<{
  /** There was no such file. Whether that may be is for the caller to say: a checkpoint knows. */
  created: boolean
  /** Records that were there. */
  records: number
  /** Bytes of a torn append that were cut off. They are kept in a file `<path>.cut-<offset>`. */
  cutBytes: number
}>

const defaultStepBytes = 1024 * 1024
/**
 * What is left at least for the ends of runs that have started when the disk is full: 4 KiB, about an intent and an outcome,
 * for each of the launcher's 128 places. With larger steps it is half of one.
 */
const minReserveBytes = 512 * 1024
const smallBufferBytes = 16 * 1024
const keptBufferBytes = 256 * 1024
const realCalls: FileCalls = { write: writeSync, datasync: fdatasyncSync }

/**
 * An open append-only file of records. The descriptor, the lock and the prepared space are its own until it is disposed
 * of.
 *
 * Trust: whoever can write the file can put anything into it; that it was not changed is shown by signed checkpoints and
 * by the receipts' chain, not here.
 */
export class AppendFile implements Disposable {
  readonly recovery: Recovery
  readonly #file: RecordFileId
  readonly #descriptor: number
  readonly #space: SpaceAhead
  readonly #calls: FileCalls
  readonly #owned: DisposableStack
  readonly #stepBytes: number
  /** `append` grows it. */
  #buffer: Buffer = Buffer.alloc(smallBufferBytes)
  /** Where the next frame goes. `append` moves it. */
  #end: number
  #count: number
  /** Set by the first failure, for good. */
  #failure: unknown

  /** For `openAppendFile`, which has checked everything. */
  constructor(
    opened: Readonly<{
      file: RecordFileId
      descriptor: number
      end: number
      recovery: Recovery
      calls: FileCalls
      stepBytes: number
      owned: DisposableStack
    }>,
  ) {
    this.recovery = opened.recovery
    this.#file = opened.file
    this.#descriptor = opened.descriptor
    this.#calls = opened.calls
    this.#end = opened.end
    this.#count = opened.recovery.records
    this.#owned = opened.owned
    this.#stepBytes = opened.stepBytes
    this.#space = this.#owned.use(
      openSpaceAhead(opened.descriptor, opened.end, opened.stepBytes, (cause) => {
        this.#failure ??= cause
      }),
    )
  }

  /** How many records the file has. */
  get count(): number {
    return this.#count
  }

  /**
   * Whether the disk gave no more space and little of the prepared one is left: then what begins something new is to be
   * refused, and what ends something still fits (ABUSE C66). While it is so, each call asks the disk once more.
   */
  isShort(): boolean {
    const isShort =
      this.#space.isRefused() &&
      this.#space.preparedBytes() - this.#end < Math.max(minReserveBytes, this.#stepBytes / 2)
    if (isShort) this.#space.extend()
    return isShort
  }

  /**
   * Appends records and returns once they are durable: one write and one fdatasync, for up to 4 MiB.
   *
   * After any failure the file is dead. A failed fdatasync is never retried: the kernel has dropped the pages that it
   * could not write and would report success (fsyncgate; ABUSE C64).
   *
   * @throws {BelladonnaError} `log_failed` from the first failure on; `input_invalid`, with nothing written, for a record
   *   that is empty or longer than `maxRecordBytes`
   */
  append(records: readonly Uint8Array[]): void {
    if (this.#failure !== undefined) throw this.#dead()
    for (const { length } of records) {
      if (length === 0 || length > maxRecordBytes) {
        throw new BelladonnaError('input_invalid', `append a record of ${length} bytes`)
      }
    }
    for (const batch of batchesOf(records)) this.#appendFrame(batch)
    // Half a step is left: a whole one is added at once, seldom, instead of a little after each append.
    if (this.#space.preparedBytes() - this.#end < this.#stepBytes / 2) this.#space.extend()
  }

  /** Reads the file's records again, from the first to the last. Each is good until the next one is asked for. */
  *records(): Generator<Uint8Array> {
    const scan = scanRecords(this.#descriptor, this.#file)
    for (let left = this.#count; left > 0; left -= 1) {
      const { done, value } = scan.next()
      if (done === true) throw this.#dead()
      yield value
    }
  }

  [Symbol.dispose](): void {
    this.#failure ??= new BelladonnaError('log_failed', 'the file was closed')
    this.#owned.dispose()
  }

  #appendFrame(records: readonly Uint8Array[]): void {
    const frame = formatFrame(records, this.#file, this.#end, this.#bufferFor(frameBytes(records)))
    try {
      this.#checkSpace(frame.length)
      this.#writeAll(frame)
      this.#calls.datasync(this.#descriptor)
    } catch (cause) {
      this.#failure = cause
      throw this.#dead()
    }
    this.#end += frame.length
    this.#count += records.length
  }

  /** On a full disk an append that does not fit is not even begun: it would leave a torn one behind. */
  #checkSpace(bytes: number): void {
    if (this.#space.isRefused() && this.#end + bytes > this.#space.preparedBytes()) {
      throw new BelladonnaError('log_failed', 'no space is left')
    }
  }

  #writeAll(frame: Buffer): void {
    for (let at = 0; at < frame.length;) {
      try {
        const left = frame.length - at
        const count = this.#calls.write(this.#descriptor, frame, at, left, this.#end + at)
        if (count === 0) throw new BelladonnaError('log_failed', 'write took no bytes')
        at += count
      } catch (error) {
        if (!isCode(error, 'EINTR')) throw error
      }
    }
  }

  /** Keeps what groups of a busy bridge need; a larger buffer lives for one append. */
  #bufferFor(bytes: number): Buffer {
    if (bytes > keptBufferBytes) return Buffer.alloc(bytes)
    if (bytes > this.#buffer.length) this.#buffer = Buffer.alloc(keptBufferBytes)
    return this.#buffer
  }

  #dead(): BelladonnaError {
    return new BelladonnaError('log_failed', `append to ${this.#file.purpose}`, {
      cause: this.#failure,
    })
  }
}

/**
 * Opens a record file for appending, alone: makes it where there is none, gives out the records that it has, and takes a
 * torn append off its end.
 *
 * @throws {BelladonnaError} `start_failed` when another process has it open; `path_unsafe` when others could write it;
 *   `log_corrupt` when it is damaged elsewhere than at its end
 */
export function openAppendFile(path: string, options: AppendFileOptions): AppendFile {
  using owned = new DisposableStack()
  const owner = { uid: options.uid ?? effectiveUid(), mode: options.mode ?? 0o600 }
  owned.use(holdFileLock(path))
  const { descriptor, created } = openRecordFile(path, options.purpose, owner)
  owned.defer(() => {
    closeSync(descriptor)
  })
  const file = readRecordFileId(descriptor, options.purpose)
  let records = 0
  const scan = scanRecords(descriptor, file)
  let next = scan.next()
  for (; next.done !== true; next = scan.next()) {
    options.onRecord?.(next.value, records)
    records += 1
  }
  const { end, tornUntil } = next.value
  if (tornUntil > end) cutTail(path, descriptor, end, tornUntil)
  return new AppendFile({
    file,
    descriptor,
    end,
    recovery: { created, records, cutBytes: tornUntil - end },
    calls: options.calls ?? realCalls,
    stepBytes: options.stepBytes ?? defaultStepBytes,
    owned: owned.move(),
  })
}

/** Cuts records into groups that fit into a frame each. */
function* batchesOf(records: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let batch: Uint8Array[] = []
  let bytes = 0
  for (const record of records) {
    if (bytes + 4 + record.length > maxPayloadBytes) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(record)
    bytes += 4 + record.length
  }
  if (batch.length > 0) yield batch
}

function effectiveUid(): number {
  const uid = process.geteuid?.()
  if (uid === undefined)
    throw new BelladonnaError('host_unsupported', 'open a record file: no uids')
  return uid
}
