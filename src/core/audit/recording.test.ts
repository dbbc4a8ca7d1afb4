import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { BelladonnaError } from '../error.ts'
import { parseHex } from '../json/hex.ts'
import { maxChunkBytes, openRecordingReader } from './recording.ts'
import type { Chunk } from './recording.ts'

type Shown = Readonly<Record<string, unknown>>
type Vectors = Readonly<{
  valid: readonly Readonly<{
    name: string
    hex: string
    chunks: readonly Shown[]
    whole: boolean
  }>[]
  refused: readonly Readonly<{ name: string; hex: string }>[]
}>
const { valid, refused }: Vectors = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/recording.json', import.meta.url), 'utf8'),
)

function shown(chunk: Chunk): Shown {
  if (chunk.kind === 'size') {
    return { kind: 'size', at_us: chunk.atUs, columns: chunk.columns, rows: chunk.rows }
  }
  if (chunk.kind !== 'end') {
    return { kind: chunk.kind, at_us: chunk.atUs, text: new TextDecoder().decode(chunk.bytes) }
  }
  const { stdout, stderr, terminal } = chunk.leftOut
  return { kind: 'end', at_us: chunk.atUs, left_out: [stdout, stderr, terminal] }
}

/** Pieces of these sizes, over and over; each is overwritten once it was pushed, as a buffer that is read into is. */
function read(
  bytes: Uint8Array,
  sizes: readonly number[],
): Readonly<{ chunks: readonly Shown[]; isWhole: boolean }> {
  const reader = openRecordingReader()
  const chunks: Shown[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1
    const piece = Buffer.from(bytes.subarray(at, at + size))
    chunks.push(...reader.push(piece).map(shown))
    piece.fill(0xff)
    at += size
  }
  return { chunks, isWhole: reader.isWhole() }
}

const isRefusal = (error: unknown): boolean =>
  error instanceof BelladonnaError && error.code === 'log_corrupt'

for (const { name, hex, chunks, whole } of valid) {
  test(`recording: vector: ${name}, in pieces of any size`, () => {
    const bytes = parseHex(hex)
    for (const sizes of [[bytes.length], [1], [7, 64, 3]]) {
      assert.deepEqual(read(bytes, sizes), { chunks, isWhole: whole })
    }
  })
}

for (const { name, hex } of refused) {
  test(`recording: vector: ${name} is refused`, () => {
    for (const sizes of [[100_000], [1]]) {
      assert.throws(() => read(parseHex(hex), sizes), isRefusal)
    }
  })
}

test('recording: the head says whose it is', () => {
  const reader = openRecordingReader()
  assert.equal(reader.head(), null)
  reader.push(parseHex(valid[0]?.hex ?? ''))
  assert.deepEqual(reader.head(), {
    ...{ run: 7, timeMs: 1_700_000_000_000, limitBytes: 1000 },
    nonce: '00112233445566778899aabbccddeeff',
  })
})

test('recording: whatever a file holds, it is read or refused, and no chunk is longer than one may be', () => {
  const worked = valid.map(({ hex }) => parseHex(hex))
  const mutation = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(
      fc.constantFrom(...worked),
      fc.array(mutation, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 4 }),
      (bytes, mutations, sizes) => {
        const mutated = Uint8Array.from(bytes)
        for (const [at, value] of mutations) mutated[at % mutated.length] = value
        try {
          const pieces = read(mutated, sizes)
          assert.deepEqual(pieces, read(mutated, [mutated.length]))
          for (const { text } of pieces.chunks) {
            assert.ok(typeof text !== 'string' || text.length <= maxChunkBytes)
          }
        } catch (error) {
          assert.ok(isRefusal(error), String(error))
        }
      },
    ),
    { numRuns: 3000 },
  )
})
