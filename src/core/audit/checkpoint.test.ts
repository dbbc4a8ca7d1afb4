import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readSpecVectors, testKey } from '../../../test/log-fixture.ts'
import { BelladonnaError } from '../error.ts'
import { parseHex } from '../json/hex.ts'
import { anyString, integerWithin, listOf, recordOf } from '../json/shape.ts'
import {
  formatCheckpointText,
  hostIdOf,
  originOf,
  parseCheckpointText,
  signCheckpoint,
  verifyCheckpoint,
} from './checkpoint.ts'
import { emptyRoot } from './merkle.ts'
import { dssePae } from './pae.ts'
import { formatSignedNote, formatVerifierKey, parseVerifierKey } from './signed-note.ts'

const size = integerWithin(0, Number.MAX_SAFE_INTEGER)
const vectors = recordOf(({ take }) => ({
  about: take('about', anyString),
  seed: take('seed_hex', anyString),
  host: take('host', anyString),
  vkey: take('vkey', anyString),
  valid: take(
    'valid',
    listOf(
      recordOf(({ take }) => ({
        name: take('name', anyString),
        size: take('size', size),
        root: take('root', anyString),
        receipts: take('receipts', size),
        head: take('receipts_head', anyString),
        note: take('note', anyString),
      })),
    ),
  ),
  invalid: take(
    'invalid',
    listOf(
      recordOf(({ take }) => ({
        name: take('name', anyString),
        code: take('code', anyString),
        note: take('note', anyString),
      })),
    ),
  ),
}))
const failsWith = (code: string) => (error: unknown) =>
  error instanceof BelladonnaError && error.code === code

test('checkpoint: the vectors of spec/vectors/checkpoint.json', () => {
  const spec = readSpecVectors('checkpoint.json', vectors)
  const { key, sign, host } = testKey(Number.parseInt(spec.seed.slice(0, 2), 16))
  assert.deepEqual([host, formatVerifierKey(key)], [spec.host, spec.vkey])
  for (const { name, size, root, receipts, head, note } of spec.valid) {
    const checkpoint = {
      origin: originOf(host),
      size,
      root: parseHex(root),
      receipts: { count: receipts, head: parseHex(head) },
    }
    assert.equal(signCheckpoint(checkpoint, key, sign), note, name)
    const read = verifyCheckpoint(note, parseVerifierKey(spec.vkey))
    assert.equal(formatCheckpointText(read), formatCheckpointText(checkpoint), name)
  }
  for (const { name, code, note } of spec.invalid) {
    assert.throws(() => verifyCheckpoint(note, key), failsWith(code), name)
  }
  assert.ok(spec.valid.length > 1 && spec.invalid.length > 8)
})

test('origin: the first sixteen digits of a host id, and nothing else', () => {
  const { host, key } = testKey(5)
  assert.equal(originOf(host), `belladonna/${host.slice(0, 16)}`)
  assert.equal(hostIdOf(key.publicKey), host)
  for (const bad of ['', host.slice(1), host.toUpperCase(), `${host}0`]) {
    assert.throws(() => originOf(bad), failsWith('input_invalid'))
  }
})

test('checkpoint: a note over the text of another log is refused', () => {
  const { key, sign } = testKey(5)
  const other = {
    origin: 'belladonna/0',
    size: 0,
    root: emptyRoot,
    receipts: { count: 0, head: emptyRoot },
  }
  assert.throws(
    () => verifyCheckpoint(signCheckpoint(other, key, sign), key),
    failsWith('log_corrupt'),
  )
})

test('checkpoint text: what is not exactly of its form is refused', () => {
  const text = formatCheckpointText({
    origin: 'belladonna/0',
    size: 12,
    root: emptyRoot,
    receipts: { count: 3, head: emptyRoot },
  })
  assert.equal(parseCheckpointText(text).size, 12)
  const cases: readonly (readonly [string, string])[] = [
    ['belladonna/0', ''],
    ['\n12\n', '\n012\n'],
    ['\n12\n', '\n-1\n'],
    ['\n12\n', '\n1e1\n'],
    ['\n12\n', '\n9007199254740992\n'],
    ['\n12\n', '\n\n'],
    ['receipts 3', 'receipts 03'],
    ['receipts 3', 'receipts'],
    ['receipts 3', 'receipt 3'],
    ['receipts 3 ', 'receipts 3 x '],
    ['47DEQ', '57DEQ=='],
    ['U=\nreceipts', 'U=\n\nreceipts'],
    ['U=\nreceipts', 'V=\nreceipts'],
    ['47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nreceipts', 'AAAA\nreceipts'],
  ]
  for (const [from, to] of cases) {
    assert.notEqual(text.replace(from, to), text)
    assert.throws(() => parseCheckpointText(text.replace(from, to)), failsWith('input_invalid'), to)
  }
  for (const bad of [text.slice(0, -1), `${text}\n`, `${text}more\n`, '']) {
    assert.throws(() => parseCheckpointText(bad), failsWith('input_invalid'))
  }
})

test('C49: a signature over a receipt is none over a checkpoint, and neither starts like the other', () => {
  const { key, sign } = testKey(5)
  const text = formatCheckpointText({
    origin: key.name,
    size: 1,
    root: emptyRoot,
    receipts: { count: 0, head: emptyRoot },
  })
  const other = sign(dssePae('application/vnd.belladonna.receipt.v1+json', text))
  const note = formatSignedNote(text, key.name, key.id, other)
  assert.throws(() => verifyCheckpoint(note, key), failsWith('log_corrupt'))
  assert.throws(() => originOf('DSSEv1 '), failsWith('input_invalid'))
})
