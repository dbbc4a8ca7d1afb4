// over 400 lines: one table of everything that a log can be wrong in, and one log for all rows
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeSmallLog, makeTestLog, testAction, testKey } from '../../../test/log-fixture.ts'
import type { TestLog } from '../../../test/log-fixture.ts'
import { sha256Hex } from '../json/digest.ts'
import { formatReceipt, parseReceipt } from './receipt.ts'
import { verifyLog } from './verify.ts'
import type { VerifyInput } from './verify.ts'
import { maxListedProblems, messageOf } from './verify-report.ts'
import type { VerifyReport } from './verify-report.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))

function verify(log: TestLog, change: Partial<VerifyInput> = {}): VerifyReport {
  return verifyLog({
    entries: log.entries,
    receipts: log.receipts,
    checkpoints: [log.checkpoint()],
    key: log.key,
    ...change,
  })
}

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

/** Codes and indexes of the problems, as `code@index`. */
const problemsOf = ({ problems }: VerifyReport): readonly string[] =>
  problems.map(({ code, index }) => (index === null ? code : `${code}@${index}`))

test('verify: a log with a whole run, a denial and an open run is in order', () => {
  const log = makeSmallLog()
  const { ok, entries, signed_size, unsigned_tail, receipts, pending } = verify(log)
  assert.deepEqual(
    { ok, entries, signed_size, unsigned_tail, receipts, pending },
    { ok: true, entries: 5, signed_size: 5, unsigned_tail: 0, receipts: 2, pending: 1 },
  )
})

test('verify: entries after the checkpoint are counted as unsigned', () => {
  const log = makeSmallLog()
  const report = verify(log, { checkpoints: [log.checkpoint(2), log.checkpoint(3)] })
  assert.deepEqual([report.ok, report.signed_size, report.unsigned_tail], [true, 3, 2])
})

test('verify: an empty log with its checkpoint is in order, without one it is not', () => {
  const log = makeTestLog()
  assert.equal(verify(log).ok, true)
  assert.deepEqual(problemsOf(verify(log, { checkpoints: [] })), ['checkpoint_missing'])
})

test('verify: ends without receipts, recoveries and a second start are in order', () => {
  const log = makeTestLog()
  log.start()
  log.outcome(1, log.intent(1), null, { end: { kind: 'gone', value: 0, stage: 'none' } })
  log.outcome(2, log.intent(2), null, { end: { kind: 'failed', value: 2, stage: 'exec' } })
  const open = log.intent(3)
  const receipt = log.receipt(3)
  const never = log.intent(4)
  const lost = log.receipt(5)
  log.recovered(3, { intent: open, receipt })
  log.recovered(4, { intent: never, state: 'never_started' })
  log.recovered(5, { receipt: lost })
  log.start()
  log.stop()
  assert.deepEqual(problemsOf(verify(log)), [])
})

test('C67: each flipped byte of an entry is found, and the first wrong index is named', () => {
  const log = makeSmallLog()
  const note = log.checkpoint()
  log.entries.forEach((entry, index) => {
    for (let at = 0; at < entry.length; at += 1) {
      const entries = log.entries.with(index, flip(entry, at))
      const problems = problemsOf(verify(log, { entries, checkpoints: [note] }))
      assert.ok(problems.includes('root_mismatch'), `entry ${index}, byte ${at}`)
    }
  })
})

test('C67: each flipped byte of a receipt is found', () => {
  const log = makeSmallLog()
  log.receipts.forEach((record, index) => {
    for (let at = 0; at < record.length; at += 7) {
      const receipts = log.receipts.with(index, flip(record, at))
      assert.equal(verify(log, { receipts }).ok, false, `receipt ${index}, byte ${at}`)
    }
  })
})

test('promise 5: no entry of what was signed can be left out, exchanged or put in', () => {
  const log = makeSmallLog()
  const note = log.checkpoint()
  const other = makeTestLog()
  other.denial(9)
  const [denial = encode('')] = other.entries
  for (let index = 0; index < log.entries.length; index += 1) {
    for (const entries of [
      log.entries.toSpliced(index, 1),
      log.entries.toSpliced(index, 0, denial),
      log.entries.with(index, denial),
    ]) {
      const problems = problemsOf(verify(log, { entries, checkpoints: [note] }))
      const isSeen =
        problems.includes('root_mismatch') || problems.includes('log_shorter_than_signed')
      assert.ok(isSeen, `entry ${index}`)
    }
  }
})

