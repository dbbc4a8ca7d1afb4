import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { wireLayout, wireOutputFlag, wireRecordingState } from './layout.ts'
import { parseRunOutput } from './run-output.ts'

type Fields = Readonly<{
  version?: number
  flags?: number
  out?: readonly [written: bigint, delivered: bigint]
  err?: readonly [written: bigint, delivered: bigint]
  terminal?: readonly [written: bigint, delivered: bigint]
  recording?: readonly [size: bigint, state: number, error: number]
}>

/** `struct wire_output` by the offsets that the C header has (test/native/wire-layout.test.ts). */
function bytesOf({
  version = 1,
  flags = 0,
  out = [7n, 7n],
  err = [0n, 0n],
  terminal = [0n, 0n],
  recording = [0n, 0, 0],
}: Fields): Uint8Array {
  const { size, offsets } = wireLayout.output
  const stream = wireLayout.stream.offsets
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint32(offsets.version, version, true)
  view.setUint32(offsets.flags, flags, true)
  for (const [at, [written, delivered], fill] of [
    [offsets.out, out, 0xab],
    [offsets.err, err, 0xcd],
    [offsets.terminal, terminal, 0xef],
  ] as const) {
    view.setBigUint64(at + stream.written, written, true)
    view.setBigUint64(at + stream.delivered, delivered, true)
    bytes.fill(fill, at + stream.sha256, at + stream.sha256 + 32)
  }
  const at = wireLayout.recording.offsets
  view.setBigUint64(offsets.recording + at.size, recording[0], true)
  bytes.fill(0x12, offsets.recording + at.sha256, offsets.recording + at.sha256 + 32)
  view.setUint32(offsets.recording + at.state, recording[1], true)
  view.setUint32(offsets.recording + at.error, recording[2], true)
  return bytes
}

const { none, whole, failed } = wireRecordingState
const recordings = [
  [[0n, none, 0], null],
  [[64n, whole, 0], { size: 64, sha256: '12'.repeat(32), error: null }],
  [[64n, failed, 28], { size: 64, sha256: '12'.repeat(32), error: 28 }],
  [[204n, whole, 0], { size: 204, sha256: '12'.repeat(32), error: null }],
  [[205n, whole, 0], undefined],
  [[1n, none, 0], undefined],
  [[0n, none, 1], undefined],
  [[64n, whole, 1], undefined],
  [[64n, failed, 0], undefined],
  [[64n, failed, 4096], undefined],
  [[2n ** 53n, whole, 0], undefined],
  [[64n, 3, 0], undefined],
] as const
for (const [recording, want] of recordings) {
  test(`run output: a recording of ${recording.join(', ')} is ${want === undefined ? 'not believed' : 'read'}`, () => {
    assert.deepEqual(parseRunOutput(bytesOf({ recording }), 100)?.recording, want)
  })
}

test('run output: what a relay said is read', () => {
  const flags = wireOutputFlag.capped | wireOutputFlag.undelivered
  const bytes = bytesOf({ flags, out: [2n ** 40n, 90n], err: [10n, 10n] })
  assert.deepEqual(parseRunOutput(bytes, 100), {
    truncated: true,
    undelivered: true,
    stdout: { written: 2 ** 40, delivered: 90, sha256: 'ab'.repeat(32) },
    stderr: { written: 10, delivered: 10, sha256: 'cd'.repeat(32) },
    terminal: null,
    recording: null,
  })
})

test('run output: of a run with a terminal of its own there is a third stream, also if it is empty', () => {
  const terminal = { written: 9, delivered: 8, sha256: 'ef'.repeat(32) }
  const flags = wireOutputFlag.terminal
  assert.deepEqual(parseRunOutput(bytesOf({ flags, terminal: [9n, 8n] }), 100)?.terminal, terminal)
  const none = { ...terminal, written: 0, delivered: 0 }
  assert.deepEqual(parseRunOutput(bytesOf({ flags }), 100)?.terminal, none)
})

const unbelievable: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ['nothing', new Uint8Array()],
  ['a byte too few', bytesOf({}).subarray(1)],
  ['a byte too many', Uint8Array.of(...bytesOf({}), 0)],
  ['another version', bytesOf({ version: 2 })],
  ['an unknown flag', bytesOf({ flags: 8 })],
  ['a terminal that was none', bytesOf({ terminal: [1n, 0n] })],
  ['more shown than the cap', bytesOf({ flags: 4, out: [60n, 60n], terminal: [41n, 41n] })],
  ['a terminal that showed more than was written', bytesOf({ flags: 4, terminal: [1n, 2n] })],
  ['more delivered than written', bytesOf({ out: [7n, 8n] })],
  ['more delivered than the cap', bytesOf({ out: [60n, 60n], err: [41n, 41n] })],
  ['a count that no double holds', bytesOf({ out: [2n ** 53n, 0n] })],
]
for (const [name, bytes] of unbelievable) {
  test(`run output: ${name} is not believed, and is no error`, () => {
    assert.equal(parseRunOutput(bytes, 100), null)
  })
}

test('run output: no bytes of a relay can throw', () => {
  const { size } = wireLayout.output
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: size - 1, maxLength: size }),
      fc.nat(),
      (bytes, limit) => {
        const output = parseRunOutput(bytes, limit)
        if (output === null) return true
        const { stdout, stderr, terminal } = output
        return stdout.delivered + stderr.delivered + (terminal?.delivered ?? 0) <= limit
      },
    ),
  )
})
