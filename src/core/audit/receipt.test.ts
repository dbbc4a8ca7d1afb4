import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  makeTestLog,
  readSpecVectors,
  testGid,
  testKey,
  testUid,
} from '../../../test/log-fixture.ts'
import { BelladonnaError } from '../error.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import { anyString, listOf, recordOf } from '../json/shape.ts'
import { parseStrictJson } from '../json/strict.ts'
import { openPublicKey, verifySignature } from './ed25519.ts'
import { formatHex } from './merkle.ts'
import { dssePae } from './pae.ts'
import {
  followReceipt,
  formatReceipt,
  formatReceiptBody,
  nextReceipt,
  noReceipts,
  parseReceipt,
  receiptHash,
  receiptSignedBytes,
  verifyReceipt,
  verifyReceiptChain,
} from './receipt.ts'
import type { ReceiptBody } from './receipt.ts'
import { parseVerifierKey } from './signed-note.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const failsWith = (code: string) => (error: unknown) =>
  error instanceof BelladonnaError && error.code === code
const facts: Omit<ReceiptBody, 'number' | 'previous'> = {
  actionDigest: 'ab'.repeat(32),
  run: 7,
  nonce: '0123456789abcdef0123456789abcdef',
  subject: { uid: testUid(1000), gid: testGid(100) },
  timeMs: 1_700_000_000_000,
  host: 'cd'.repeat(32),
}
const vectors = recordOf(({ take }) => ({
  about: take('about', anyString),
  vkey: take('vkey', anyString),
  records: take('records', listOf(anyString)),
  hashes: take('hashes', listOf(anyString)),
  signedBytes: take('signed_bytes', listOf(anyString)),
  invalid: take(
    'invalid',
    listOf(
      recordOf(({ take }) => ({
        name: take('name', anyString),
        record: take('record', anyString),
      })),
    ),
  ),
}))

test('PAE: the example of the DSSE specification', () => {
  const want = 'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
  assert.equal(decode(dssePae('http://example.com/HelloWorld', 'hello world')), want)
  assert.equal(decode(dssePae('\u00e9', '\u00e9a')), 'DSSEv1 2 \u00e9 3 \u00e9a')
})

test('receipt: the vectors of spec/vectors/receipt.json', () => {
  const spec = readSpecVectors('receipt.json', vectors)
  const { key } = parseVerifierKey(spec.vkey)
  const records = spec.records.map(encode)
  assert.deepEqual(records.map(receiptHash), spec.hashes)
  assert.deepEqual(
    records.map((record) => decode(receiptSignedBytes(parseReceipt(record)))),
    spec.signedBytes,
  )
  assert.equal(verifyReceiptChain(records, key).hash, spec.hashes.at(-1))
  for (const { name, record } of spec.invalid) {
    assert.throws(() => parseReceipt(encode(record)), failsWith('input_invalid'), name)
  }
  assert.ok(records.length > 1 && spec.invalid.length > 5)
})

const hex = (digits: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: digits / 2, maxLength: digits / 2 }).map(formatHex)
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const anyReceipt = fc
  .tuple(
    hex(64),
    hex(64),
    hex(32),
    hex(64),
    count,
    count,
    count,
    fc.uint8Array({ minLength: 64, maxLength: 64 }),
  )
  .map(([previous, actionDigest, nonce, host, number, run, timeMs, signature]) => ({
    number: Math.max(1, number),
    previous,
    actionDigest,
    run,
    nonce,
    subject: { uid: testUid(run % 0xffff_ffff), gid: testGid(number % 0xffff_ffff) },
    timeMs,
    host,
    signature: Buffer.from(signature).toString('base64'),
  }))

test('receipt: parse(format(x)) = x, and the text is canonical JSON', () => {
  fc.assert(
    fc.property(anyReceipt, (receipt) => {
      const text = formatReceipt(receipt)
      assert.deepEqual(parseReceipt(encode(text)), receipt)
      assert.equal(formatCanonicalJson(parseStrictJson(text)), text)
      const body = formatReceiptBody(receipt)
      assert.equal(formatCanonicalJson(parseStrictJson(body)), body)
    }),
  )
})

