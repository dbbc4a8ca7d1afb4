import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomBytes } from './random.ts'

test('random: draws have their size, are never given twice, and stay when the pool is filled again', () => {
  const draws = Array.from({ length: 2000 }, (_, i) => randomBytes(16 + (i % 3)))
  const texts = draws.map((bytes) => Buffer.from(bytes).toString('hex'))
  assert.deepEqual(
    texts.map(({ length }) => length / 2),
    texts.map((_, i) => 16 + (i % 3)),
  )
  assert.equal(new Set(texts.map((text) => text.slice(0, 32))).size, 2000)
  assert.equal(randomBytes(4096).length, 4096)
  assert.ok(draws.every((bytes) => bytes.some((byte) => byte !== 0)))
})
