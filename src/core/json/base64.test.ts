import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { formatBase64, parseBase64 } from './base64.ts'

test('base64: agrees with Node, and parse(format(x)) = x', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 10_000, size: 'max' }), (bytes) => {
      const text = formatBase64(bytes)
      assert.equal(text, Buffer.from(bytes).toString('base64'))
      assert.deepEqual(parseBase64(text), bytes)
    }),
    { numRuns: 50 },
  )
})

for (const text of ['A', 'AA', 'AAA', 'AB==', 'AA==\n', ' AA==', 'AA=', 'AA==AA==', 'AA-_', 'é']) {
  test(`base64: refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseBase64(text), { code: 'input_invalid' })
  })
}
