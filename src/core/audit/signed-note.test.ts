import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { testKey } from '../../../test/log-fixture.ts'
import { BelladonnaError } from '../error.ts'
import {
  formatSignedNote,
  formatVerifierKey,
  makeVerifierKey,
  openNote,
  parseSignedNote,
  parseVerifierKey,
} from './signed-note.ts'

// The example of c2sp.org/signed-note.
const vkey = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'
const signature =
  'Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM='
const note = `This is an example message.\n\n\u2014 example.com/foo ${signature}\n`
const unknown = `\u2014 example.com/bar ${signature}\n`
const failsWith = (code: string) => (error: unknown) =>
  error instanceof BelladonnaError && error.code === code

test('signed note: the example of the specification verifies', () => {
  const key = parseVerifierKey(vkey)
  assert.equal(openNote(note, key), 'This is an example message.\n')
  assert.equal(formatVerifierKey(key), vkey)
})

test('signed note: signatures of keys that we do not know are ignored, up to 64 of them', () => {
  const key = parseVerifierKey(vkey)
  assert.equal(openNote(note + unknown.repeat(63), key), 'This is an example message.\n')
  assert.throws(() => openNote(note + unknown.repeat(64), key), failsWith('input_invalid'))
})

test('signed note: without a signature of our key, or with a bad one beside it, nothing is opened', () => {
  const key = parseVerifierKey(vkey)
  const bad = note.replace('UNcQ', 'UNcR').replace('IneyaQM=', 'IneyaQI=')
  const cases = [`a\n\n${unknown}`, bad, note + bad.split('\n').slice(2).join('\n'), `x${note}`]
  for (const text of cases) assert.throws(() => openNote(text, key), failsWith('log_corrupt'))
})

test('signed note: the text may have empty lines, the last one separates', () => {
  const text = 'a\n\nb\n'
  assert.equal(parseSignedNote(`${text}\n${unknown}`).text, text)
})

test('signed note: what is no note is refused', () => {
  const cases: readonly string[] = [
    '',
    'text\n',
    'text\n\n',
    'text\n\n\n',
    note.slice(0, -1),
    note.replace('\u2014', '-'),
    note.replace('message', 'mess\tage'),
    note.replace('message', 'mess\u0000age'),
    note.replace('message', 'mess\ud800age'),
    note.replace('foo U', 'foo  U'),
    note.replace('example.com/foo U', 'U'),
    note.replace('example.com/foo U', 'example+com U'),
    note.replace('example.com/foo U', 'example\u00a0com U'),
    note.replace(signature, `${signature} x`),
    note.replace(signature, signature.slice(0, -1)),
    note.replace(signature, 'AAAAAA=='),
    note.replace(signature, ''),
    `${'x'.repeat(262_144)}${note}`,
  ]
  for (const text of cases) assert.throws(() => parseSignedNote(text), failsWith('input_invalid'))
})

test('verifier key: another id, type or length is refused', () => {
  const cases: readonly string[] = [
    '',
    'example.com/foo',
    vkey.replace('530d903a', '530d903b'),
    vkey.replace('530d903a', '530D903A'),
    vkey.replace('+Aeky', '+Beky'),
    vkey.slice(0, -4),
    vkey.replace('example.com/foo', 'example.com/bar'),
    vkey.replace('example.com/foo', 'example com'),
  ]
  for (const text of cases) assert.throws(() => parseVerifierKey(text), failsWith('input_invalid'))
  assert.throws(() => makeVerifierKey('a b', new Uint8Array(32)), failsWith('input_invalid'))
})

test('signed note: what is signed opens again, and only as it was', () => {
  const { key, sign } = testKey(3)
  const text = fc.string({ minLength: 1 }).filter((line) => !/[\n\u0000-\u001f]/.test(line))
  fc.assert(
    fc.property(fc.array(text, { minLength: 1 }), (lines) => {
      const body = `${lines.join('\n')}\n`
      const signed = formatSignedNote(body, key.name, key.id, sign(new TextEncoder().encode(body)))
      assert.equal(openNote(signed, key), body)
      assert.throws(() => openNote(`x${signed}`, key), failsWith('log_corrupt'))
    }),
    { numRuns: 30 },
  )
})
