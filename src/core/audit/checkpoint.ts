import { BelladonnaError } from '../error.ts'
import { formatBase64, parseBase64 } from '../json/base64.ts'
import type { Sign } from './ed25519.ts'
import { formatHex, hashBytes, sha256 } from './merkle.ts'
import { formatSignedNote, openNote } from './signed-note.ts'
import type { VerifierKey } from './signed-note.ts'

/** What the executor signs: how long the log is, what is in it, and how many receipts there were. */
export type Checkpoint = Readonly<{
  origin: string
  /** Entries in the tree. */
  size: number
  /** Merkle tree hash over them, 32 bytes. */
  root: Uint8Array
  /** How many receipts the executor had made, and the hash of the last one's record. */
  receipts: Readonly<{ count: number; head: Uint8Array }>
}>

const encoder = new TextEncoder()
const countPattern = /^(?:0|[1-9][0-9]{0,15})$/

/** Host id of the host with this key: SHA-256 of its 32 bytes, 64 hexadecimal digits. */
export function hostIdOf(publicKey: Uint8Array): string {
  return formatHex(sha256(publicKey))
}

/**
 * First line of a host's checkpoints, and the name of its key: `belladonna/` and the first 16 digits of the host id.
 *
 * It only tells logs apart. What makes a checkpoint this host's is the key that the reader was given.
 */
export function originOf(hostId: string): string {
  if (!/^[0-9a-f]{64}$/.test(hostId)) throw refused('host id')
  return `belladonna/${hostId.slice(0, 16)}`
}

/** The bytes to sign, as text. @see c2sp.org/tlog-checkpoint, "Note text"; spec/log.md for the extension line */
export function formatCheckpointText(checkpoint: Checkpoint): string {
  const { origin, size, root, receipts } = checkpoint
  const head = `receipts ${String(receipts.count)} ${formatBase64(receipts.head)}`
  return `${origin}\n${String(size)}\n${formatBase64(root)}\n${head}\n`
}

/**
 * Reads a checkpoint's text: exactly what `formatCheckpointText` writes, without further extension lines.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseCheckpointText(text: string): Checkpoint {
  const [origin = '', size = '', root = '', extension = '', end, ...rest] = text.split('\n')
  if (origin === '' || end !== '' || rest.length > 0) throw refused('expected four lines')
  const [word, count = '', head = '', ...more] = extension.split(' ')
  if (word !== 'receipts' || more.length > 0) throw refused('expected a line "receipts"')
  return {
    origin,
    size: parseCount(size),
    root: parseHash(root),
    receipts: { count: parseCount(count), head: parseHash(head) },
  }
}

/** A checkpoint as a note signed by `key`, whose private half is behind `sign`. */
export function signCheckpoint(checkpoint: Checkpoint, key: VerifierKey, sign: Sign): string {
  const text = formatCheckpointText(checkpoint)
  return formatSignedNote(text, key.name, key.id, sign(encoder.encode(text)))
}

/**
 * The checkpoint in a note that `key` signed, for the log that is named like the key.
 *
 * @throws {BelladonnaError} `input_invalid` for what is no checkpoint, `log_corrupt` when it is not the key's
 */
export function verifyCheckpoint(note: string, key: VerifierKey): Checkpoint {
  const checkpoint = parseCheckpointText(openNote(note, key))
  if (checkpoint.origin !== key.name) {
    throw new BelladonnaError(
      'log_corrupt',
      `checkpoint of another log ${JSON.stringify(checkpoint.origin)}`,
    )
  }
  return checkpoint
}

function parseCount(text: string): number {
  const value = Number(text)
  if (!countPattern.test(text) || !Number.isSafeInteger(value)) throw refused('a number')
  return value
}

function parseHash(text: string): Uint8Array {
  const bytes = parseBase64(text)
  if (bytes.length !== hashBytes) throw refused('a hash')
  return bytes
}

function refused(what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `parse checkpoint: ${what}`)
}
