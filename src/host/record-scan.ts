import { readSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { announcedBytes, findFrameMagic, headerBytes, isZero } from './record-frame.ts'
import { maxPayloadBytes, parseFrame } from './record-frame.ts'
import type { RecordFileId } from './record-frame.ts'

/** Where the records of a file end, and up to where something else than zeros follows. */
export type ScanEnd = Readonly<{ end: number; tornUntil: number }>

const chunkBytes = 1024 * 1024
const frameHeadBytes = 16
/** What may follow the last good frame: a writer prepares 256 MiB at most, and of an append that was cut off little looks like one. */
const maxZeroBytes = 1024 * 1024 * 1024
const maxTriedBytes = 64 * maxPayloadBytes

/**
 * Reads the records of a file one by one, and returns where they end.
 *
 * It may run beside a writer: what is not whole yet counts as torn. Each record is a view that holds until the next one
 * is asked for.
 *
 * @throws {BelladonnaError} `log_corrupt` when a good frame follows a bad one, or what follows would take for ever to read
 */
export function* scanRecords(fd: number, file: RecordFileId): Generator<Buffer, ScanEnd> {
  const window = openWindow(fd)
  let offset = headerBytes
  for (;;) {
    const found = readFrame(window, file, offset)
    if (found === undefined) {
      const tail = scanTail(window, file, offset)
      if (tail.nextFrame === undefined) return { end: offset, tornUntil: tail.nonZeroUntil }
      // A writer may have finished this frame and written the next one since we read it. Look once more.
      window.forget()
      if (readFrame(window, file, offset) === undefined) {
        const place = `the frame at ${String(offset)} is bad, the one at ${String(tail.nextFrame)} is not`
        throw new BelladonnaError('log_corrupt', `read records: ${place}`)
      }
    } else {
      yield* found.records
      offset += found.bytes
    }
  }
}

/** Reads up to `length` bytes at `position`; fewer only at the end of the file. */
export function readFully(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const count = readSync(fd, bytes, filled, length - filled, position + filled)
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
}

type Window = Readonly<{
  /** Bytes from `offset`, at most `length` of them, fewer at the end of the file. */
  at: (offset: number, length: number) => Buffer
  forget: () => void
}>

function openWindow(fd: number): Window {
  // `at` and `forget` write these two.
  let base = 0
  let bytes: Buffer = Buffer.alloc(0)
  return {
    at: (offset, length) => {
      if (offset < base || offset + length > base + bytes.length) {
        base = offset
        bytes = readFully(fd, offset, Math.max(length, chunkBytes))
      }
      return bytes.subarray(offset - base, offset - base + length)
    },
    forget: () => {
      bytes = Buffer.alloc(0)
    },
  }
}

function readFrame(
  window: Window,
  file: RecordFileId,
  offset: number,
): { bytes: number; records: readonly Buffer[] } | undefined {
  const bytes = announcedAt(window, offset)
  if (bytes === undefined) return undefined
  const frame = window.at(offset, bytes)
  const records = frame.length < bytes ? undefined : parseFrame(frame, file, offset)
  return records === undefined ? undefined : { bytes, records }
}

function announcedAt(window: Window, offset: number): number | undefined {
  const head = window.at(offset, frameHeadBytes)
  return head.length < frameHeadBytes ? undefined : announcedBytes(head)
}

/** What comes after the last good frame: nothing but zeros, an append that was cut off, or another good frame. */
function scanTail(
  window: Window,
  file: RecordFileId,
  offset: number,
): { nonZeroUntil: number; nextFrame: number | undefined } {
  let nonZeroUntil = offset
  let triedBytes = 0
  for (let base = offset; ; base += chunkBytes) {
    const chunk = Buffer.from(window.at(base, chunkBytes))
    if (chunk.length === 0) return { nonZeroUntil, nextFrame: undefined }
    if (base - nonZeroUntil > maxZeroBytes) throw endless(offset, 'nothing but zeros')
    if (isZero(chunk)) continue
    nonZeroUntil = base + chunk.findLastIndex((byte) => byte !== 0) + 1
    let at = findFrameMagic(chunk, base === offset ? 1 : 0)
    for (; at !== undefined; at = findFrameMagic(chunk, at + 1)) {
      if (readFrame(window, file, base + at) !== undefined) {
        return { nonZeroUntil, nextFrame: base + at }
      }
      triedBytes += announcedAt(window, base + at) ?? 0
      if (triedBytes > maxTriedBytes) throw endless(offset, 'what looks like frames')
    }
  }
}

/** A log that somebody made so that it is never read to its end. */
function endless(offset: number, what: string): BelladonnaError {
  return new BelladonnaError('log_corrupt', `read records: too much behind ${offset} is ${what}`)
}
