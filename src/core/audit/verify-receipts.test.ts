import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeTestLog, testKey } from '../../../test/log-fixture.ts'
import { formatReceipt, noReceipts, parseReceipt, receiptHash } from './receipt.ts'
import { indexReceipts } from './verify-receipts.ts'
import type { ReceiptIndex } from './verify-receipts.ts'

/** The index of some records, and the problems with them as `code: text`. */
function indexed(
  records: readonly Uint8Array[],
  key = makeTestLog().key,
): { index: ReceiptIndex; problems: readonly string[] } {
  const problems: string[] = []
  const index = indexReceipts(records, key, (code, _entry, text) =>
    problems.push(`${code}: ${text}`),
  )
  return { index, problems }
}

/** Which problems there are with some records, each once, in the order of their finding. */
function codesOf(records: readonly Uint8Array[], key = makeTestLog().key): readonly string[] {
  return [...new Set(indexed(records, key).problems.map((line) => line.replace(/:.*/, '')))]
}

function threeReceipts(): readonly Uint8Array[] {
  const log = makeTestLog()
  for (const run of [1, 2, 3]) log.receipt(run)
  return log.receipts
}

test('receipts: each is found by its number and by its resolved action', () => {
  const records = threeReceipts()
  const { index, problems } = indexed(records)
  assert.deepEqual(problems, [])
  assert.equal(index.count, 3)
  assert.equal(index.hashOf(0), noReceipts.hash)
  records.forEach((record, at) => {
    const receipt = parseReceipt(record)
    assert.equal(index.hashOf(at + 1), receiptHash(record))
    assert.equal(index.timeOf(at + 1), receipt.timeMs)
    assert.equal(index.numberOf(receipt.actionDigest), at + 1)
  })
  assert.equal(index.numberOf('0'.repeat(64)), undefined)
})

test('receipts: beyond the end there is no hash, and the time is that of the last', () => {
  const records = threeReceipts()
  const { index } = indexed(records)
  assert.equal(index.hashOf(4), undefined)
  assert.equal(index.timeOf(99), index.timeOf(3))
  const none = indexed([]).index
  assert.deepEqual([none.count, none.hashOf(1), none.timeOf(5)], [0, undefined, noReceipts.timeMs])
})

test('receipts: promise 5: one that is missing, doubled, moved, unreadable or of another host is a problem', () => {
  const [first, second, third] = threeReceipts()
  assert.ok(first !== undefined && second !== undefined && third !== undefined)
  const rubbish = new TextEncoder().encode('{}')
  assert.deepEqual(codesOf([first, third]), ['receipt_chain'])
  assert.deepEqual(codesOf([second, first, third]), ['receipt_chain'])
  assert.deepEqual(codesOf([first, first]).toSorted(), ['receipt_chain', 'receipt_duplicate'])
  const { index, problems } = indexed([first, rubbish, third])
  assert.match(problems[0] ?? '', /^receipt_malformed: receipt 2: /)
  assert.equal(index.timeOf(2), index.timeOf(1))
  assert.equal(index.count, 3)
  assert.deepEqual(codesOf([first], testKey(2).key), ['host_mismatch', 'receipt_signature'])
})

test('receipts: two for one resolved action are a problem, though the chain is whole', () => {
  const log = makeTestLog()
  log.receipt(1)
  log.receipt(1)
  assert.deepEqual(codesOf(log.receipts), ['receipt_duplicate'])
})

test('receipts: promise 5: one with another number, link, time, host or signature is a problem', () => {
  const [first, second] = threeReceipts()
  assert.ok(first !== undefined && second !== undefined)
  const good = parseReceipt(second)
  const changes = [
    { change: { number: 3 }, want: ['receipt_chain', 'receipt_signature'] },
    { change: { previous: '0'.repeat(64) }, want: ['receipt_chain', 'receipt_signature'] },
    { change: { timeMs: 1 }, want: ['receipt_chain', 'receipt_signature'] },
    { change: { host: testKey(8).host }, want: ['host_mismatch', 'receipt_signature'] },
    { change: { run: 9 }, want: ['receipt_signature'] },
  ]
  for (const { change, want } of changes) {
    const changed = new TextEncoder().encode(formatReceipt({ ...good, ...change }))
    assert.deepEqual(codesOf([first, changed]), want, JSON.stringify(change))
  }
})

test('promise 7: receipts: a file of rubbish is not kept in memory to its end', () => {
  let read = 0
  const rubbish = function* (): Generator<Uint8Array> {
    for (;;) {
      read += 1
      yield new Uint8Array(0)
    }
  }
  let problems = 0
  const index = indexReceipts(rubbish(), makeTestLog().key, () => void (problems += 1))
  assert.ok(read < 2000)
  assert.deepEqual([index.count, problems], [read, read])
})
