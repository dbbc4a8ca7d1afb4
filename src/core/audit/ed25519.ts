import { createPublicKey, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { BelladonnaError } from '../error.ts'
import { formatBase64 } from '../json/base64.ts'

/** Bytes of an Ed25519 public key. */
export const publicKeyBytes: number = 32
/** Bytes of an Ed25519 signature. */
export const signatureBytes: number = 64

/** Signs exactly these bytes with the one key that its maker holds, and returns 64 bytes. */
export type Sign = (bytes: Uint8Array) => Uint8Array

/**
 * Makes a key that can verify from its 32 bytes.
 *
 * It does not look for keys of low order: those matter where strangers enrol keys, and this one is the host's own.
 *
 * @throws {BelladonnaError} `input_invalid`
 * @see RFC 8032, section 5.1.2, and RFC 8037 for the JWK
 */
export function openPublicKey(bytes: Uint8Array): KeyObject {
  if (bytes.length !== publicKeyBytes) {
    throw new BelladonnaError('input_invalid', 'open public key: expected 32 bytes')
  }
  const x = formatBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace('=', '')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

/** Whether `signature` is the key's over exactly `bytes`. False for a signature of another length. */
export function verifySignature(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  return signature.length === signatureBytes && verify(null, bytes, key, signature)
}
