import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isCalendarDatetime, parseUtcInstantMs } from './instant.ts'

test('instants: agree with Date on every millisecond of the years 0 to 9999', () => {
  const first = Date.parse('0000-01-01T00:00:00Z')
  const last = Date.parse('9999-12-31T23:59:59.999Z')
  fc.assert(
    fc.property(fc.integer({ min: first, max: last }), (ms) => {
      const text = new Date(ms).toISOString()
      assert.equal(parseUtcInstantMs(text), ms)
      assert.equal(parseUtcInstantMs(text.replace('T', ' ')), ms)
      assert.ok(isCalendarDatetime(text))
    }),
  )
})

test('instants: what is finer than a millisecond is cut off', () => {
  const whole = parseUtcInstantMs('2027-01-01T00:00:00Z')
  assert.equal(parseUtcInstantMs('2027-01-01T00:00:00.9Z'), Number(whole) + 900)
  assert.equal(parseUtcInstantMs('2027-01-01T00:00:00.0019999Z'), Number(whole) + 1)
})

for (const text of [
  '2027-01-01T00:00:00',
  '2027-01-01T00:00:00z',
  '2027-01-01T00:00:00+00:00',
  '2027-01-01',
  '00:00:00',
  '2027-02-30T00:00:00Z',
  '2027-01-01T24:00:00Z',
  'tomorrow',
  '',
]) {
  test(`instants: C112: ${JSON.stringify(text)} is no instant in UTC`, () => {
    assert.equal(parseUtcInstantMs(text), undefined)
  })
}

const inCalendar = [
  ...['2024-02-29', '2000-02-29', '2027-12-31', '0000-01-01', '23:59:59', '00:00:00.123456'],
  ...['2027-04-30T23:59:59', '2027-01-01 00:00:00+23:59', '1979-05-27t07:32:00z'],
]
const outOfCalendar = [
  ...['2023-02-29', '1900-02-29', '2027-02-30', '2027-04-31', '2027-00-01', '2027-13-01'],
  ...['2027-01-00', '2027-01-32', '24:00:00', '23:60:00', '23:59:60', '1:00:00', '12:00'],
  ...['2027-01-01T12:00', '2027-01-01T00:00:00+24:00', '2027-01-01T00:00:00-00:60'],
  ...['2027-01-01T00:00:00+1:00', '2027-1-01', '2027-01-01T00:00:00.', '', 'x', 'Z'],
  ...['----------', '2027-01-01T::::::::'],
]
for (const text of inCalendar) {
  test(`instants: ${text} is in the calendar`, () => {
    assert.ok(isCalendarDatetime(text))
  })
}
for (const text of outOfCalendar) {
  test(`instants: C112: ${JSON.stringify(text)} is not in the calendar`, () => {
    assert.ok(!isCalendarDatetime(text))
  })
}
