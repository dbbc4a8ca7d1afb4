import type { KeyObject } from 'node:crypto'
import { BelladonnaError } from '../error.ts'
import { formatBase64, parseBase64 } from '../json/base64.ts'
import { openPublicKey, verifySignature } from './ed25519.ts'
import { sha256 } from './merkle.ts'

/** A key that signs notes, by the name and number that its signature lines carry. */
export type VerifierKey = Readonly<{
  name: string
  id: number
  /** 32 bytes. */
  publicKey: Uint8Array
  key: KeyObject
}>

/** One signature line of a note. Of a key that we do not know, it means nothing. */
export type NoteSignature = Readonly<{ name: string; keyId: number; signature: Uint8Array }>

/** A note taken apart. `text` ends in a newline; nothing in it counts before a signature was verified. */
export type SignedNote = Readonly<{ text: string; signatures: readonly NoteSignature[] }>

/** Sixteen post-quantum signatures of 5 kB and a text fit in. */
const maxNoteBytes = 262_144
const maxSignatures = 64
const ed25519Type = 0x01
const encoder = new TextEncoder()

/**
 * Makes the verifier key for a host's public key.
 *
 * @throws {BelladonnaError} `input_invalid`
 * @see c2sp.org/signed-note, "Signatures", for the key id
 */
export function makeVerifierKey(name: string, publicKey: Uint8Array): VerifierKey {
  if (!isKeyName(name)) throw refused(`key name ${JSON.stringify(name)}`)
  const key = openPublicKey(publicKey)
  const id = readUint32(sha256(concat(encoder.encode(`${name}\n`), typed(publicKey))))
  return { name, id, publicKey, key }
}

/** The vkey line of a verifier key, without a newline. @see c2sp.org/signed-note, "Verifier keys" */
export function formatVerifierKey(key: VerifierKey): string {
  return `${key.name}+${formatUint32(key.id)}+${formatBase64(typed(key.publicKey))}`
}

/**
 * Reads a vkey of type Ed25519; one whose id does not follow from name and key is refused.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseVerifierKey(text: string): VerifierKey {
  const found = /^([^+]+)\+[0-9a-f]{8}\+(.+)$/.exec(text)
  if (found === null) throw refused('verifier key: expected name+id+key')
  const [, name = '', base64 = ''] = found
  const material = parseBase64(base64)
  if (material.at(0) !== ed25519Type) throw refused('verifier key: expected type Ed25519')
  const key = makeVerifierKey(name, material.subarray(1))
  if (formatVerifierKey(key) !== text) throw refused('verifier key: the id is not that of the key')
  return key
}

/** A note with one signature over `text`, which ends in a newline. */
export function formatSignedNote(
  text: string,
  name: string,
  keyId: number,
  signature: Uint8Array,
): string {
  const id = new Uint8Array(4)
  new DataView(id.buffer).setUint32(0, keyId)
  return `${text}\n\u2014 ${name} ${formatBase64(concat(id, signature))}\n`
}

/**
 * Takes a note apart. It verifies nothing.
 *
 * @throws {BelladonnaError} `input_invalid`
 * @see c2sp.org/signed-note, "Format"
 */
export function parseSignedNote(note: string): SignedNote {
  if (encoder.encode(note).length > maxNoteBytes) throw refused('note: too long')
  // Control characters are what a note must not hold.
  if (!note.isWellFormed() || /[\u0000-\u0009\u000b-\u001f]/.test(note)) {
    throw refused('note: a control character or lone surrogate')
  }
  const end = note.lastIndexOf('\n\n')
  if (end === -1 || !note.endsWith('\n')) throw refused('note: no blank line before signatures')
  const lines = note.slice(end + 2, -1).split('\n')
  if (lines.length > maxSignatures) throw refused('note: too many signatures')
  return { text: note.slice(0, end + 1), signatures: lines.map(parseSignatureLine) }
}

/**
 * The text of a note that `key` signed. Lines of other keys are ignored.
 *
 * @throws {BelladonnaError} `input_invalid` for what is no note; `log_corrupt` when no line is the key's, or one is and
 *   does not verify
 */
export function openNote(note: string, key: VerifierKey): string {
  const { text, signatures } = parseSignedNote(note)
  const own = signatures.filter((line) => line.name === key.name && line.keyId === key.id)
  if (own.length === 0) {
    throw new BelladonnaError('log_corrupt', `note: not signed by ${JSON.stringify(key.name)}`)
  }
  const bytes = encoder.encode(text)
  if (!own.every((line) => verifySignature(key.key, bytes, line.signature))) {
    throw new BelladonnaError('log_corrupt', `note: a bad signature of ${JSON.stringify(key.name)}`)
  }
  return text
}

function parseSignatureLine(line: string): NoteSignature {
  const [dash, name = '', base64 = '', ...rest] = line.split(' ')
  if (dash !== '\u2014' || rest.length > 0 || !isKeyName(name))
    throw refused('note: signature line')
  const bytes = parseBase64(base64)
  if (bytes.length < 5) throw refused('note: signature line too short')
  return { name, keyId: readUint32(bytes), signature: bytes.subarray(4) }
}

function isKeyName(name: string): boolean {
  return /^[^\p{White_Space}\p{Cc}+]+$/u.test(name) && name.isWellFormed()
}

function typed(publicKey: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(ed25519Type), publicKey)
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

function readUint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
}

function formatUint32(value: number): string {
  return value.toString(16).padStart(8, '0')
}

function refused(what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `parse ${what}`)
}
