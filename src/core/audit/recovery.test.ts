import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeSmallLog, makeTestLog, testAction, testCommon } from '../../../test/log-fixture.ts'
import type { TestLog } from '../../../test/log-fixture.ts'
import { sha256Hex } from '../json/digest.ts'
import { parseEntry } from './entry-parse.ts'
import { findUnclosed, openRunLedger } from './recovery.ts'
import type { Unclosed } from './recovery.ts'

const brief = (all: readonly Unclosed[]): readonly string[] =>
  all.map(({ run, intent, state, receipt }) => {
    const kept = receipt === null ? 'without' : 'with'
    return `run ${run}, intent ${intent ?? 'none'}, ${state}, ${kept} receipt`
  })

const cases: readonly { name: string; make: (log: TestLog) => void; want: readonly string[] }[] = [
  { name: 'an empty log', make: () => undefined, want: [] },
  {
    name: 'a run with its end',
    make: (log) => void log.outcome(1, log.intent(1), log.receipt(1)),
    want: [],
  },
  {
    name: 'a receipt whose run has no end',
    make: (log) => {
      log.intent(1)
      log.receipt(1)
    },
    want: ['run 1, intent 1, unknown, with receipt'],
  },
  {
    name: 'an intent without a receipt',
    make: (log) => void log.intent(1),
    want: ['run 1, intent 1, never_started, without receipt'],
  },
  {
    name: 'a receipt without an intent',
    make: (log) => void log.receipt(1),
    want: ['run 1, intent none, unknown, with receipt'],
  },
  {
    name: 'an end without receipt closes too',
    make: (log) => void log.outcome(1, log.intent(1), null),
    want: [],
  },
  {
    name: 'several, in the order of their intents, those without one last',
    make: (log) => {
      log.receipt(9)
      log.receipt(8)
      log.intent(3)
      log.intent(2)
      log.receipt(2)
      log.denial(4)
    },
    want: [
      'run 3, intent 1, never_started, without receipt',
      'run 2, intent 2, unknown, with receipt',
      'run 8, intent none, unknown, with receipt',
      'run 9, intent none, unknown, with receipt',
    ],
  },
  {
    name: 'what an earlier start has closed stays closed',
    make: (log) => {
      log.intent(1)
      const receipt = log.receipt(1)
      log.recovered(1, { intent: 1, receipt })
      log.recovered(2, { receipt: log.receipt(2) })
      log.start()
    },
    want: [],
  },
  {
    name: 'what an earlier start has left open is not ours to close any more',
    make: (log) => {
      log.intent(1)
      log.intent(2)
      log.receipt(2)
      log.start()
    },
    want: [],
  },
  {
    name: 'an end for an intent that the log does not have changes nothing',
    make: (log) => {
      log.intent(1)
      log.outcome(5, 77, null)
    },
    want: ['run 1, intent 1, never_started, without receipt'],
  },
  {
    name: 'in order or not, a stop closes nothing',
    make: (log) => {
      log.intent(1)
      log.stop()
    },
    want: ['run 1, intent 1, never_started, without receipt'],
  },
]

for (const { name, make, want } of cases) {
  test(`recovery: ${name}`, () => {
    const log = makeTestLog()
    log.start()
    make(log)
    assert.deepEqual(brief(findUnclosed(log.entries, log.receipts)), want)
  })
}

test('recovery: a ledger that got the receipts first finds the same', () => {
  for (const { make, want } of cases) {
    const log = makeTestLog()
    log.start()
    make(log)
    const ledger = openRunLedger()
    log.receipts.forEach(ledger.addReceipt)
    log.entries.forEach((entry, index) => {
      ledger.addEntry(parseEntry(entry), index)
    })
    assert.deepEqual(brief(ledger.unclosed()), want)
  }
})

test('recovery: a second start after a crash between finds nothing', () => {
  const log = makeSmallLog()
  for (const unclosed of findUnclosed(log.entries, log.receipts)) {
    log.add({ ...testCommon, ...unclosed, recording: null })
  }
  assert.deepEqual(findUnclosed(log.entries, log.receipts), [])
  log.start()
  assert.deepEqual(findUnclosed(log.entries, log.receipts), [])
})

test('recovery: says the resolved action and keeps the receipt as it is', () => {
  const log = makeTestLog()
  const receipt = log.receipt(6)
  const [found] = findUnclosed(log.entries, log.receipts)
  assert.deepEqual([found?.actionDigest, found?.receipt], [sha256Hex(testAction(6)), receipt])
})
