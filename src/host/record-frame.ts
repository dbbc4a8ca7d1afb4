/**
 * The bytes of an append-only file: a header block, then frames. spec/log.md, "Record files", is the normative text.
 *
 * A frame is one append: all its records or none. So after a power loss, when the blocks of the last append may have
 * reached the disk in any order, one checksum decides over the whole of it; and a bad frame before a good one cannot
 * come from a power loss, because the good one was only written after the bad one had been synced.
 */
import { crc32 } from 'node:zlib'
import { BelladonnaError } from '../core/error.ts'

/** What a file holds; in its header, so that one cannot be put in the other's place. */
export type RecordPurpose = 'log' | 'receipts'

/** A file's identity. `seed` starts every checksum, so that a frame of another file, or of this one elsewhere, is bad. */
export type RecordFileId = Readonly<{ purpose: RecordPurpose; id: Uint8Array; seed: number }>

/** Longest record in bytes. */
export const maxRecordBytes: number = 262_144
/** Longest frame without its header: about sixteen of the longest records. */
export const maxPayloadBytes: number = 4 * 1024 * 1024
/** The header has a block of its own, so that no torn append can touch it. */
export const headerBytes: number = 4096

const frameHeadBytes = 16
/** Frames start at multiples of this; the gap is zero. */
const alignment = 16
const fileMagic = 'belladon'
const version = 1
const frameMagic = 0x5246_4442 // "BDFR"
const purposes: readonly RecordPurpose[] = ['log', 'receipts']

/** Bytes of a file's header. `id` is 16 random bytes. */
export function formatHeader(purpose: RecordPurpose, id: Uint8Array): Buffer {
  const header = Buffer.alloc(headerBytes)
  header.write(fileMagic, 0, 'latin1')
  header.writeUInt32LE(version, 8)
  header.writeUInt32LE(purposes.indexOf(purpose), 12)
  header.set(id, 16)
  header.writeUInt32LE(crc32(header.subarray(0, 32)), 32)
  return header
}

/**
 * Reads a file's header block.
 *
 * @throws {BelladonnaError} `log_corrupt` when it is not that of such a file
 */
export function parseHeader(header: Buffer, purpose: RecordPurpose): RecordFileId {
  const id = Uint8Array.from(header.subarray(16, 32))
  if (header.length < headerBytes || !header.equals(formatHeader(purpose, id))) {
    throw new BelladonnaError('log_corrupt', `read header: not a file of ${purpose} in version 1`)
  }
  // Without the header's own checksum: over data and its checksum a CRC is the same for all data.
  return { purpose, id, seed: crc32(header.subarray(0, 32)) }
}

/** Bytes that `records` take in a frame, with its header and the gap after it. */
export function frameBytes(records: readonly Uint8Array[]): number {
  return align(frameHeadBytes + payloadBytes(records))
}

/** Writes one frame to the start of `target`, which has at least `frameBytes`, and returns that part of it. */
export function formatFrame(
  records: readonly Uint8Array[],
  file: RecordFileId,
  offset: number,
  target: Buffer,
): Buffer {
  const frame = target.subarray(0, frameBytes(records))
  frame.writeUInt32LE(frameMagic, 0)
  frame.writeUInt32LE(payloadBytes(records), 4)
  frame.writeUInt32LE(records.length, 8)
  let at = frameHeadBytes
  for (const record of records) {
    frame.writeUInt32LE(record.length, at)
    frame.set(record, at + 4)
    at += 4 + record.length
  }
  frame.fill(0, at)
  frame.writeUInt32LE(checksum(frame, at - frameHeadBytes, file, offset), 12)
  return frame
}

/** Size of the frame that these 16 bytes announce, with head and gap; undefined when they announce none. */
export function announcedBytes(head: Buffer): number | undefined {
  if (head.readUInt32LE(0) !== frameMagic) return undefined
  const payload = head.readUInt32LE(4)
  return payload > maxPayloadBytes ? undefined : align(frameHeadBytes + payload)
}

/**
 * The records of a whole frame, as views of it; undefined when its checksum or gap is wrong.
 *
 * @throws {BelladonnaError} `log_corrupt` when the checksum is right and the content still is not of its form
 */
export function parseFrame(
  frame: Buffer,
  file: RecordFileId,
  offset: number,
): readonly Buffer[] | undefined {
  const payload = frame.readUInt32LE(4)
  const end = frameHeadBytes + payload
  if (frame.readUInt32LE(12) !== checksum(frame, payload, file, offset)) return undefined
  if (!isZero(frame.subarray(end))) return undefined
  const records: Buffer[] = []
  for (let at = frameHeadBytes; at < end;) {
    const start = at + 4
    at = start > end ? Infinity : start + frame.readUInt32LE(at)
    if (at > end) throw new BelladonnaError('log_corrupt', 'read frame: a record exceeds it')
    records.push(frame.subarray(start, at))
  }
  if (records.length === 0 || records.length !== frame.readUInt32LE(8)) {
    throw new BelladonnaError('log_corrupt', 'read frame: another number of records')
  }
  return records
}

/** Whether all bytes are zero. */
export function isZero(bytes: Buffer): boolean {
  return bytes.length === 0 || (bytes[0] === 0 && bytes.subarray(1).equals(bytes.subarray(0, -1)))
}

/** Offset of the next aligned bytes that look like the start of a frame, or undefined. */
export function findFrameMagic(bytes: Buffer, from: number): number | undefined {
  const magic = Buffer.alloc(4)
  magic.writeUInt32LE(frameMagic)
  for (let at = bytes.indexOf(magic, from); at !== -1; at = bytes.indexOf(magic, at + 1)) {
    if (at % alignment === 0) return at
  }
  return undefined
}

function payloadBytes(records: readonly Uint8Array[]): number {
  return records.reduce((sum, { length }) => sum + 4 + length, 0)
}

function checksum(frame: Buffer, payload: number, file: RecordFileId, offset: number): number {
  const place = Buffer.alloc(8)
  place.writeBigUInt64LE(BigInt(offset))
  const head = crc32(frame.subarray(0, 12), crc32(place, file.seed))
  return crc32(frame.subarray(frameHeadBytes, frameHeadBytes + payload), head)
}

function align(size: number): number {
  return Math.ceil(size / alignment) * alignment
}
