import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  makeTestLog,
  readSpecVectors,
  testAction,
  testCommon,
  testKey,
} from '../../../test/log-fixture.ts'
import { BelladonnaError } from '../error.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import { sha256Hex } from '../json/digest.ts'
import { anyString, listOf, recordOf } from '../json/shape.ts'
import { parseStrictJson } from '../json/strict.ts'
import { maxEntryBytes } from './entry.ts'
import type { Entry, IntentEntry, Recording } from './entry.ts'
import { formatEntry } from './entry-format.ts'
import { parseEntry } from './entry-parse.ts'
import { isRefusalCode } from './entry-shape.ts'
import { formatHex, leafHash } from './merkle.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const failsWith = (code: string) => (error: unknown) =>
  error instanceof BelladonnaError && error.code === code

const log = makeTestLog()
const receipt = log.receipt(1)
const intent: IntentEntry = {
  ...testCommon,
  kind: 'intent',
  run: 1,
  pid: 4001,
  action: testAction(1),
  actionDigest: sha256Hex(testAction(1)),
  decision: 'permit',
  grant: 'grant 1',
  requesterText: 'because',
}
const outcome: Entry = {
  ...testCommon,
  kind: 'outcome',
  run: 1,
  intent: 1,
  end: { kind: 'failed', value: 2, stage: 'exec' },
  usage: { userUs: 1, systemUs: 2, maxRssKib: 3, wallUs: 4 },
  features: ['pid_namespace'],
  limits: { memory: 'kept', processes: 'hit' },
  missing: [{ feature: 'landlock_tcp', reason: 'needs Landlock' }],
  output: { kind: 'pass' },
  receipt,
}
const recovered: Entry = {
  ...testCommon,
  kind: 'recovered',
  run: 1,
  actionDigest: intent.actionDigest,
  intent: null,
  receipt,
  state: 'unknown',
  recording: null,
}
const recording: Recording = {
  ...{ format: 'belladonna/recording/v1', name: 'ab'.repeat(16), size: 64 },
  ...{ sha256: 'cd'.repeat(32), incomplete: null },
}
const denial: Entry = {
  ...testCommon,
  kind: 'denial',
  run: 2,
  subject: { uid: 0xffff_ffff, gid: 0, groups: [4, 24], pid: 1, foreign: true },
  action: null,
  code: 'request_malformed',
  rule: null,
  parameter: null,
  detail: null,
  requesterText: null,
}
const samples: readonly Entry[] = [
  {
    ...testCommon,
    kind: 'start',
    host: testKey(7).host,
    policyDigest: 'cd'.repeat(32),
    features: [],
    versions: { node: '24.21.0', belladonna: '0.1.0' },
    receipts: { count: 0, head: '0'.repeat(64) },
  },
  intent,
  denial,
  { ...denial, action: 'a.b', rule: 'r', parameter: 'p', requesterText: '' },
  { ...denial, detail: '"/r/a" is a link, or no directory' },
  outcome,
  { ...outcome, end: { kind: 'gone', value: 0, stage: 'none' }, receipt: null },
  { ...outcome, output: { kind: 'unknown', recording: null } },
  {
    ...outcome,
    output: { kind: 'unknown', recording: { ...recording, incomplete: 'relay_lost' } },
  },
  { ...recovered, recording: { ...recording, incomplete: 'crash' } },
  { ...outcome, limits: { memory: 'unknown', processes: 'unknown' }, missing: [] },
  {
    ...outcome,
    output: {
      ...{ kind: 'capped', limitBytes: 5, truncated: true, undelivered: false },
      stdout: { written: 9, delivered: 5, sha256: 'ab'.repeat(32) },
      stderr: { written: 1, delivered: 0, sha256: 'cd'.repeat(32) },
      terminal: null,
    },
  },
  {
    ...outcome,
    output: {
      ...{ kind: 'capped', limitBytes: 5, truncated: true, undelivered: false },
      stdout: { written: 1, delivered: 1, sha256: 'ab'.repeat(32) },
      stderr: { written: 0, delivered: 0, sha256: 'cd'.repeat(32) },
      terminal: { written: 9, delivered: 4, sha256: 'ef'.repeat(32) },
    },
  },
  recovered,
  { ...recovered, intent: 3, receipt: null, state: 'never_started', policy: 'signed' },
  { ...testCommon, kind: 'stop', reason: 'requested' },
  { ...testCommon, kind: 'policy', state: 'adopted', policyDigest: 'ef'.repeat(32), reason: null },
  { ...testCommon, kind: 'policy', state: 'refused', policyDigest: 'cd'.repeat(32), reason: 'r' },
]

for (const sample of samples) {
  test(`entry: a ${sample.kind} reads back as it was written, in canonical order`, () => {
    const bytes = formatEntry(sample)
    assert.deepEqual(parseEntry(bytes), sample)
    assert.equal(formatCanonicalJson(parseStrictJson(decode(bytes))), decode(bytes))
  })
}

