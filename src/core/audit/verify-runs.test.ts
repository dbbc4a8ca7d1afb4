import assert from 'node:assert/strict'
import { test } from 'node:test'
import { foundIn, makeTestLog, testAction } from '../../../test/log-fixture.ts'
import type { TestLog, VerifyCase } from '../../../test/log-fixture.ts'
import { sha256Hex } from '../json/digest.ts'

/** A run that ended before it started, permitted under this policy. */
function closedRun(log: TestLog, run: number, digits: string, other = 'cd'): void {
  // Whoever wrote the policy may call a variable or a secret so too.
  const texts = `{"not_after_ms":"1","policy":"${other.repeat(32)}","profile":"${other.repeat(32)}"}`
  const policy = `"not_after_ms":1,"policy":"${digits.repeat(32)}","profile":"x"`
  const action = testAction(run)
    .replace(',"executable"', `,"env":${texts},"executable"`)
    .replace(/"run_as":\{.*?\}/, (runAs) => `${policy},${runAs},"secrets":${texts}`)
  const intent = log.intent(run, { action, actionDigest: sha256Hex(action) })
  log.outcome(run, intent, null, { end: { kind: 'gone', value: 0, stage: 'none' } })
}

const nothing = {}

const cases: readonly VerifyCase[] = [
  {
    name: 'a run under a policy that an entry brought in',
    make: (log) => {
      log.policy('ef')
      closedRun(log, 1, 'ef')
      return nothing
    },
    want: [],
  },
  {
    name: 'a run under the policy of before, after another came in',
    make: (log) => {
      closedRun(log, 1, 'cd')
      log.policy('ef')
      closedRun(log, 2, 'cd')
      return nothing
    },
    want: ['policy_mismatch@4'],
  },
  {
    name: 'a run under a policy that was refused',
    make: (log) => {
      log.policy('cd', 'refused')
      closedRun(log, 1, 'ef')
      return nothing
    },
    want: ['policy_mismatch@2'],
  },
  {
    name: 'a start that leaves a run open',
    make: (log) => {
      log.intent(1)
      log.receipt(1)
      log.start()
      return nothing
    },
    want: ['run_unclosed@2'],
  },
  {
    name: 'a start that leaves a receipt without an entry',
    make: (log) => {
      log.receipt(1)
      log.start()
      return nothing
    },
    want: ['receipt_unrecorded@1'],
  },
  {
    name: 'a receipt without an entry at the end',
    make: (log) => {
      log.receipt(1)
      return nothing
    },
    want: ['receipt_unrecorded'],
  },
  {
    name: 'a receipt that came after the entries were read is none of this',
    make: (log) => {
      log.receipt(1)
      return { settledReceipts: 0 }
    },
    want: [],
  },
  {
    name: 'an action that is not what its digest says',
    make: (log) => {
      log.intent(1, { action: testAction(2) })
      return nothing
    },
    want: ['action_digest@1'],
  },
  {
    name: 'two intents for one resolved action',
    make: (log) => {
      log.intent(1)
      log.intent(1)
      return nothing
    },
    want: ['intent_duplicate@2'],
  },
  {
    name: 'two intents for one receipt',
    make: (log) => {
      log.outcome(1, log.intent(1), log.receipt(1))
      log.intent(1)
      return nothing
    },
    want: ['intent_duplicate@3'],
  },
  {
    name: 'an outcome without its intent',
    make: (log) => {
      log.outcome(1, 0, null)
      return nothing
    },
    want: ['intent_missing@1'],
  },
  {
    name: 'two outcomes of one run',
    make: (log) => {
      const receipt = log.receipt(1)
      log.outcome(1, log.intent(1), receipt)
      log.outcome(1, 1, receipt)
      return nothing
    },
    want: ['intent_missing@3'],
  },
  {
    name: 'an outcome of another run',
    make: (log) => {
      log.outcome(2, log.intent(1), log.receipt(1))
      return nothing
    },
    want: ['run_mismatch@2'],
  },
  {
    name: 'promise 2: a run that ended without a receipt',
    make: (log) => {
      log.outcome(1, log.intent(1), null)
      return nothing
    },
    want: ['receipt_missing@2'],
  },
  {
    name: 'promise 2: a run that is said never to have started, and has a receipt',
    make: (log) => {
      log.receipt(1)
      log.outcome(1, log.intent(1), null, { end: { kind: 'gone', value: 0, stage: 'none' } })
      return nothing
    },
    want: ['receipt_missing@2'],
  },
  {
    name: 'a receipt in the outcome that the receipts file does not have',
    make: (log) => {
      const other = makeTestLog()
      log.outcome(1, log.intent(1), other.receipt(1))
      return nothing
    },
    want: ['receipt_differs@2'],
  },
  {
    name: 'the receipt of one run in the outcome of another',
    make: (log) => {
      const receipt = log.receipt(1)
      log.intent(1)
      log.outcome(2, log.intent(2), receipt)
      return nothing
    },
    want: ['receipt_differs@3'],
  },
  {
    name: 'a receipt that names another run than its intent',
    make: (log) => {
      log.outcome(7, log.intent(1, { run: 7 }), log.receipt(1))
      return nothing
    },
    want: ['run_mismatch@2'],
  },
  {
    name: 'a recovery of another resolved action',
    make: (log) => {
      const intent = log.intent(1)
      const actionDigest = sha256Hex(testAction(2))
      log.recovered(1, { intent, actionDigest, state: 'never_started' })
      return nothing
    },
    want: ['run_mismatch@2'],
  },
  {
    name: 'a recovery of an intent that is not open',
    make: (log) => {
      log.recovered(1, { intent: 0, state: 'never_started' })
      return nothing
    },
    want: ['intent_missing@1'],
  },
  {
    name: 'a recovery that passes over the intent that there is',
    make: (log) => {
      log.intent(1)
      log.recovered(1, { receipt: log.receipt(1) })
      return nothing
    },
    want: ['run_mismatch@2'],
  },
  {
    name: 'promise 4: a recovery that says never started in spite of a receipt',
    make: (log) => {
      const intent = log.intent(1)
      log.receipt(1)
      log.recovered(1, { intent, state: 'never_started' })
      return nothing
    },
    want: ['receipt_missing@2'],
  },
  {
    name: 'a recovery that knows nothing and has no receipt',
    make: (log) => {
      log.recovered(1, { intent: log.intent(1), state: 'unknown' })
      return nothing
    },
    want: ['receipt_missing@2'],
  },
  {
    name: 'a recovery of nothing at all',
    make: (log) => {
      log.recovered(1, { state: 'never_started' })
      return nothing
    },
    want: ['receipt_missing@1'],
  },
  {
    name: 'a recovery that has a receipt and says never started',
    make: (log) => {
      const intent = log.intent(1)
      log.recovered(1, { intent, receipt: log.receipt(1), state: 'never_started' })
      return nothing
    },
    want: ['receipt_missing@2'],
  },
]

for (const one of cases) {
  test(`verify: finds ${one.name}`, () => {
    assert.deepEqual(foundIn(one), one.want)
  })
}