type Case = { name: string; make: (log: TestLog) => Partial<VerifyInput>; want: readonly string[] }
const nothing = {}

const cases: readonly Case[] = [
  {
    name: 'a log cut off behind the checkpoint',
    make: (log) => {
      log.denial(1)
      return { entries: log.entries.slice(0, 1), checkpoints: [log.checkpoint()] }
    },
    want: ['log_shorter_than_signed'],
  },
  {
    name: 'a checkpoint of another key',
    make: () => ({ checkpoints: [makeTestLog(8).checkpoint()] }),
    want: ['checkpoint_invalid'],
  },
  {
    name: 'a checkpoint that is none',
    make: () => ({ checkpoints: ['x'] }),
    want: ['checkpoint_invalid'],
  },
  {
    name: 'receipts cut off behind the checkpoint',
    make: (log) => {
      log.outcome(1, log.intent(1), log.receipt(1))
      return { receipts: [] }
    },
    want: ['checkpoint_receipts', 'receipt_differs@2'],
  },
  {
    name: 'an entry that is none',
    make: (log) => {
      log.entries.push(encode('{}'))
      return nothing
    },
    want: ['entry_malformed@1'],
  },
  {
    name: 'a start of another host',
    make: (log) => {
      log.entries.push(...startOf(makeTestLog(8)))
      return nothing
    },
    want: ['host_mismatch@1'],
  },
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
    name: 'a start that names other receipts',
    make: (log) => {
      const other = makeTestLog()
      other.receipt(4)
      log.entries.push(...startOf(other))
      return nothing
    },
    want: ['receipt_differs@1'],
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
  {
    name: 'a receipt that is none',
    make: (log) => ({ receipts: [encode('{}')], checkpoints: [log.checkpoint()] }),
    want: ['receipt_malformed', 'receipt_unrecorded'],
  },
  {
    name: 'two receipts for one resolved action',
    make: (log) => {
      const receipt = log.receipt(1)
      log.receipt(1)
      log.outcome(1, log.intent(1), receipt)
      return nothing
    },
    want: ['receipt_duplicate', 'receipt_differs@2', 'receipt_unrecorded'],
  },
]

function startOf(log: TestLog): readonly Uint8Array[] {
  log.start()
  return log.entries
}

for (const { name, make, want } of cases) {
  test(`verify: finds ${name}`, () => {
    const log = makeTestLog()
    log.start()
    assert.deepEqual(problemsOf(verify(log, make(log))), want)
  })
}

test('verify: finds a receipt with another number, link, time, host or signature', () => {
  const log = makeTestLog()
  log.receipt(1)
  log.receipt(2)
  const [first = encode(''), second = encode('')] = log.receipts
  const good = parseReceipt(second)
  const changes = [
    { change: { number: 3 }, want: ['receipt_chain', 'receipt_signature'] },
    { change: { previous: '0'.repeat(64) }, want: ['receipt_chain', 'receipt_signature'] },
    { change: { timeMs: 1 }, want: ['receipt_chain', 'receipt_signature'] },
    { change: { host: testKey(8).host }, want: ['host_mismatch', 'receipt_signature'] },
    { change: { run: 9 }, want: ['receipt_signature'] },
  ]
  for (const { change, want } of changes) {
    const receipts = [first, encode(formatReceipt({ ...good, ...change }))]
    const found = problemsOf(verify(log, { receipts, settledReceipts: 0 }))
    assert.deepEqual(found, [...want, 'checkpoint_receipts'], JSON.stringify(change))
  }
})

test('verify: lists the first hundred problems and counts all', () => {
  const log = makeTestLog()
  for (let run = 0; run < 150; run += 1) log.outcome(run, 1000, null)
  const report = verify(log)
  assert.deepEqual([report.problem_count, report.problems.length], [150, maxListedProblems])
})

test('messageOf: whatever was thrown', () => {
  assert.equal(messageOf(new Error('a')), 'a')
  assert.equal(messageOf('b'), 'b')
})
