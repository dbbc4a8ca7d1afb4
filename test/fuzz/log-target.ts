/**
 * What stands in a log, its receipts and the files of a state directory. The input has a line for each: E an entry, R a
 * receipt, C a note as a JSON string, V a verifier key, U the counts of used grants. A line is refused, or what was read is
 * the same when it is written again. `verifyLog` reads anything to its end, and nothing is right of which a signed part was
 * changed; and what a start closes stays closed.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatCheckpointText, parseCheckpointText } from '../../src/core/audit/checkpoint.ts'
import { verifyCheckpoint } from '../../src/core/audit/checkpoint.ts'
import { formatEntry } from '../../src/core/audit/entry-format.ts'
import { parseEntry } from '../../src/core/audit/entry-parse.ts'
import { formatReceipt, parseReceipt, verifyReceipt } from '../../src/core/audit/receipt.ts'
import { findUnclosed } from '../../src/core/audit/recovery.ts'
import {
  formatVerifierKey,
  parseSignedNote,
  parseVerifierKey,
} from '../../src/core/audit/signed-note.ts'
import { findStories } from '../../src/core/audit/story.ts'
import { verifyLog } from '../../src/core/audit/verify.ts'
import { BelladonnaError } from '../../src/core/error.ts'
import type { ErrorCode } from '../../src/core/error.ts'
import { formatCanonicalJson } from '../../src/core/json/canonical.ts'
import { readUsedGrants } from '../../src/host/used-grants-file.ts'
import { makeTestLog, testCommon } from '../log-fixture.ts'
import type { TestLog } from '../log-fixture.ts'
import type { Target } from './target.ts'

type Original = Readonly<{ log: TestLog; notes: ReadonlyMap<string, Signed> }>
/** What a note covers. */
type Signed = Readonly<{ entries: readonly Uint8Array[]; receipts: readonly Uint8Array[] }>

const encoder = new TextEncoder()
const bytesOf = (lines: readonly string[], letter: string): readonly Uint8Array[] =>
  lines.filter((line) => line.startsWith(letter)).map((line) => encoder.encode(line.slice(1)))

export function logTarget(): Target {
  const original = makeOriginal()
  const state = mkdtempSync(join(tmpdir(), 'belladonna-fuzz-log.'))
  process.once('exit', () => {
    rmSync(state, { recursive: true })
  })
  const seeds = seedsOf(original)
  const words = seeds.flatMap((seed) => seed.match(/"[a-z_]+":|"[a-z_]+"|\b[0-9]+\b/g) ?? [])
  return {
    seeds,
    words: [
      ...new Set(words),
      ...['\n', '\nE', '\nR', '\nC', '\\n', '\\n\\n', '\u2014 ', '\\u0000', ' ', '0', '-0', '1e9'],
      ...['9007199254740993', '"__proto__":', 'null', 'true', '{}', '[]', 'A', '=', 'receipts '],
    ],
    run: (input) => {
      const lines = input.split('\n')
      for (const line of lines) checkLine(line, original, state)
      checkLog(lines, original)
      checkRecovery(bytesOf(lines, 'E'), bytesOf(lines, 'R'))
    },
  }
}

/** Two runs, of which one has no end, with a note in the middle and one at the end. */
function makeOriginal(): Original {
  const log = makeTestLog()
  const notes = new Map<string, Signed>()
  const sign = (): void => {
    notes.set(log.checkpoint(), { entries: [...log.entries], receipts: [...log.receipts] })
  }
  log.start()
  const intent = log.intent(1)
  log.outcome(1, intent, log.receipt(1))
  sign()
  log.denial(2)
  log.policy('ab')
  log.intent(3)
  const receipt = log.receipt(3)
  log.recovered(3, { intent: 5, receipt })
  log.start()
  log.stop()
  sign()
  log.start()
  log.intent(4)
  log.receipt(4)
  log.intent(5)
  return { log, notes }
}

function seedsOf({ log, notes }: Original): readonly string[] {
  const line = (letter: string, bytes: Uint8Array): string =>
    letter + new TextDecoder().decode(bytes)
  const entries = log.entries.map((bytes) => line('E', bytes))
  const receipts = log.receipts.map((bytes) => line('R', bytes))
  const signed = [...notes.keys()].map((note) => `C${JSON.stringify(note)}`)
  const [first = '', second = ''] = signed
  return [
    [...entries, ...receipts, ...signed].join('\n'),
    [...entries.slice(0, 10), ...receipts.slice(0, 2), second].join('\n'),
    [...entries.slice(0, 3), ...receipts.slice(0, 1), first].join('\n'),
    [...entries.slice(10), ...receipts].join('\n'),
    ...entries,
    ...receipts,
    ...signed,
    `V${formatVerifierKey(log.key)}`,
    'U{"grant 1":3,"grant 2":0}',
    'U{}',
  ]
}

