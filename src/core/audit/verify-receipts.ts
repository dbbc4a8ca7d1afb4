import { hostIdOf } from './checkpoint.ts'
import { digestKey } from './digest-key.ts'
import { noReceipts, parseReceipt, receiptHash, verifyReceipt } from './receipt.ts'
import type { Receipt, ReceiptHead } from './receipt.ts'
import type { VerifierKey } from './signed-note.ts'
import { messageOf } from './verify-report.ts'
import type { AddProblem, VerifyCode } from './verify-report.ts'

/** The receipts file, by number and by resolved action, in about 200 bytes a receipt. */
export type ReceiptIndex = Readonly<{
  count: number
  /** `receiptHash` of record `number`, 64 zeros for 0, undefined beyond the end. */
  hashOf: (number: number) => string | undefined
  /** Number of the receipt for this resolved action. */
  numberOf: (actionDigest: string) => number | undefined
  /** Time of receipt `number`, or of the last one before it that could be read. */
  timeOf: (number: number) => number
}>

/** A file with more than these is no file of receipts: each record is kept in memory by its hash, and may have taken four bytes. */
const maxMalformed = 1000

/** Verifies the receipts on their own: form, chain, time, host and signature of each. */
export function indexReceipts(
  records: Iterable<Uint8Array>,
  key: VerifierKey,
  addProblem: AddProblem,
): ReceiptIndex {
  const numbers = new Map<string, number>()
  const hashes = [noReceipts.hash]
  const times = [noReceipts.timeMs]
  let head = noReceipts
  let malformed = 0
  for (const record of records) {
    const number = hashes.length
    const hash = receiptHash(record)
    try {
      const receipt = parseReceipt(record)
      const digest = digestKey(receipt.actionDigest)
      for (const [code, what] of faults(receipt, head, key, numbers.has(digest))) {
        addProblem(code, null, `receipt ${String(number)} ${what}`)
      }
      numbers.set(digest, number)
      head = { count: number, hash, timeMs: receipt.timeMs }
    } catch (error) {
      addProblem('receipt_malformed', null, `receipt ${String(number)}: ${messageOf(error)}`)
      head = { ...head, count: number, hash }
      malformed += 1
    }
    hashes.push(hash)
    times.push(head.timeMs)
    if (malformed > maxMalformed) break
  }
  return {
    count: head.count,
    hashOf: (number) => hashes[number],
    numberOf: (actionDigest) => numbers.get(digestKey(actionDigest)),
    timeOf: (number) => times[number] ?? head.timeMs,
  }
}

function faults(
  receipt: Receipt,
  head: ReceiptHead,
  key: VerifierKey,
  isSecond: boolean,
): readonly (readonly [VerifyCode, string])[] {
  const checks: readonly (readonly [boolean, VerifyCode, string])[] = [
    [receipt.number === head.count + 1, 'receipt_chain', 'has another number'],
    [receipt.previous === head.hash, 'receipt_chain', 'does not name the hash of the one before'],
    [receipt.timeMs >= head.timeMs, 'receipt_chain', 'is older than the one before'],
    [receipt.host === hostIdOf(key.publicKey), 'host_mismatch', 'is of another host'],
    [verifyReceipt(receipt, key.key), 'receipt_signature', 'has a bad signature'],
    [!isSecond, 'receipt_duplicate', 'is the second for its resolved action'],
  ]
  return checks.filter(([holds]) => !holds).map(([, code, what]) => [code, what] as const)
}
