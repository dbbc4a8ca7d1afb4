import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatPrintable, formatQuoted, formatTerminal } from './printable.ts'

test('C60: what is shown holds nothing that a terminal obeys or that cannot be seen', () => {
  const text = fc.string({ unit: 'binary' })
  fc.assert(
    fc.property(text, (value) => {
      const shown = formatPrintable(value)
      assert.doesNotMatch(shown, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/u)
      assert.doesNotMatch(shown, /[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]/u)
      assert.equal(JSON.parse(formatQuoted(value)), value)
    }),
  )
})

test('C60: what is shown as nothing does not make two texts look the same', () => {
  // Fillers of Hangul, a joiner, variation selectors in which whole messages have been hidden.
  for (const hidden of [
    '\u115f',
    '\u1160',
    '\u3164',
    '\uffa0',
    '\u034f',
    '\u180b',
    '\ufe0f',
    '\u{e0100}',
  ]) {
    assert.notEqual(formatPrintable(`web${hidden}1`).replaceAll(/[^\x20-\x7e]/g, ''), 'web1')
  }
})

test('printable: each code unit becomes an escape of JSON', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['plain \u00e9 \u6f22', 'plain \u00e9 \u6f22'],
    ['\u001b[31m', '\\u001b[31m'],
    ['a\nb', 'a\\u000ab'],
    ['\u009b\u202e', '\\u009b\\u202e'],
    ['\u{e0001}', '\\udb40\\udc01'],
    ['\ud800', '\\ud800'],
  ]
  for (const [text, want] of cases) assert.equal(formatPrintable(text), want)
  assert.equal(formatQuoted('a"\u001b'), '"a\\"\\u001b"')
})

test('C60: lines for a terminal keep what makes them lines, and nothing that a terminal obeys', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['a\tb\r\nc\n', 'a\tb\r\nc\n'],
    ['over\rwritten', 'over\\u000dwritten'],
    ['\u001b[2J\u0007\u007f', '\\u001b[2J\\u0007\\u007f'],
    ['\u009b\u202e\u2066\u2028', '\\u009b\\u202e\\u2066\\u2028'],
  ]
  for (const [text, want] of cases) assert.equal(formatTerminal(text), want)
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const json = JSON.stringify(text)
      assert.equal(JSON.parse(formatTerminal(json)), text)
    }),
  )
})
