import { hash } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { BelladonnaError } from '../error.ts'
import { formatBase64, parseBase64 } from '../json/base64.ts'
import { guarded, integerWithin, oneOf, recordOf, stringWhere } from '../json/shape.ts'
import type { Shape } from '../json/shape.ts'
import { parseStrictJson } from '../json/strict.ts'
import { isGid, isUid } from '../identity.ts'
import type { Gid, Uid } from '../identity.ts'
import { verifySignature } from './ed25519.ts'
import type { Sign } from './ed25519.ts'
import { hexDigits } from './hex-shape.ts'
import { dssePae } from './pae.ts'

/** What the executor says of one run before it opens the gate. */
export type ReceiptBody = Readonly<{
  /** 1 for a host's first receipt, then one more each. */
  number: number
  /** `receiptHash` of the record before it, 64 zeros for the first. */
  previous: string
  /** SHA-256 of the resolved action, lower-case hexadecimal. */
  actionDigest: string
  /** The launcher's number of the run, unique for one start of the launcher. */
  run: number
  /** The executor's nonce of the resolved action: 32 hexadecimal digits. */
  nonce: string
  subject: Readonly<{ uid: Uid; gid: Gid }>
  /** The executor's clock, which never goes below the last receipt's. */
  timeMs: number
  /** Host id: 64 hexadecimal digits. */
  host: string
}>

/** A receipt as it is kept. `signature` is standard base64 of 64 bytes. */
export type Receipt = ReceiptBody & Readonly<{ signature: string }>

/** Where a chain of receipts ends. */
export type ReceiptHead = Readonly<{ count: number; hash: string; timeMs: number }>

/** A new receipt, its record as it is kept, and the head of the chain that ends with it. */
export type MadeReceipt = Readonly<{ receipt: Receipt; record: Uint8Array; head: ReceiptHead }>

/** Payload type in the bytes that get signed. */
const receiptPayloadType = 'application/vnd.belladonna.receipt.v1+json'

/** The head of no receipts. */
export const noReceipts: ReceiptHead = { count: 0, hash: '0'.repeat(64), timeMs: 0 }

/** Longest record in bytes; a real one has about 600. */
const maxReceiptBytes = 2048
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const digestShape = hexDigits(64)
const nonceShape = hexDigits(32)
const signatureShape = stringWhere(isSignature, 'base64 of 64 bytes')
const countShape = integerWithin(0, Number.MAX_SAFE_INTEGER)
const uidShape = guarded(isUid, 'a uid')
const gidShape = guarded(isGid, 'a gid')
const typeShape = oneOf(['belladonna/receipt/v1'])
const subjectShape: Shape<Receipt['subject']> = recordOf(({ take }) => ({
  uid: take('uid', uidShape),
  gid: take('gid', gidShape),
}))
const receiptObject: Shape<Receipt> = recordOf(({ take }) => {
  take('type', typeShape)
  return {
    number: take('number', integerWithin(1, Number.MAX_SAFE_INTEGER)),
    previous: take('previous', digestShape),
    actionDigest: take('action_digest', digestShape),
    run: take('run', countShape),
    nonce: take('nonce', nonceShape),
    subject: take('subject', subjectShape),
    timeMs: take('time_ms', countShape),
    host: take('host', digestShape),
    signature: take('signature', signatureShape),
  }
})

/**
 * The canonical JSON that is signed: a receipt without its signature.
 *
 * Written out in the order of RFC 8785 instead of sorted, because the executor waits for it in each run. No member holds
 * a character that JSON escapes; a test compares with `formatCanonicalJson`.
 */
export function formatReceiptBody(body: ReceiptBody): string {
  return `${beforeSignature(body)}${afterSignature(body)}`
}

/** The bytes to sign: DSSE's pre-authentication encoding of the body. */
export function receiptSignedBytes(body: ReceiptBody): Uint8Array {
  return dssePae(receiptPayloadType, formatReceiptBody(body))
}

/** The record that is kept: canonical JSON on one line, the same in the receipts file and in the outcome's entry. */
export function formatReceipt(receipt: Receipt): string {
  return `${beforeSignature(receipt)}"signature":"${receipt.signature}",${afterSignature(receipt)}`
}

