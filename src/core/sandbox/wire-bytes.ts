/**
 * Little-endian bytes of variable length, for what follows a struct of native/wire.h or native/plan.h: str16, blob32, integers.
 */
import { BelladonnaError } from '../error.ts'

/** Appends values; each method throws `input_invalid` on a value that its field cannot hold. */
export type ByteWriter = Readonly<{
  u8: (value: number) => void
  u16: (value: number) => void
  u32: (value: number) => void
  /** Takes a number up to 2⁵³-1, or a bigint. */
  u64: (value: number | bigint) => void
  raw: (bytes: Uint8Array) => void
  /** u16 byte count, then UTF-8. */
  str16: (text: string) => void
  /** u32 byte count, then UTF-8. */
  blob32: (text: string) => void
  /** All that was written so far. */
  bytes: () => Uint8Array
}>

/** Takes values off the front; each method throws `frame_invalid` if they are not there or not of their form. */
export type ByteReader = Readonly<{
  u8: () => number
  u16: () => number
  u32: () => number
  u64: () => bigint
  /** A u64 that must be at most 2⁵³-1. */
  count64: () => number
  raw: (size: number) => Uint8Array
  str16: () => string
  blob32: () => string
  /** Throws unless everything was read. */
  end: () => void
}>

const encoder = new TextEncoder()
// `ignoreBOM` keeps U+FEFF as a character: what was read must be written again as the same bytes.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @param what names the thing in errors, e.g. `plan` */
export function newByteWriter(what: string): ByteWriter {
  const chunks: Uint8Array[] = []
  let size = 0

  function raw(bytes: Uint8Array): void {
    chunks.push(bytes)
    size += bytes.length
  }
  function integer(value: number | bigint, width: number): void {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) throw unfit(what, `${value}`)
    const wide = BigInt(value)
    if (wide < 0n || wide >= 1n << BigInt(8 * width)) throw unfit(what, `${value}`)
    const chunk = new Uint8Array(8)
    new DataView(chunk.buffer).setBigUint64(0, wide, true)
    raw(chunk.subarray(0, width))
  }
  function text(value: string, width: number): void {
    if (!value.isWellFormed() || value.includes('\0')) throw unfit(what, JSON.stringify(value))
    const bytes = encoder.encode(value)
    integer(bytes.length, width)
    raw(bytes)
  }
  function bytes(): Uint8Array {
    const all = new Uint8Array(size)
    let at = 0
    for (const chunk of chunks) {
      all.set(chunk, at)
      at += chunk.length
    }
    return all
  }
  return {
    u8: (value) => integer(value, 1),
    u16: (value) => integer(value, 2),
    u32: (value) => integer(value, 4),
    u64: (value) => integer(value, 8),
    raw,
    str16: (value) => text(value, 2),
    blob32: (value) => text(value, 4),
    bytes,
  }
}

/** @param what names the thing in errors, e.g. `plan` */
export function newByteReader(what: string, bytes: Uint8Array): ByteReader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0

  function skip(size: number): number {
    if (size > bytes.length - at) throw malformed(what, `ends after ${bytes.length} bytes`)
    at += size
    return at - size
  }
  function raw(size: number): Uint8Array {
    const from = skip(size)
    return bytes.slice(from, from + size)
  }
  function text(size: number): string {
    const from = at
    try {
      const value = decoder.decode(raw(size))
      if (!value.includes('\0')) return value
    } catch (cause) {
      throw malformed(what, `no UTF-8 text of ${size} bytes at byte ${from}`, cause)
    }
    throw malformed(what, `NUL in the text at byte ${from}`)
  }
  function u16(): number {
    return view.getUint16(skip(2), true)
  }
  function u32(): number {
    return view.getUint32(skip(4), true)
  }
  function u64(): bigint {
    return view.getBigUint64(skip(8), true)
  }
  function count64(): number {
    const value = Number(u64())
    if (!Number.isSafeInteger(value)) throw malformed(what, 'a count above 2^53')
    return value
  }
  function end(): void {
    if (at !== bytes.length) throw malformed(what, `${bytes.length - at} bytes too many`)
  }
  return {
    u8: () => view.getUint8(skip(1)),
    u16,
    u32,
    u64,
    count64,
    raw,
    str16: () => text(u16()),
    blob32: () => text(u32()),
    end,
  }
}

/** What a reader throws on bytes that are not of their form. */
export function malformed(what: string, why: string, cause?: unknown): BelladonnaError {
  return new BelladonnaError('frame_invalid', `parse ${what}: ${why}`, { cause })
}

function unfit(what: string, value: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `format ${what}: cannot hold ${value}`)
}
