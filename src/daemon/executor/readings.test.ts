import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { BoundInput } from '../../core/policy/inputs.ts'
import { decide } from '../../core/policy/decide.ts'
import { indexPolicy } from '../../core/policy/policy-index.ts'
import {
  factsAt,
  fullPolicy,
  policyOf,
  requestOf,
  subjectOf,
} from '../../core/policy/policy.test-support.ts'
import { maxReadBytes } from '../../core/protocol/layout.ts'
import { maxUnanswered, openReadings, wipe } from './readings.ts'
import type { Reading, Readings } from './readings.ts'

const permit = decide(
  indexPolicy(policyOf(fullPolicy)),
  subjectOf(0),
  requestOf('look'),
  factsAt(0),
)
assert.equal(permit.kind, 'permit')
const stdin: BoundInput = { place: 0, secret: null, maxBytes: 1_048_576 }
const secret: BoundInput = { place: 3, secret: 'token', maxBytes: 65_536 }

function readingOf(run: number, inputs: readonly BoundInput[]): Reading {
  assert.equal(permit.kind, 'permit')
  const request = new Uint8Array(0)
  return {
    submission: {
      ...{ run, subject: subjectOf(0), stdio: [5, 1, 1], inputs: 1, request },
      ...{ timeMs: 0, nonce: '0'.repeat(32) },
    },
    permit,
    inputs,
  }
}

/** What was asked for last: run, input, offset. */
function open(): Readonly<{ readings: Readings; asked: () => readonly number[] }> {
  let last: Uint8Array = new Uint8Array(0)
  const readings = openReadings((frame) => (last = frame))
  const asked = (): readonly number[] => {
    const view = new DataView(last.buffer, last.byteOffset)
    return [view.getUint32(8, true), view.getUint32(16, true), view.getUint32(20, true)]
  }
  return { readings, asked }
}

const part = (run: number, input: number, offset: number, size: number, fill = 1) => {
  const bytes = new Uint8Array(Math.min(maxReadBytes, size - offset)).fill(fill)
  return { run, input, offset, size, bytes }
}

/** A secret's part, and the copy that is kept of it. */
function watched(
  frame: ReturnType<typeof part>,
): Readonly<{ frame: typeof frame; kept: () => readonly number[] }> {
  let copy: Uint8Array = new Uint8Array(0)
  const { bytes } = frame
  const slice = (): Uint8Array => (copy = Uint8Array.from(bytes))
  return { frame: { ...frame, bytes: Object.assign(bytes, { slice }) }, kept: () => [...copy] }
}

test('readings: stdin in parts, then a secret in one', () => {
  const { readings, asked } = open()
  readings.begin(readingOf(7, [stdin, secret]))
  assert.deepEqual(asked(), [7, 0, 0])
  const size = maxReadBytes + 5
  assert.equal(readings.take(part(7, 0, 0, size)), null)
  assert.deepEqual(asked(), [7, 0, maxReadBytes])
  assert.equal(readings.take(part(7, 0, maxReadBytes, size)), null)
  assert.deepEqual(asked(), [7, 3, 0])
  const value = part(7, 3, 0, 4, 9)
  const answer = readings.take(value)
  assert.equal(answer?.kind, 'read')
  const sha256 = createHash('sha256').update(new Uint8Array(size).fill(1)).digest('hex')
  assert.deepEqual(answer.read.stdin, { sha256, size })
  assert.deepEqual([...(answer.read.secrets[0]?.value ?? [])], [9, 9, 9, 9])
  assert.deepEqual([...value.bytes], [0, 0, 0, 0]) // nothing of it is left in the frame
  wipe(answer.read.secrets)
  assert.deepEqual([...(answer.read.secrets[0]?.value ?? [])], [0, 0, 0, 0])
  assert.equal(readings.count(), 0)
})

test('readings: an empty input is one read', () => {
  const { readings } = open()
  readings.begin(readingOf(1, [stdin]))
  const answer = readings.take(part(1, 0, 0, 0))
  assert.equal(answer?.kind === 'read' ? answer.read.stdin?.size : null, 0)
})

test('readings: what is too large is refused by its size, and what was read before is overwritten', () => {
  const { readings } = open()
  const another = { ...secret, place: 4, secret: 'key' }
  readings.begin(readingOf(1, [secret, another]))
  const { frame, kept } = watched(part(1, 3, 0, 2))
  readings.take(frame)
  assert.deepEqual(kept(), [1, 1])
  const answer = readings.take(part(1, 4, 0, 65_537))
  assert.deepEqual(kept(), [0, 0])
  assert.equal(answer?.kind, 'refused')
  assert.deepEqual([answer.problem.code, answer.problem.parameter], ['input_too_large', 'key'])
  assert.equal(readings.count(), 0)
})

test('readings: bytes that nobody asked for end the process; those of a run that is over are nothing', () => {
  const { readings } = open()
  readings.begin(readingOf(1, [stdin]))
  const outOfTurn = { code: 'frame_invalid' }
  assert.throws(() => readings.take(part(1, 3, 0, 1)), outOfTurn)
  assert.throws(() => readings.take(part(1, 0, 5, 9)), outOfTurn)
  assert.equal(readings.forget(1)?.submission.run, 1)
  assert.equal(readings.forget(1), undefined)
  assert.equal(readings.take(part(1, 0, 0, 1)), null)
})

test('readings: a run that is given up leaves no secret', () => {
  const { readings } = open()
  readings.begin(readingOf(1, [secret, { ...secret, place: 4, secret: 'key' }]))
  const { frame, kept } = watched(part(1, 3, 0, 3))
  readings.take(frame)
  assert.deepEqual(kept(), [1, 1, 1])
  assert.ok(readings.forget(1) !== undefined)
  assert.deepEqual(kept(), [0, 0, 0])
  assert.equal(readings.count(), 0)
})

test('readings: nothing to read is nobody to ask', () => {
  assert.throws(() => open().readings.begin(readingOf(1, [])), { code: 'frame_invalid' })
})

test('readings: no more reads are unanswered than the launcher can hold, and those that wait come in order', () => {
  const sent: number[] = []
  const readings = openReadings((frame) => sent.push(new DataView(frame.buffer).getUint32(8, true)))
  const count = maxUnanswered + 4
  for (let run = 0; run < count; run++) readings.begin(readingOf(run, [stdin]))
  assert.deepEqual(sent, [...Array(maxUnanswered).keys()])
  readings.forget(maxUnanswered) // never asked: nobody takes its place
  assert.equal(sent.length, maxUnanswered)
  readings.forget(0) // asked and given up: the next may
  assert.equal(sent.at(-1), maxUnanswered + 1)
  assert.equal(readings.take(part(1, 0, 0, 0))?.kind, 'read')
  assert.equal(sent.at(-1), maxUnanswered + 2)
  assert.throws(() => readings.take(part(count - 1, 0, 0, 0)), { code: 'frame_invalid' }) // it has not asked
  const size = maxReadBytes + 1
  assert.equal(readings.take(part(2, 0, 0, size)), null) // has more to read, and goes to the end
  assert.equal(sent.at(-1), count - 1)
  assert.equal(readings.take(part(3, 0, 0, 0))?.kind, 'read')
  assert.equal(sent.at(-1), 2)
  assert.equal(readings.take(part(2, 0, maxReadBytes, size))?.kind, 'read')
  assert.equal(readings.count(), count - 5)
})