const vectors = recordOf(({ take }) => ({
  about: take('about', anyString),
  valid: take(
    'valid',
    listOf(
      recordOf(({ take }) => ({
        entry: take('entry', anyString),
        leafHash: take('leaf_hash', anyString),
      })),
    ),
  ),
  invalid: take(
    'invalid',
    listOf(
      recordOf(({ take }) => ({ name: take('name', anyString), entry: take('entry', anyString) })),
    ),
  ),
}))

test('entry: the vectors of spec/vectors/entry.json', () => {
  const spec = readSpecVectors('entry.json', vectors)
  for (const { entry, leafHash: want } of spec.valid) {
    const bytes = encode(entry)
    assert.equal(formatHex(leafHash(bytes)), want)
    assert.equal(decode(formatEntry(parseEntry(bytes))), entry)
  }
  for (const { name, entry } of spec.invalid) {
    assert.throws(() => parseEntry(encode(entry)), failsWith('input_invalid'), name)
  }
  assert.ok(spec.valid.length > 7 && spec.invalid.length > 10)
})

test('entry: any text of a requester reads back as it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (requesterText) => {
      const entry = { ...intent, requesterText }
      assert.deepEqual(parseEntry(formatEntry(entry)), entry)
    }),
  )
})

test('C60: no control or bidirectional character is ever in an entry, wherever it came from', () => {
  const all = Array.from({ length: 0x100 }, (_, code) => String.fromCodePoint(code)).join('')
  const hostile = `${all}\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069`
  const action = testAction(1, ['/bin/true', hostile])
  const entry = { ...intent, requesterText: hostile, grant: hostile, action }
  const bytes = formatEntry(entry)
  assert.doesNotMatch(decode(bytes), /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u)
  assert.deepEqual(parseEntry(bytes), entry)
  assert.equal(sha256Hex(action), sha256Hex(entry.action))
})

test('C70: what cannot be encoded is refused, not bent', () => {
  const cases: readonly Entry[] = [
    { ...intent, requesterText: '\ud800' },
    { ...intent, run: -1 },
    { ...intent, run: 2 ** 53 },
    { ...intent, run: 1.5 },
    { ...intent, timeMs: Number.NaN },
    { ...intent, timeMs: 8.64e15 + 1 },
    { ...intent, salt: 'ABCDEF' },
    { ...intent, actionDigest: 'x' },
    { ...denial, action: 'a b' },
    { ...denial, action: 'x'.repeat(257) },
    { ...denial, subject: { uid: 2 ** 32, gid: 0, groups: [], pid: 1, foreign: false } },
    { ...testCommon, kind: 'stop', reason: 'No Word' },
  ]
  for (const entry of cases) assert.throws(() => formatEntry(entry), failsWith('input_invalid'))
})

test('entry: 65535 bytes are written and read, one more is refused both ways', () => {
  const base = formatEntry({ ...intent, requesterText: '' }).length
  const longest = { ...intent, requesterText: 'x'.repeat(maxEntryBytes - base) }
  const bytes = formatEntry(longest)
  assert.equal(bytes.length, maxEntryBytes)
  assert.deepEqual(parseEntry(bytes), longest)
  const more = { ...intent, requesterText: 'x'.repeat(maxEntryBytes - base + 1) }
  assert.throws(() => formatEntry(more), failsWith('input_invalid'))
  const tooLong = encode(decode(bytes).replace('"xx', '"xxx'))
  assert.throws(() => parseEntry(tooLong), failsWith('input_invalid'))
})

test('entry: every other spelling of an entry is refused', () => {
  const text = decode(formatEntry(intent))
  const cases = [
    '',
    'null',
    `${text}\n`,
    `\ufeff${text}`,
    text.replace('{', '{ '),
    text.replace('"run":1', '"run":1e0'),
    text.replace('because', '\\u0062ecause'),
    text.replace('because', 'bec\u009bause'),
    text.replace('"kind":"intent"', '"kind":"intend"'),
    text.replace('"kind":"intent"', '"kind":"constructor"'),
    text.replace('entry/v1', 'entry/v2'),
    text.replace('"pid":4001,', ''),
    text.replace('"pid":4001,', '"pid":4001,"pie":1,'),
    text.replace('"decision":"permit"', '"decision":"ask"'),
    text.replace(/"action":\{.*?\},"action_digest"/, '"action":"x","action_digest"'),
    text.replace(/"action":\{.*?\},"action_digest"/, '"action":null,"action_digest"'),
  ]
  for (const bad of cases) {
    assert.notEqual(bad, text)
    assert.throws(() => parseEntry(encode(bad)), failsWith('input_invalid'), bad)
  }
  assert.throws(() => parseEntry(Uint8Array.of(0x22, 0xff, 0x22)), failsWith('input_invalid'))
})

test('refusal codes: a closed set', () => {
  assert.equal(isRefusalCode('not_granted'), true)
  for (const other of ['toString', 'nope', '', null, 3]) assert.equal(isRefusalCode(other), false)
})