function checkLine(line: string, original: Original, state: string): void {
  const text = line.slice(1)
  if (line.startsWith('E')) again(text, (bytes) => formatEntry(parseEntry(bytes)))
  if (line.startsWith('R')) checkReceipt(text, original)
  if (line.startsWith('C')) checkNote(noteIn(text), original)
  if (line.startsWith('V'))
    again(text, () => encoder.encode(formatVerifierKey(parseVerifierKey(text))))
  if (line.startsWith('U')) checkUses(text, state)
}

function again(text: string, rewrite: (bytes: Uint8Array) => Uint8Array): void {
  const bytes = encoder.encode(text)
  const rewritten = refusedOr(() => rewrite(bytes), 'input_invalid')
  if (rewritten !== undefined) assert.deepEqual(Buffer.from(rewritten), Buffer.from(bytes))
}

function checkReceipt(text: string, { log }: Original): void {
  again(text, (bytes) => encoder.encode(formatReceipt(parseReceipt(bytes))))
  const receipt = refusedOr(() => parseReceipt(encoder.encode(text)), 'input_invalid')
  if (receipt === undefined || !verifyReceipt(receipt, log.key.key)) return
  const isOurs = log.receipts.some((known) => new TextDecoder().decode(known) === text)
  assert.ok(isOurs, 'a receipt that nobody signed')
}

/** As a JSON string; what is none stands for itself. */
function noteIn(text: string): string {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'string' ? value : text
  } catch {
    return text
  }
}

function checkNote(note: string, { log, notes }: Original): void {
  const parsed = refusedOr(() => parseSignedNote(note), 'input_invalid')
  const checkpoint = refusedOr(
    () => verifyCheckpoint(note, log.key),
    'input_invalid',
    'log_corrupt',
  )
  if (parsed === undefined) return assert.equal(checkpoint, undefined)
  const text = refusedOr(
    () => formatCheckpointText(parseCheckpointText(parsed.text)),
    'input_invalid',
  )
  if (text !== undefined) assert.equal(text, parsed.text)
  if (checkpoint === undefined) return
  assert.ok(signedBy(note, notes) !== undefined, 'a checkpoint that nobody signed')
}

/** Other keys may have signed too, so it is known by its text. */
function signedBy(note: string, notes: Original['notes']): Signed | undefined {
  const { text } = parseSignedNote(note)
  return [...notes].find(([known]) => parseSignedNote(known).text === text)?.[1]
}

function checkUses(text: string, state: string): void {
  writeFileSync(join(state, 'used-grants.json'), text, { mode: 0o600 })
  const uid = process.geteuid?.() ?? 0
  const uses = refusedOr(() => readUsedGrants(state, uid), 'input_invalid')
  if (uses === undefined) return
  assert.ok([...uses.values()].every((count) => Number.isSafeInteger(count) && count >= 0))
  const rewritten = formatCanonicalJson(Object.fromEntries(uses))
  writeFileSync(join(state, 'used-grants.json'), rewritten)
  assert.deepEqual(
    new Map([...readUsedGrants(state, uid)].toSorted()),
    new Map([...uses].toSorted()),
  )
}

function checkLog(lines: readonly string[], { log, notes }: Original): void {
  const [entries, receipts] = [bytesOf(lines, 'E'), bytesOf(lines, 'R')]
  const checkpoints = lines
    .filter((line) => line.startsWith('C'))
    .map((line) => noteIn(line.slice(1)))
  for (const isCopy of [false, true]) {
    const report = verifyLog({ entries, receipts, checkpoints, key: log.key, isCopy })
    assert.equal(report.ok, report.problem_count === 0)
    if (!report.ok) continue
    assert.ok(checkpoints.length > 0, 'right, and nothing of it was signed')
    for (const note of checkpoints) {
      const signed = signedBy(note, notes)
      assert.ok(signed !== undefined)
      assert.deepEqual(entries.slice(0, signed.entries.length), signed.entries)
      assert.deepEqual(receipts.slice(0, signed.receipts.length), signed.receipts)
    }
  }
  refusedOr(() => findStories(() => entries, { kind: 'last', count: 2 }), 'log_corrupt')
}

function checkRecovery(entries: readonly Uint8Array[], receipts: readonly Uint8Array[]): void {
  const found = refusedOr(() => findUnclosed(entries, receipts), 'input_invalid')
  const closing = found?.map((one) => formatEntry({ ...testCommon, ...one, recording: null }))
  if (closing !== undefined) {
    assert.deepEqual(findUnclosed([...entries, ...closing], receipts), [], 'it was closed already')
  }
}

function refusedOr<T>(read: () => T, ...codes: readonly ErrorCode[]): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof BelladonnaError && codes.includes(error.code)) return undefined
    throw error
  }
}
