import { BelladonnaError } from '../error.ts'
import { openReader, readBytes, readU16, readU32, readU64 } from '../protocol/bytes.ts'
import { wireChunkKind, wireLayout } from '../protocol/layout.ts'
import { formatHex } from './merkle.ts'

/** What stands at the beginning of a recording. */
export type RecordingHead = Readonly<{
  run: number
  /** When it was asked for, by the launcher's clock. */
  timeMs: number
  /** What all chunks but the last may take together, their heads included. */
  limitBytes: number
  /** 32 hexadecimal digits: the file's name. */
  nonce: string
}>

/** A stream of a run's output. */
export type RecordedStream = 'stdout' | 'stderr' | 'terminal'

/** One piece, in the order in which they came. `atUs` counts from just before the gate opened. */
export type Chunk =
  | Readonly<{ kind: RecordedStream; atUs: number; bytes: Uint8Array }>
  | Readonly<{ kind: 'size'; atUs: number; columns: number; rows: number }>
  /** The last: bytes that were written and are not in here. */
  | Readonly<{ kind: 'end'; atUs: number; leftOut: Readonly<Record<RecordedStream, number>> }>

/** Takes a recording in pieces of any size. */
export type RecordingReader = Readonly<{
  /** Null until enough of it was pushed. */
  head: () => RecordingHead | null
  /** Takes the next piece; the chunks that it completed are returned. */
  push: (piece: Uint8Array) => readonly Chunk[]
  /** Whether it ended with its `end`: otherwise it was cut off, perhaps in the middle of a chunk. */
  isWhole: () => boolean
}>

/** The longest chunk that a relay writes, in bytes without its head. */
export const maxChunkBytes: number = 65_536
const headBytes = wireLayout.recordingHead.size
const chunkHeadBytes = wireLayout.chunk.size
const magic = [...new TextEncoder().encode('BELLREC1')]
const streams: ReadonlyMap<number, RecordedStream> = new Map([
  [wireChunkKind.stdout, 'stdout'],
  [wireChunkKind.stderr, 'stderr'],
  [wireChunkKind.terminal, 'terminal'],
])

/**
 * Reads a recording, and nothing but what a relay writes: who holds the file could have put anything into it.
 *
 * `push` throws {BelladonnaError} `log_corrupt` at the first byte that cannot be; then the reader is of no more use.
 *
 * @see spec/recording.md
 */
export function openRecordingReader(): RecordingReader {
  let rest: Uint8Array = new Uint8Array(0)
  let head: RecordingHead | null = null
  let room = 0
  let latestUs = 0
  let isWhole = false
  const take = (): Chunk | null => {
    const size = sizeOfNext(rest)
    if (size === null || rest.length < chunkHeadBytes + size) return null
    const chunk = parseChunk(rest.subarray(0, chunkHeadBytes + size))
    rest = rest.subarray(chunkHeadBytes + size)
    if (chunk.atUs < latestUs) throw corrupt('time runs backwards')
    latestUs = chunk.atUs
    isWhole = chunk.kind === 'end'
    if (!isWhole) room -= chunkHeadBytes + size
    if (room < 0) throw corrupt('more than its limit')
    return chunk
  }
  return {
    head: () => head,
    isWhole: () => isWhole && rest.length === 0,
    push: (piece) => {
      if (isWhole && piece.length > 0) throw corrupt('something behind its end')
      rest = joined(rest, piece) // a copy: the piece is the caller's
      if (head === null && rest.length < headBytes) return []
      if (head === null) {
        head = parseHead(rest.subarray(0, headBytes))
        room = head.limitBytes
        rest = rest.subarray(headBytes)
      }
      const chunks: Chunk[] = []
      for (let next = take(); next !== null; next = take()) {
        chunks.push(next)
        if (isWhole && rest.length > 0) throw corrupt('something behind its end')
      }
      return chunks
    },
  }
}

function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
  const both = new Uint8Array(left.length + right.length)
  both.set(left)
  both.set(right, left.length)
  return both
}

function sizeOfNext(rest: Uint8Array): number | null {
  if (rest.length < chunkHeadBytes) return null
  const size = readU32(openReader(rest.subarray(0, chunkHeadBytes)))
  if (size === 0 || size > maxChunkBytes) throw corrupt(`a chunk of ${String(size)} bytes`)
  return size
}

function parseHead(bytes: Uint8Array): RecordingHead {
  const reader = openReader(bytes)
  if (readBytes(reader, magic.length).some((byte, at) => byte !== magic[at])) {
    throw corrupt('not a recording')
  }
  const [version, flags] = [readU32(reader), readU32(reader)]
  if (version !== 1 || flags !== 0) throw corrupt('another version, or unknown flags')
  const head = {
    ...{ run: countOf(readU64, reader), timeMs: countOf(readU64, reader) },
    ...{ limitBytes: countOf(readU64, reader), nonce: formatHex(readBytes(reader, 16)) },
  }
  if (readBytes(reader, 8).some((byte) => byte !== 0)) throw corrupt('a head that is not zero')
  return head
}

function parseChunk(bytes: Uint8Array): Chunk {
  const reader = openReader(bytes)
  const size = readU32(reader)
  const [kind, zero] = [readU16(reader), readU16(reader)]
  const atUs = countOf(readU64, reader)
  if (zero !== 0) throw corrupt('a chunk whose head is not zero')
  const stream = streams.get(kind)
  if (stream !== undefined) return { kind: stream, atUs, bytes: readBytes(reader, size) }
  if (kind === wireChunkKind.size && size === 4) {
    return { kind: 'size', atUs, columns: readU16(reader), rows: readU16(reader) }
  }
  if (kind !== wireChunkKind.end || size !== 24) throw corrupt(`a chunk of kind ${String(kind)}`)
  const [stdout, stderr, terminal] = [
    countOf(readU64, reader),
    countOf(readU64, reader),
    countOf(readU64, reader),
  ]
  return { kind: 'end', atUs, leftOut: { stdout, stderr, terminal } }
}

type Reader = ReturnType<typeof openReader>

/** What no double holds exactly is refused. */
function countOf(read: (reader: Reader) => number, reader: Reader): number {
  try {
    return read(reader)
  } catch (cause) {
    throw corrupt('a number that is too large', cause)
  }
}

function corrupt(what: string, cause?: unknown): BelladonnaError {
  return new BelladonnaError('log_corrupt', `read recording: ${what}`, { cause })
}