test('receipt: no changed byte of a record parses and still verifies', () => {
  const { key, sign } = testKey(7)
  const { record } = nextReceipt(noReceipts, facts, sign)
  for (let at = 0; at < record.length; at += 1) {
    for (const bit of [0, 1, 5]) {
      const changed = record.map((byte, i) => (i === at ? byte ^ (1 << bit) : byte))
      const verifies = (): boolean => {
        try {
          return verifyReceipt(parseReceipt(changed), key.key)
        } catch (error) {
          assert.ok(failsWith('input_invalid')(error))
          return false
        }
      }
      assert.equal(verifies(), false, `byte ${at}`)
    }
  }
})

test('receipt: other spellings of a record are refused', () => {
  const { sign } = testKey(7)
  const text = decode(nextReceipt(noReceipts, facts, sign).record)
  const cases = [
    text.replace('{', '{ '),
    `${text}\n`,
    text.replace('"run":7', '"run":7.0'),
    text.replace('"run":7', '"run":-7'),
    text.replace('"run":7', '"run":7,"more":1'),
    text.replace('"run":7,', ''),
    text.replace('"number":1', '"number":0'),
    text.replace('receipt/v1', 'receipt/v2'),
    text.replace('abab', 'ABAB'),
    text.replace('"uid":1000', '"uid":4294967295'),
    text.replace('"gid":100', '"gid":"100"'),
    text.replace('"nonce":"0', '"nonce":"'),
    text.replace('==', '='),
    `[${text}]`,
    `\ufeff${text}`,
    `${text}${' '.repeat(2048)}`,
  ]
  for (const bad of cases) {
    assert.notEqual(bad, text)
    assert.throws(() => parseReceipt(encode(bad)), failsWith('input_invalid'), bad)
  }
  assert.throws(() => parseReceipt(Uint8Array.of(0xff)), failsWith('input_invalid'))
})

test('nextReceipt: numbers and hashes make a chain, and time never goes back', () => {
  const { key, sign } = testKey(7)
  const first = nextReceipt(noReceipts, facts, sign)
  const second = nextReceipt(first.head, { ...facts, run: 8, timeMs: 5 }, sign)
  assert.deepEqual([first.receipt.number, first.receipt.previous], [1, '0'.repeat(64)])
  assert.deepEqual([second.receipt.number, second.receipt.previous], [2, receiptHash(first.record)])
  assert.equal(second.receipt.timeMs, facts.timeMs)
  assert.deepEqual(verifyReceiptChain([first.record, second.record], key.key), second.head)
  assert.deepEqual(verifyReceiptChain([], key.key), noReceipts)
})

test('nextReceipt: what could not be read again is not made', () => {
  const { sign } = testKey(7)
  for (const change of [{ actionDigest: 'AB'.repeat(32) }, { host: '' }, { nonce: 'x' }]) {
    assert.throws(
      () => nextReceipt(noReceipts, { ...facts, ...change }, sign),
      failsWith('input_invalid'),
    )
  }
})

test('chain: a record left out, exchanged, repeated, older, or signed by another key breaks it', () => {
  const log = makeTestLog()
  for (let run = 1; run <= 4; run += 1) log.receipt(run)
  const [a, b, c, d] = log.receipts
  assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined)
  const forged = makeTestLog(8)
  forged.receipt(1)
  const reparsed = { ...parseReceipt(b), previous: parseReceipt(c).previous }
  const older = { ...parseReceipt(b), timeMs: 1 }
  const cases: readonly (readonly Uint8Array[])[] = [
    [b, c, d],
    [a, c, d],
    [a, c, b],
    [a, a],
    forged.receipts,
    [a, encode(formatReceipt(reparsed))],
    [a, encode(formatReceipt(older))],
  ]
  for (const records of cases) {
    assert.throws(() => verifyReceiptChain(records, log.key.key), failsWith('log_corrupt'))
  }
  assert.equal(followReceipt(noReceipts, a).head.count, 1)
})

test('ed25519: other lengths of key or signature are refused', () => {
  const { key } = testKey(7)
  assert.throws(() => openPublicKey(new Uint8Array(31)), failsWith('input_invalid'))
  assert.equal(verifySignature(key.key, encode('x'), new Uint8Array(63)), false)
})
