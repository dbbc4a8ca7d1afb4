/** Small logs for the tests of the record, made with keys that are the same in each run, and their vectors. */
import { createPrivateKey, sign as signEd25519 } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isGid, isUid } from '../src/core/identity.ts'
import type { Gid, Uid } from '../src/core/identity.ts'
import { formatCanonicalJson } from '../src/core/json/canonical.ts'
import { sha256Hex } from '../src/core/json/digest.ts'
import { parseHex } from '../src/core/json/hex.ts'
import { parseStrictJson } from '../src/core/json/strict.ts'
import type { Shape } from '../src/core/json/shape.ts'
import { hostIdOf, originOf, signCheckpoint } from '../src/core/audit/checkpoint.ts'
import type { Sign } from '../src/core/audit/ed25519.ts'
import type {
  Entry,
  EntryCommon,
  IntentEntry,
  OutcomeEntry,
  PolicyEntry,
  RecoveredEntry,
} from '../src/core/audit/entry.ts'
import { formatEntry } from '../src/core/audit/entry-format.ts'
import { leafHash, rootHash, treeOf } from '../src/core/audit/merkle.ts'
import { nextReceipt, noReceipts } from '../src/core/audit/receipt.ts'
import type { ReceiptHead } from '../src/core/audit/receipt.ts'
import { makeVerifierKey } from '../src/core/audit/signed-note.ts'
import type { VerifierKey } from '../src/core/audit/signed-note.ts'
import { verifyLog } from '../src/core/audit/verify.ts'
import type { VerifyInput } from '../src/core/audit/verify.ts'
import type { VerifyReport } from '../src/core/audit/verify-report.ts'