/**
 * Makes the next receipt of a chain, and the chain's new head.
 *
 * The time is raised to the last receipt's, so that a clock set back cannot make an older one.
 *
 * @throws {BelladonnaError} `input_invalid` when a digest, host or nonce is not lower-case hexadecimal of its length
 */
export function nextReceipt(
  head: ReceiptHead,
  facts: Omit<ReceiptBody, 'number' | 'previous'>,
  sign: Sign,
): MadeReceipt {
  const { actionDigest, host, nonce } = facts
  // A record that could not be read again would break the chain for good.
  for (const digest of [actionDigest, host]) digestShape(digest, 'receipt')
  nonceShape(nonce, 'receipt')
  const timeMs = Math.max(facts.timeMs, head.timeMs)
  const body = { ...facts, timeMs, number: head.count + 1, previous: head.hash }
  const receipt = { ...body, signature: formatBase64(sign(receiptSignedBytes(body))) }
  const record = encoder.encode(formatReceipt(receipt))
  return { receipt, record, head: { count: body.number, hash: receiptHash(record), timeMs } }
}

/**
 * Reads one record, and only the spelling that `formatReceipt` writes. The signature is not verified.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseReceipt(record: Uint8Array): Receipt {
  if (record.length > maxReceiptBytes) throw refused('too long')
  const text = decode(record)
  const receipt = receiptObject(parseStrictJson(text), 'receipt')
  if (formatReceipt(receipt) !== text) throw refused('not canonical')
  return receipt
}

/** SHA-256 of a record as it is kept, lower-case hexadecimal: what the next one calls `previous`. */
export function receiptHash(record: Uint8Array): string {
  return hash('sha256', record, 'hex')
}

/** Whether the receipt's signature is the key's. */
export function verifyReceipt(receipt: Receipt, key: KeyObject): boolean {
  return verifySignature(key, receiptSignedBytes(receipt), parseBase64(receipt.signature))
}

/**
 * The head after one more record, whose place in the chain is checked. The signature is not.
 *
 * @throws {BelladonnaError} `input_invalid` for what is no receipt, `log_corrupt` when it does not follow
 */
export function followReceipt(
  head: ReceiptHead,
  record: Uint8Array,
): Readonly<{ receipt: Receipt; head: ReceiptHead }> {
  const receipt = parseReceipt(record)
  const { number, previous, timeMs } = receipt
  if (number !== head.count + 1) throw broken(head, `has number ${String(number)}`)
  if (previous !== head.hash) throw broken(head, 'does not name the hash of the one before it')
  if (timeMs < head.timeMs) throw broken(head, 'is older than the one before it')
  return { receipt, head: { count: number, hash: receiptHash(record), timeMs } }
}

/**
 * Verifies a whole chain from its first record: numbers, hashes, times, signatures.
 *
 * @throws {BelladonnaError} `input_invalid` or `log_corrupt`, at the first record that is wrong
 */
export function verifyReceiptChain(records: Iterable<Uint8Array>, key: KeyObject): ReceiptHead {
  let head = noReceipts
  for (const record of records) {
    const next = followReceipt(head, record)
    if (!verifyReceipt(next.receipt, key)) throw broken(head, 'has a bad signature')
    head = next.head
  }
  return head
}

function beforeSignature(body: ReceiptBody): string {
  return (
    `{"action_digest":"${body.actionDigest}","host":"${body.host}","nonce":"${body.nonce}",` +
    `"number":${String(body.number)},"previous":"${body.previous}","run":${String(body.run)},`
  )
}

function afterSignature(body: ReceiptBody): string {
  return (
    `"subject":{"gid":${String(body.subject.gid)},"uid":${String(body.subject.uid)}},` +
    `"time_ms":${String(body.timeMs)},"type":"belladonna/receipt/v1"}`
  )
}

function isSignature(text: string): boolean {
  return /^[A-Za-z0-9+/]{85}[AQgw]==$/.test(text)
}

function decode(record: Uint8Array): string {
  try {
    return decoder.decode(record)
  } catch (cause) {
    throw new BelladonnaError('input_invalid', 'parse receipt: not UTF-8', { cause })
  }
}

function refused(what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `parse receipt: ${what}`)
}

function broken(head: ReceiptHead, what: string): BelladonnaError {
  return new BelladonnaError('log_corrupt', `receipt ${String(head.count + 1)} ${what}`)
}
