import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { openReader, openWriter, written } from './bytes.ts'
import { formatRead, parseInputBytes, readInputs, writeInputs } from './input-frames.ts'
import type { ResolvedInputs } from './input-frames.ts'
import { maxReadBytes } from './layout.ts'

const invalid = { code: 'frame_invalid' }
const digest = fc.stringMatching(/^[0-9a-f]{64}$/)
const plain = { noNullPrototype: true }
const name = fc.stringMatching(/^[a-z][a-z0-9._-]{0,9}$/)
const number = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const content = fc.option(fc.record({ sha256: digest, size: fc.nat(1_048_576) }, plain))
const file = fc.record({ device: number, inode: number, content }, plain)
const inputs: fc.Arbitrary<ResolvedInputs> = fc.record(
  {
    files: fc.array(file, { maxLength: 16 }),
    stdin: fc.option(fc.record({ sha256: digest, size: fc.nat(1_048_576) }, plain)),
    secrets: fc.dictionary(name, digest, { ...plain, maxKeys: 4 }),
  },
  plain,
)

function bytesOf(value: ResolvedInputs): Uint8Array {
  const writer = openWriter(1)
  writeInputs(writer, value)
  return written(writer).slice()
}

test('inputs: parse(format(i)) = i', () => {
  fc.assert(
    fc.property(inputs, (value) => {
      assert.deepEqual(readInputs(openReader(bytesOf(value))), value)
    }),
  )
})

test('inputs: a flag that is none, a secret or a file too many, and bytes behind the end are refused', () => {
  const none = bytesOf({ files: [], stdin: null, secrets: {} })
  assert.deepEqual([...none], [0, 0, 0, 0, 0])
  const bad = [none.with(1, 5), none.with(3, 18), Uint8Array.of(...none, 0), none.subarray(0, 2)]
  const stdin = bytesOf({ files: [], stdin: { sha256: 'a'.repeat(64), size: 1 }, secrets: {} })
  const file = bytesOf({
    ...{ files: [{ device: 1n, inode: 2n, content: null }], stdin: null, secrets: {} },
  })
  for (const bytes of [...bad, stdin.with(0, 2), file.with(file.length - 1, 2)]) {
    assert.throws(() => readInputs(openReader(bytes)), invalid)
  }
})

test('inputs: a secret that an object would lose, or hold at another place, is refused', () => {
  const sha = 'a'.repeat(64)
  const named = (first: string, second: string): Uint8Array => {
    const right = bytesOf({ files: [], stdin: null, secrets: { first: sha, other: sha } })
    const text = Buffer.from(right).toString('latin1')
    const of = (name: string): string => String.fromCharCode(name.length, 0) + name
    const renamed = text.replace(of('first'), of(first)).replace(of('other'), of(second))
    return Buffer.from(renamed, 'latin1')
  }
  assert.deepEqual(Object.keys(readInputs(openReader(named('b', 'a'))).secrets), ['b', 'a'])
  assert.ok('__proto__' in readInputs(openReader(named('__proto__', 'a'))).secrets)
  for (const [first, second] of [['a', 'a'], ['b', '10'], ['9', '10'].toReversed()]) {
    assert.throws(() => readInputs(openReader(named(first ?? '', second ?? ''))), invalid)
  }
})

test('read: run, input and offset, little-endian', () => {
  const body = formatRead(258, 3, 131_072).slice(8)
  assert.deepEqual([...body], [2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 2, 0])
})

/** A frame that says that the input has `size` bytes, with `count` of them from `offset` on. */
function bytesFrame(offset: number, size: number, count: number): Uint8Array {
  const body = new Uint8Array(24 + count).fill(7, 24)
  const view = new DataView(body.buffer)
  view.setUint32(0, 9, true)
  view.setUint32(8, 3, true)
  view.setUint32(12, offset, true)
  view.setUint32(16, size, true)
  return body
}

test('bytes: all that was asked for, or up to the end, and neither fewer nor more', () => {
  const frame = parseInputBytes(bytesFrame(2, 5, 3))
  assert.deepEqual(
    { ...frame, bytes: [...frame.bytes] },
    { run: 9, input: 3, offset: 2, size: 5, bytes: [7, 7, 7] },
  )
  for (const good of [
    bytesFrame(0, 0, 0),
    bytesFrame(0, maxReadBytes + 1, maxReadBytes),
    bytesFrame(9, 3, 0),
  ]) {
    assert.doesNotThrow(() => parseInputBytes(good))
  }
  for (const bad of [
    bytesFrame(0, 5, 4),
    bytesFrame(0, 5, 6),
    bytesFrame(5, 5, 1),
    bytesFrame(0, 0, 0).subarray(1),
  ]) {
    assert.throws(() => parseInputBytes(bad), invalid)
  }
})
