import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { newByteReader, newByteWriter } from './wire-bytes.ts'

const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'))

test('wire bytes: what is written is read again', () => {
  fc.assert(
    fc.property(
      fc.nat(0xff),
      fc.nat(0xffff),
      fc.nat(0xffff_ffff),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.maxSafeNat(),
      text,
      text,
      fc.uint8Array(),
      (u8, u16, u32, u64, count, short, long, raw) => {
        const writer = newByteWriter('x')
        writer.u8(u8)
        writer.u16(u16)
        writer.u32(u32)
        writer.u64(u64)
        writer.u64(count)
        writer.str16(short)
        writer.blob32(long)
        writer.raw(raw)
        const reader = newByteReader('x', writer.bytes())
        assert.equal(reader.u8(), u8)
        assert.equal(reader.u16(), u16)
        assert.equal(reader.u32(), u32)
        assert.equal(reader.u64(), u64)
        assert.equal(reader.count64(), count)
        assert.equal(reader.str16(), short)
        assert.equal(reader.blob32(), long)
        assert.deepEqual(reader.raw(raw.length), raw)
        reader.end()
      },
    ),
  )
})

test('wire bytes: integers are little-endian', () => {
  const writer = newByteWriter('x')
  writer.u16(0x0102)
  writer.u32(0x0304_0506)
  writer.u64(0x0708_090a_0b0c_0d0en)
  assert.deepEqual([...writer.bytes()], [2, 1, 6, 5, 4, 3, 14, 13, 12, 11, 10, 9, 8, 7])
})

test('wire bytes: a field takes nothing that it cannot hold', () => {
  const writer = newByteWriter('x')
  const attempts: readonly (() => void)[] = [
    () => writer.u8(256),
    () => writer.u16(-1),
    () => writer.u32(1.5),
    () => writer.u32(2 ** 32),
    () => writer.u64(2 ** 53),
    () => writer.u64(Number.NaN),
    () => writer.u64(2n ** 64n),
    () => writer.str16('a\0b'),
    () => writer.str16('\ud800'),
    () => writer.blob32('\udc00'),
    () => writer.str16('a'.repeat(65_536)),
  ]
  for (const attempt of attempts) {
    assert.throws(attempt, { code: 'input_invalid', message: /^format x: cannot hold / })
  }
  assert.equal(writer.bytes().length, 0)
})

const malformed: readonly (readonly [
  name: string,
  bytes: readonly number[],
  read: (reader: ReturnType<typeof newByteReader>) => unknown,
])[] = [
  ['an integer cut off', [1, 2, 3], (reader) => reader.u32()],
  ['a text cut off', [3, 0, 97, 98], (reader) => reader.str16()],
  ['a length beyond memory', [255, 255, 255, 255], (reader) => reader.blob32()],
  ['no UTF-8', [1, 0, 0xff], (reader) => reader.str16()],
  ['an overlong form', [2, 0, 0xc0, 0x80], (reader) => reader.str16()],
  ['an encoded surrogate', [3, 0, 0xed, 0xa0, 0x80], (reader) => reader.str16()],
  ['a NUL', [3, 0, 0, 0, 97, 0, 98], (reader) => reader.blob32()],
  ['a count above 2^53', [0, 0, 0, 0, 0, 0, 32, 0], (reader) => reader.count64()],
  ['bytes left over', [1, 2], (reader) => [reader.u8(), reader.end()]],
]

for (const [name, bytes, read] of malformed) {
  test(`wire bytes: refuses ${name}`, () => {
    const reader = newByteReader('x', Uint8Array.from(bytes))
    assert.throws(() => read(reader), { code: 'frame_invalid', message: /^parse x: / })
  })
}

test('wire bytes: a byte order mark stays a character', () => {
  const writer = newByteWriter('x')
  writer.str16('\ufeffa')
  assert.equal(newByteReader('x', writer.bytes()).str16(), '\ufeffa')
})
