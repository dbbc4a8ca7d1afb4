import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { skipWithoutData } from '../../../test/data.ts'
import { parseAccountNumber, parseByteSize, parseDurationMs } from './quantity.ts'

const durations: readonly (readonly [string, number | undefined])[] = [
  ['1ms', 1],
  ['30s', 30_000],
  ['10m', 600_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
  ...[
    '',
    '30',
    's',
    '030s',
    '-1s',
    '1.5s',
    ' 1s',
    '1 s',
    '1s ',
    '1S',
    '0s',
    '1w',
    '9999999999s',
  ].map((text) => [text, undefined] as const),
]
for (const [text, want] of durations) {
  test(`durations: ${JSON.stringify(text)} is ${want === undefined ? 'none' : `${want} ms`}`, () => {
    assert.equal(parseDurationMs(text), want)
  })
}

const sizes: readonly (readonly [string, number | undefined])[] = [
  ['1', 1],
  ['4K', 4096],
  ['256M', 268_435_456],
  ['1G', 1_073_741_824],
  ...['', 'M', '0M', '01M', '1.5M', '1m', '1MB', '1T', '-1', '0x10', '1e3'].map(
    (text) => [text, undefined] as const,
  ),
]
for (const [text, want] of sizes) {
  test(`sizes: ${JSON.stringify(text)} is ${want === undefined ? 'none' : `${want} bytes`}`, () => {
    assert.equal(parseByteSize(text), want)
  })
}

const refusedIds = ['-1', '0x0', ' 0', '0 ', '1e0', '+1', '00', '', '4294967295', '4294967296']
for (const text of [...refusedIds, '99999999999', '٣', '1_000', '1.0']) {
  test(`account numbers: C04: ${JSON.stringify(text)} is none`, () => {
    assert.equal(parseAccountNumber(text), undefined)
  })
}

test('account numbers: C04: agree with sudo on its own vectors, but for 2^32-1 and signs', (t) => {
  const file = skipWithoutData(t, 'sudo-regress/number-vectors.json', 25)
  if (file === undefined) return
  const { strtonum }: { strtonum: readonly { str: string; value: string; errno: string }[] } =
    JSON.parse(readFileSync(file, 'utf8'))
  assert.ok(strtonum.length >= 25)
  for (const { str, value, errno } of strtonum) {
    const id = parseAccountNumber(str)
    // A range of the vector other than that of ids may refuse what is an id, never the other way round.
    if (id === undefined) continue
    assert.ok(errno !== 'EINVAL' || str === '0', str)
    if (errno === '0' && /^[0-9]+$/.test(value)) assert.equal(id, Number(value))
  }
  console.log(`sudo's numbers: ${strtonum.length} vectors`)
})
