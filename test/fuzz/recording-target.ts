/**
 * A recording, its bytes as hexadecimal digits. It is refused, or read to the same chunks in whatever pieces it comes; and what was
 * read is within its limit and is what is written again, by a second writer of spec/recording.md.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { openRecordingReader } from '../../src/core/audit/recording.ts'
import type { Chunk, RecordingHead } from '../../src/core/audit/recording.ts'
import { BelladonnaError } from '../../src/core/error.ts'
import type { Draw } from './mutate.ts'
import type { Target } from './target.ts'

type Vectors = Readonly<Record<'valid' | 'refused', readonly Readonly<{ hex: string }>[]>>
type Read = Readonly<{ head: RecordingHead | null; chunks: readonly Chunk[]; isWhole: boolean }>

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../../spec/vectors/recording.json', import.meta.url), 'utf8'),
)

export function recordingTarget(): Target {
  return {
    seeds: [...vectors.valid, ...vectors.refused].map(({ hex }) => hex),
    words: [
      ...['42454c4c52454331', '00', '01', 'ff', '00000000', '01000000', '00000100', '01000100'],
      ...['0100', '0200', '0300', '0400', '0500', 'ffffffffffffffff', '0000000000002000'],
    ],
    run: (input, draw) => {
      const bytes = Buffer.from(input.replace(/[^0-9a-f]/g, ''), 'hex')
      const whole = read([bytes])
      assert.deepEqual(read(cut(bytes, draw)), whole, 'it depends on the pieces')
      if (whole !== null) checkRead(whole, bytes)
    },
  }
}

function cut(bytes: Buffer, draw: Draw): readonly Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const size = 1 + draw(40)
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

function read(pieces: readonly Buffer[]): Read | null {
  const reader = openRecordingReader()
  try {
    const chunks = pieces.flatMap((piece) => reader.push(piece))
    return { head: reader.head(), chunks, isWhole: reader.isWhole() }
  } catch (error) {
    if (error instanceof BelladonnaError && error.code === 'log_corrupt') return null
    throw error
  }
}

function checkRead({ head, chunks, isWhole }: Read, bytes: Buffer): void {
  if (head === null) return assert.deepEqual([chunks, isWhole], [[], false])
  const written = Buffer.concat([formatHead(head), ...chunks.map(formatChunk)])
  assert.deepEqual(bytes.subarray(0, written.length), written, 'not what is written again')
  assert.equal(isWhole, chunks.at(-1)?.kind === 'end' && written.length === bytes.length)
  const limited = chunks.filter(({ kind }) => kind !== 'end').map((chunk) => formatChunk(chunk))
  assert.ok(Buffer.concat(limited).length <= head.limitBytes, 'more than its limit')
  assert.ok(
    chunks.slice(0, -1).every(({ kind }) => kind !== 'end'),
    'something behind its end',
  )
}

/** As spec/recording.md has it, and independent of the relay. */
function formatHead({ run, timeMs, limitBytes, nonce }: RecordingHead): Buffer {
  const head = Buffer.alloc(64)
  head.write('BELLREC1')
  head.writeUInt32LE(1, 8)
  for (const [at, value] of [run, timeMs, limitBytes].entries())
    head.writeBigUInt64LE(BigInt(value), 16 + 8 * at)
  head.write(nonce, 40, 'hex')
  return head
}

const kinds: readonly Chunk['kind'][] = ['stdout', 'stderr', 'terminal', 'size', 'end']

function formatChunk(chunk: Chunk): Buffer {
  const content = contentOf(chunk)
  const head = Buffer.alloc(16)
  head.writeUInt32LE(content.length)
  head.writeUInt16LE(1 + kinds.indexOf(chunk.kind), 4)
  head.writeBigUInt64LE(BigInt(chunk.atUs), 8)
  return Buffer.concat([head, content])
}

function contentOf(chunk: Chunk): Uint8Array {
  if (chunk.kind === 'size') {
    const size = Buffer.alloc(4)
    size.writeUInt16LE(chunk.columns)
    size.writeUInt16LE(chunk.rows, 2)
    return size
  }
  if (chunk.kind !== 'end') return chunk.bytes
  const { stdout, stderr, terminal } = chunk.leftOut
  const counts = Buffer.alloc(24)
  for (const [at, value] of [stdout, stderr, terminal].entries())
    counts.writeBigUInt64LE(BigInt(value), 8 * at)
  return counts
}
