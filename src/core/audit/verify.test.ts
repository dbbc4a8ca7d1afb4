import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  foundIn,
  makeSmallLog,
  makeTestLog,
  problemsOf,
  verify,
} from '../../../test/log-fixture.ts'
import type { TestLog, VerifyCase } from '../../../test/log-fixture.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))

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

const nothing = {}

const cases: readonly VerifyCase[] = [
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
    name: 'a start that names other receipts',
    make: (log) => {
      const other = makeTestLog()
      other.receipt(4)
      log.entries.push(...startOf(other))
      return nothing
    },
    want: ['receipt_differs@1'],
  },
]

function startOf(log: TestLog): readonly Uint8Array[] {
  log.start()
  return log.entries
}

for (const one of cases) {
  test(`verify: finds ${one.name}`, () => {
    assert.deepEqual(foundIn(one), one.want)
  })
}