/** Reads a JSON file of a known shape. Numbers that only a uint64 holds are read as 2^53, which is no size either. */
export function readJson<T>(path: string, shape: Shape<T>): T {
  const text = readFileSync(path, 'utf8').replaceAll(/(?<=": )[0-9]{17,}/g, '9007199254740992e0')
  return shape(parseStrictJson(text), path)
}

/** Reads a file of `spec/vectors`. */
export function readSpecVectors<T>(name: string, shape: Shape<T>): T {
  return readJson(join(import.meta.dirname, '../spec/vectors', name), shape)
}

/** A signing key that is the same in each run of the tests. The private half is 32 times the byte `fill`. */
export function testKey(fill: number): { key: VerifierKey; sign: Sign; host: string } {
  const pkcs8 = Buffer.concat([
    Buffer.from('302e020100300506032b657004220420', 'hex'),
    Buffer.alloc(32, fill),
  ])
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
  const x = privateKey.export({ format: 'jwk' }).x ?? ''
  const publicKey = Uint8Array.from(Buffer.from(x, 'base64url'))
  const host = hostIdOf(publicKey)
  return {
    key: makeVerifierKey(originOf(host), publicKey),
    sign: (bytes) => signEd25519(null, bytes, privateKey),
    host,
  }
}

export function testUid(value: number): Uid {
  if (!isUid(value)) throw new Error('not a uid')
  return value
}

export function testGid(value: number): Gid {
  if (!isGid(value)) throw new Error('not a gid')
  return value
}

export const testCommon: EntryCommon = {
  salt: '00112233445566778899aabbccddeeff',
  timeMs: 1_700_000_000_000,
  policy: 'unsigned',
}

/** A resolved action, as far as the audit looks into it. `run` makes its digest unlike others. */
export function testAction(run: number, argv: readonly string[] = ['/usr/bin/true']): string {
  return formatCanonicalJson({
    type: 'belladonna/resolved-action/v1',
    action: 'demo.true',
    argv,
    executable: { path: '/usr/bin/true', sha256: 'ab'.repeat(32) },
    run_as: { uid: 0, gid: 0, groups: [] },
    subject: { uid: 1000, gid: 1000, groups: [], unit: null },
    nonce: run.toString(16).padStart(32, '0'),
  })
}

/** A log in the making: each function appends, and returns the index of what it appended. */
export type TestLog = Readonly<{
  key: VerifierKey
  sign: Sign
  host: string
  entries: Uint8Array[]
  receipts: Uint8Array[]
  head: () => ReceiptHead
  add: (entry: Entry) => number
  start: () => number
  intent: (run: number, change?: Partial<IntentEntry>) => number
  /** Appends to the receipts and returns the record's text. */
  receipt: (run: number, timeMs?: number) => string
  denial: (run: number) => number
  outcome: (
    run: number,
    intent: number,
    receipt: string | null,
    change?: Partial<OutcomeEntry>,
  ) => number
  recovered: (run: number, change: Partial<RecoveredEntry>) => number
  stop: () => number
  policy: (digits: string, state?: PolicyEntry['state']) => number
  /** A note over the first `size` entries, all of them if it is left out, and all receipts. */
  checkpoint: (size?: number) => string
}>

export function makeTestLog(fill = 7): TestLog {
  const { key, sign, host } = testKey(fill)
  const entries: Uint8Array[] = []
  const receipts: Uint8Array[] = []
  let head: ReceiptHead = noReceipts
  const add = (entry: Entry): number => entries.push(formatEntry(entry)) - 1
  return {
    key,
    sign,
    host,
    entries,
    receipts,
    add,
    head: () => head,
    start: () =>
      add({
        ...testCommon,
        kind: 'start',
        host,
        policyDigest: 'cd'.repeat(32),
        features: ['pid_namespace', 'seccomp'],
        versions: { belladonna: '0.1.0', node: '24.21.0' },
        receipts: { count: head.count, head: head.hash },
      }),
    intent: (run: number, change: Partial<IntentEntry> = {}) =>
      add({
        ...testCommon,
        kind: 'intent',
        run,
        pid: 4000 + run,
        action: testAction(run),
        actionDigest: sha256Hex(testAction(run)),
        decision: 'permit',
        grant: 'grant 1',
        requesterText: 'because',
        ...change,
      }),
    receipt: (run: number, timeMs = 1_700_000_000_000 + run) => {
      const made = nextReceipt(
        head,
        {
          actionDigest: sha256Hex(testAction(run)),
          run,
          nonce: run.toString(16).padStart(32, '0'),
          subject: { uid: testUid(1000), gid: testGid(1000) },
          timeMs,
          host,
        },
        sign,
      )
      head = made.head
      receipts.push(made.record)
      return new TextDecoder().decode(made.record)
    },
    denial: (run: number) =>
      add({
        ...testCommon,
        kind: 'denial',
        run,
        subject: { uid: 1000, gid: 1000, groups: [1000], pid: 77, foreign: false },
        action: 'demo.true',
        code: 'not_granted',
        rule: null,
        parameter: null,
        detail: null,
        requesterText: 'please',
      }),
    outcome: (
      run: number,
      intent: number,
      receipt: string | null,
      change: Partial<OutcomeEntry> = {},
    ) =>
      add({
        ...testCommon,
        kind: 'outcome',
        run,
        intent,
        end: { kind: 'exited', value: 0, stage: 'none' },
        usage: { userUs: 900, systemUs: 600, maxRssKib: 2048, wallUs: 2500 },
        features: ['pid_namespace', 'seccomp'],
        limits: { memory: 'kept', processes: 'kept' },
        missing: [],
        output: { kind: 'pass' },
        receipt,
        ...change,
      }),
    recovered: (run: number, change: Partial<RecoveredEntry>) =>
      add({
        ...testCommon,
        kind: 'recovered',
        run,
        actionDigest: sha256Hex(testAction(run)),
        intent: null,
        receipt: null,
        recording: null,
        state: 'unknown',
        ...change,
      }),
    stop: () => add({ ...testCommon, kind: 'stop', reason: 'requested' }),
    policy: (digits: string, state: PolicyEntry['state'] = 'adopted') =>
      add({
        ...{ ...testCommon, kind: 'policy', state },
        policyDigest: digits.repeat(32),
        reason: state === 'adopted' ? null : 'it is broken',
      }),
    checkpoint: (size = entries.length) =>
      signCheckpoint(
        {
          origin: key.name,
          size,
          root: rootHash(treeOf(entries.slice(0, size).map(leafHash))),
          receipts: { count: head.count, head: parseHex(head.hash) },
        },
        key,
        sign,
      ),
  }
}

/** A start, a whole run, a denial, and a run without an end. */
export function makeSmallLog(): TestLog {
  const log = makeTestLog()
  log.start()
  const intent = log.intent(1)
  log.outcome(1, intent, log.receipt(1))
  log.denial(2)
  log.intent(3)
  log.receipt(3)
  return log
}

export function verify(log: TestLog, change: Partial<VerifyInput> = {}): VerifyReport {
  return verifyLog({
    entries: log.entries,
    receipts: log.receipts,
    checkpoints: [log.checkpoint()],
    key: log.key,
    ...change,
  })
}

/** Codes and indexes of the problems, as `code@index`. */
export function problemsOf({ problems }: VerifyReport): readonly string[] {
  return problems.map(({ code, index }) => (index === null ? code : `${code}@${index}`))
}

/** Something that a log can be wrong in: `make` appends it behind a start, and `want` is what is to be found. */
export type VerifyCase = Readonly<{
  name: string
  make: (log: TestLog) => Partial<VerifyInput>
  want: readonly string[]
}>

export function foundIn({ make }: VerifyCase): readonly string[] {
  const log = makeTestLog()
  log.start()
  return problemsOf(verify(log, make(log)))
}
