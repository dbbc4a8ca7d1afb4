import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { formatFrame } from './frame.ts'
import { formatKept } from './launcher-frames.ts'
import { wireKind } from './layout.ts'
import { formatAdopt, formatLoaded, parseAdopt, parseLoaded } from './reload-frames.ts'
import type { Loaded } from './reload-frames.ts'

type Named = Readonly<{ name: string; frame: string }>
type Vectors = Readonly<{
  frames: readonly Named[]
  loaded: readonly (Named &
    Readonly<{
      reads_as: Readonly<{ kind: 'policy' | 'unusable'; digest?: string; why?: string }>
    }>)[]
  adopt: readonly (Named & Readonly<{ reads_as: string }>)[]
  invalid: readonly Named[]
}>

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/wire-reload.json', import.meta.url), 'utf8'),
)
const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
const bodyOf = (frame: string): Uint8Array => bytesOf(frame).subarray(8)
const invalid = { code: 'frame_invalid' }

test('reload frames: RELOAD and KEPT are those of the vectors', () => {
  const [reload, kept] = vectors.frames.map(({ frame }) => bytesOf(frame))
  assert.deepEqual(formatFrame(wireKind.reload), reload)
  assert.deepEqual(formatKept((1n << 10n) | (1n << 21n)), kept)
})

for (const { name, frame, reads_as: want } of vectors.loaded) {
  test(`reload frames: LOADED reads and writes: ${name}`, () => {
    const loaded: Loaded =
      want.kind === 'policy'
        ? { kind: 'policy', digest: bytesOf(want.digest ?? '') }
        : { kind: 'unusable', why: want.why ?? '' }
    assert.deepEqual(parseLoaded(bodyOf(frame)), loaded)
    assert.deepEqual(formatLoaded(loaded), bytesOf(frame))
    const body = bodyOf(frame)
    for (let size = 0; size < body.length; size += 1) {
      assert.throws(() => parseLoaded(body.subarray(0, size)), invalid)
    }
  })
}

for (const { name, frame, reads_as: digest } of vectors.adopt) {
  test(`reload frames: ${name} reads and writes`, () => {
    assert.deepEqual(parseAdopt(bodyOf(frame)), bytesOf(digest))
    assert.deepEqual(formatAdopt(bytesOf(digest)), bytesOf(frame))
  })
}

for (const { name, frame } of vectors.invalid) {
  test(`reload frames: refused: ${name}`, () => {
    const parse = name.startsWith('adopt') ? parseAdopt : parseLoaded
    assert.throws(() => parse(bodyOf(frame)), invalid)
  })
}
