import { BelladonnaError } from '../error.ts'

/** A position in bytes that somebody else wrote. Reads throw `frame_invalid` past the end; none of them guesses. */
export type Reader = { readonly bytes: Uint8Array; readonly view: DataView; at: number }

export function openReader(bytes: Uint8Array): Reader {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 }
}

function advance(reader: Reader, size: number): number {
  const at = reader.at
  if (size > reader.bytes.length - at) {
    throw new BelladonnaError('frame_invalid', `read ${size} bytes at ${at}: the frame ends`)
  }
  reader.at = at + size
  return at
}

export function readU8(reader: Reader): number {
  return reader.view.getUint8(advance(reader, 1))
}

export function readU16(reader: Reader): number {
  return reader.view.getUint16(advance(reader, 2), true)
}

export function readU32(reader: Reader): number {
  return reader.view.getUint32(advance(reader, 4), true)
}

/** An unsigned 64-bit integer as a number; above 2^53-1 it is refused, not rounded. */
export function readU64(reader: Reader): number {
  const at = advance(reader, 8)
  const value =
    reader.view.getUint32(at + 4, true) * 0x1_0000_0000 + reader.view.getUint32(at, true)
  if (!Number.isSafeInteger(value)) {
    throw new BelladonnaError('frame_invalid', `read u64 at ${at}: above 2^53-1`)
  }
  return value
}

/** An unsigned 64-bit integer, all of it. */
export function readBig64(reader: Reader): bigint {
  return reader.view.getBigUint64(advance(reader, 8), true)
}

/** `size` bytes, sharing memory with the frame. */
export function readBytes(reader: Reader, size: number): Uint8Array {
  const at = advance(reader, size)
  return reader.bytes.subarray(at, at + size)
}

/** What is left. */
export function readRest(reader: Reader): Uint8Array {
  return readBytes(reader, reader.bytes.length - reader.at)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 as it stands: overlong forms, surrogates and NUL are refused, never repaired (C13). */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.includes(0)) throw new BelladonnaError('frame_invalid', 'text: holds NUL')
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw new BelladonnaError('frame_invalid', 'text: not UTF-8', { cause })
  }
}

/** A string with a u16 byte count, which is refused above `maxBytes`. */
export function readText16(reader: Reader, maxBytes = 0xffff): string {
  const size = readU16(reader)
  if (size > maxBytes) throw new BelladonnaError('frame_invalid', `text of ${size} bytes`)
  return decodeText(readBytes(reader, size))
}

/** A frame has nothing behind its last field. */
export function expectEnd(reader: Reader): void {
  if (reader.at !== reader.bytes.length) {
    throw new BelladonnaError('frame_invalid', `${reader.bytes.length - reader.at} bytes too many`)
  }
}

/** Bytes under construction; grows by doubling. */
export type Writer = { bytes: Uint8Array; view: DataView; size: number }

export function openWriter(capacity = 256): Writer {
  const bytes = new Uint8Array(capacity)
  return { bytes, view: new DataView(bytes.buffer), size: 0 }
}

function reserve(writer: Writer, size: number): number {
  const at = writer.size
  if (at + size > writer.bytes.length) {
    const grown = new Uint8Array(Math.max(writer.bytes.length * 2, at + size))
    grown.set(writer.bytes)
    writer.bytes = grown
    writer.view = new DataView(grown.buffer)
  }
  writer.size = at + size
  return at
}

export function writeU8(writer: Writer, value: number): void {
  const at = reserve(writer, 1)
  writer.view.setUint8(at, value)
}

export function writeU16(writer: Writer, value: number): void {
  const at = reserve(writer, 2)
  writer.view.setUint16(at, value, true)
}

export function writeU32(writer: Writer, value: number): void {
  const at = reserve(writer, 4)
  writer.view.setUint32(at, value, true)
}

export function writeU64(writer: Writer, value: number): void {
  const at = reserve(writer, 8)
  writer.view.setUint32(at, value % 0x1_0000_0000, true)
  writer.view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
}

export function writeBig64(writer: Writer, value: bigint): void {
  const at = reserve(writer, 8)
  writer.view.setBigUint64(at, value, true)
}

export function writeBytes(writer: Writer, bytes: Uint8Array): void {
  const at = reserve(writer, bytes.length)
  writer.bytes.set(bytes, at)
}

const encoder = new TextEncoder()

/** A string with a u16 byte count. Throws `input_invalid` above 65,535 bytes. */
export function writeText16(writer: Writer, text: string): void {
  const bytes = encoder.encode(text)
  if (bytes.length > 0xffff) throw new BelladonnaError('input_invalid', 'text: over 65,535 bytes')
  writeU16(writer, bytes.length)
  writeBytes(writer, bytes)
}

export function written(writer: Writer): Uint8Array {
  return writer.bytes.subarray(0, writer.size)
}
