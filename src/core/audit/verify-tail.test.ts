/** Copies of a log whose files are of different moments: what is a tail, and what is a loss. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeTestLog } from '../../../test/log-fixture.ts'
import type { TestLog } from '../../../test/log-fixture.ts'
import { verifyLog } from './verify.ts'
import type { VerifyInput } from './verify.ts'
import type { VerifyReport } from './verify-report.ts'

/** A start and `count` whole runs. */
function makeRuns(count: number): TestLog {
  const log = makeTestLog()
  log.start()
  for (let run = 1; run <= count; run += 1) {
    const intent = log.intent(run)
    log.outcome(run, intent, log.receipt(run))
  }
  return log
}

function verifyCopy(log: TestLog, change: Partial<VerifyInput> = {}): VerifyReport {
  const { entries, receipts, key } = log
  return verifyLog({
    ...{ entries, receipts, key, checkpoints: [log.checkpoint()], isCopy: true },
    ...change,
  })
}

const codesOf = ({ problems }: VerifyReport): readonly string[] => problems.map(({ code }) => code)

test('promise 5: a copy with any number of entries and receipts behind the checkpoint verifies', () => {
  const early = makeRuns(2)
  const checkpoints = [early.checkpoint()]
  const log = makeRuns(5)
  log.start()
  for (let entries = early.entries.length; entries <= log.entries.length; entries += 1) {
    for (let receipts = 2; receipts <= 5; receipts += 1) {
      const report = verifyCopy(log, {
        checkpoints,
        entries: log.entries.slice(0, entries),
        receipts: log.receipts.slice(0, receipts),
      })
      assert.deepEqual(report.problems, [], `${entries} entries, ${receipts} receipts`)
      const intents = Math.min(5, 2 + Math.ceil((entries - early.entries.length) / 2))
      const outcomes = 2 + Math.floor((Math.min(entries, 11) - early.entries.length) / 2)
      assert.equal(report.unentered_receipts, Math.max(0, receipts - intents))
      assert.equal(report.receipts_ahead, Math.max(0, outcomes - receipts))
      assert.equal(report.signed_receipts, 2)
    }
  }
})

test('promise 5: of what the checkpoint covers nothing may be missing from a copy', () => {
  const log = makeRuns(5)
  const checkpoints = [log.checkpoint()]
  for (let entries = 0; entries < log.entries.length; entries += 1) {
    const report = verifyCopy(log, { checkpoints, entries: log.entries.slice(0, entries) })
    assert.ok(codesOf(report).includes('log_shorter_than_signed'), `${entries} entries`)
    assert.match(report.problems.at(-1)?.message ?? '', /copy the checkpoint first/)
  }
  for (let receipts = 0; receipts < 5; receipts += 1) {
    const report = verifyCopy(log, { checkpoints, receipts: log.receipts.slice(0, receipts) })
    assert.ok(codesOf(report).includes('checkpoint_receipts'), `${receipts} receipts`)
  }
})

test('promise 4: a receipt that the checkpoint covers and that has no entry is a loss in a copy too', () => {
  const log = makeRuns(2)
  log.receipt(3)
  assert.deepEqual(codesOf(verifyCopy(log)), ['receipt_unrecorded'])
})

test('promise 4: a hidden run shows as soon as a later one is recorded, signed or not', () => {
  const log = makeRuns(2)
  const checkpoints = [log.checkpoint()]
  log.receipt(3)
  assert.equal(verifyCopy(log, { checkpoints }).unentered_receipts, 1)
  log.intent(4)
  log.receipt(4)
  const report = verifyCopy(log, { checkpoints })
  assert.deepEqual(codesOf(report), ['receipt_unrecorded'])
  assert.match(report.problems[0]?.message ?? '', /receipt 3 has no entry/)
})

test('promise 4: who hides every run from some moment on is found after a minute', () => {
  const log = makeRuns(2)
  const checkpoints = [log.checkpoint()]
  const firstMs = 1_700_000_000_010
  log.receipt(3, firstMs)
  log.receipt(4, firstMs + 60_000)
  assert.deepEqual(codesOf(verifyCopy(log, { checkpoints })), [])
  log.receipt(5, firstMs + 60_001)
  const report = verifyCopy(log, { checkpoints })
  assert.deepEqual(codesOf(report), ['receipt_unrecorded'])
  assert.match(report.problems[0]?.message ?? '', /receipts 3 to 5 have no entry, over 60 s/)
})

const forged: readonly {
  name: string
  receiptOf: (log: TestLog) => string
  want: readonly string[]
}[] = [
  {
    name: 'a receipt of another host',
    receiptOf: (log) => {
      const other = makeTestLog(9)
      for (let run = 1; run < 3; run += 1) other.receipt(run)
      assert.notEqual(other.host, log.host)
      return other.receipt(3)
    },
    want: ['receipt_differs'],
  },
  {
    name: 'a receipt with a signature of another',
    receiptOf: (log) => {
      const [first, second] = [log.receipt(3), log.receipt(4)]
      const signatureOf = (text: string): string => /"signature":"([^"]+)"/.exec(text)?.[1] ?? ''
      assert.notEqual(signatureOf(first), '')
      return first.replace(signatureOf(first), signatureOf(second))
    },
    want: ['receipt_differs'],
  },
  {
    name: 'the receipt of another resolved action',
    receiptOf: (log) => log.receipt(4),
    want: ['receipt_differs'],
  },
  { name: 'what is no receipt', receiptOf: () => '{}', want: ['receipt_differs'] },
  { name: 'the receipt of the run', receiptOf: (log) => log.receipt(3), want: [] },
]
for (const { name, receiptOf, want } of forged) {
  test(`verify: an entry ahead of the receipts file may hold ${want.length === 0 ? '' : 'not '}${name}`, () => {
    const log = makeRuns(2)
    const checkpoints = [log.checkpoint()]
    log.outcome(3, log.intent(3), receiptOf(log))
    const receipts = log.receipts.slice(0, 2)
    assert.deepEqual(codesOf(verifyCopy(log, { checkpoints, receipts })), want)
    // The bridge's own directory has no such tail.
    const own = verifyCopy(log, { checkpoints, receipts, isCopy: false })
    assert.deepEqual(codesOf(own), ['receipt_differs'])
  })
}

test('verify: a start in the tail may name receipts that the copy does not have yet', () => {
  const log = makeRuns(2)
  const checkpoints = [log.checkpoint()]
  log.outcome(3, log.intent(3), log.receipt(3))
  log.start()
  const receipts = log.receipts.slice(0, 2)
  assert.deepEqual(codesOf(verifyCopy(log, { checkpoints, receipts })), [])
  const signed = [log.checkpoint()]
  assert.ok(codesOf(verifyCopy(log, { checkpoints: signed, receipts })).includes('receipt_differs'))
})
