import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseHex } from '../json/hex.ts'
import { formatHex, sha256 } from './merkle.ts'
import type { Entry, OutcomeOutput, OutputStream, Recording } from './entry.ts'
import { openRecordingCheck } from './verify-recordings.ts'
import type { OpenRecording } from './verify-recordings.ts'

type Vectors = Readonly<{ valid: readonly Readonly<{ name: string; hex: string }>[] }>
const { valid }: Vectors = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/recording.json', import.meta.url), 'utf8'),
)
const bytesOf = (name: string): Uint8Array =>
  parseHex(valid.find((vector) => vector.name === name)?.hex ?? '')
const both = bytesOf('both streams')
const cut = bytesOf('cut off within a chunk')

const digest = (bytes: Uint8Array): string => formatHex(sha256(bytes))
const stream = (
  text: string,
  delivered: number = text.length,
  written = text.length,
): OutputStream => {
  return { written, delivered, sha256: digest(new TextEncoder().encode(text.slice(0, delivered))) }
}
const recordingOf = (bytes: Uint8Array, more: Partial<Recording> = {}): Recording => ({
  ...{ format: 'belladonna/recording/v1', name: '00112233445566778899aabbccddeeff' },
  ...{ size: bytes.length, sha256: digest(bytes), incomplete: null },
  ...more,
})
type Recorded = Extract<OutcomeOutput, { kind: 'recorded' }>
const outputOf = (recording: Recording, more: Partial<Recorded> = {}): Recorded => ({
  ...{ kind: 'recorded', limitBytes: 1000, truncated: false, undelivered: false, recording },
  ...{ stdout: stream('out\nmore\n'), stderr: stream('err\n'), terminal: null },
  ...more,
})
const outcomeOf = (output: OutcomeOutput): Entry => ({
  ...{ kind: 'outcome', salt: '', timeMs: 0, policy: 'unsigned', run: 1, intent: 0 },
  ...{ end: { kind: 'exited', value: 0, stage: 'none' }, features: [], missing: [], receipt: null },
  usage: { userUs: 0, systemUs: 0, maxRssKib: 0, wallUs: 0 },
  limits: { memory: 'kept', processes: 'kept' },
  output,
})

function check(
  entry: Entry,
  open: OpenRecording | undefined,
): Readonly<{ codes: readonly string[]; counts: readonly number[] }> {
  const codes: string[] = []
  const checking = openRecordingCheck(open, (code, index) =>
    codes.push(`${String(index)}: ${code}`),
  )
  checking.addEntry(entry, 4)
  const { recordings, recordings_missing: missing } = checking.counts()
  return { codes, counts: [recordings, missing] }
}

const inPieces = (bytes: Uint8Array): OpenRecording => {
  return () => [bytes.subarray(0, 70), bytes.subarray(70, 71), bytes.subarray(71)]
}
const changed = Uint8Array.from(both, (byte, at) => (at === 80 ? byte ^ 1 : byte))
const longer = Uint8Array.of(...both, 0)
const shorter = both.subarray(0, -1)
const broken = both.with(68, 9) // the kind of its first chunk

const cases: readonly (readonly [name: string, Entry, Uint8Array, readonly string[]])[] = [
  ['that is as its entry says', outcomeOf(outputOf(recordingOf(both))), both, []],
  ['with a bit changed', outcomeOf(outputOf(recordingOf(both))), changed, ['4: recording_differs']],
  ['with a byte more', outcomeOf(outputOf(recordingOf(both))), longer, ['4: recording_differs']],
  ['with a byte less', outcomeOf(outputOf(recordingOf(both))), shorter, ['4: recording_differs']],
  [
    'that is none, as its entry says',
    outcomeOf(outputOf(recordingOf(broken))),
    broken,
    ['4: recording_malformed'],
  ],
  ['without its end', outcomeOf(outputOf(recordingOf(cut))), cut, ['4: recording_malformed']],
  [
    'of another run',
    outcomeOf(outputOf(recordingOf(both, { name: 'ff'.repeat(16) }))),
    both,
    ['4: recording_malformed'],
  ],
  [
    'of which the client got the first bytes',
    outcomeOf(outputOf(recordingOf(both), { stdout: stream('out\nmore\n', 5), undelivered: true })),
    both,
    [],
  ],
  [
    'that is not what the client got',
    outcomeOf(outputOf(recordingOf(both), { stdout: stream('out\nless\n') })),
    both,
    ['4: recording_differs'],
  ],
  [
    'of less than the client got',
    outcomeOf(outputOf(recordingOf(both), { stderr: stream('err\nerr\n') })),
    both,
    ['4: recording_differs'],
  ],
  [
    'of less than was written, without saying so',
    outcomeOf(outputOf(recordingOf(both), { stderr: stream('err\n', 4, 9) })),
    both,
    ['4: recording_differs'],
  ],
  [
    'that was cut off, and has grown since',
    outcomeOf({
      kind: 'unknown',
      recording: recordingOf(cut, { incomplete: 'relay_lost' }),
    }),
    Uint8Array.of(...cut, 1, 2, 3),
    [],
  ],
  [
    'that was cut off, and is another now',
    outcomeOf({ kind: 'unknown', recording: recordingOf(cut, { incomplete: 'relay_lost' }) }),
    both,
    ['4: recording_differs'],
  ],
  [
    'that was cut off before it said whose it is',
    outcomeOf({
      kind: 'unknown',
      recording: recordingOf(both.subarray(0, 20), { incomplete: 'relay_lost' }),
    }),
    both.subarray(0, 20),
    [],
  ],
  [
    'that a crash left',
    {
      ...{ kind: 'recovered', salt: '', timeMs: 0, policy: 'unsigned', run: 1, actionDigest: '' },
      ...{ intent: null, receipt: null, state: 'unknown' },
      recording: recordingOf(cut, { incomplete: 'crash' }),
    },
    cut,
    [],
  ],
]
for (const [name, entry, bytes, want] of cases) {
  test(`verify: a recording ${name}: ${want.join() || 'verified'}`, () => {
    assert.deepEqual(check(entry, inPieces(bytes)), { codes: want, counts: [1, 0] })
  })
}

test('verify: a recording that is not there is a problem, unless no recordings came along', () => {
  const entry = outcomeOf(outputOf(recordingOf(both)))
  const missing = { codes: ['4: recording_missing'], counts: [1, 1] }
  assert.deepEqual(
    check(entry, () => null),
    missing,
  )
  assert.deepEqual(check(entry, undefined), { codes: [], counts: [1, 1] })
})

test('verify: entries without a recording need none', () => {
  for (const output of [{ kind: 'pass' }, { kind: 'unknown', recording: null }] as const) {
    assert.deepEqual(check(outcomeOf(output), undefined), { codes: [], counts: [0, 0] })
  }
})
