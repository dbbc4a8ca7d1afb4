import {
  expectEnd,
  openReader,
  openWriter,
  readBytes,
  readU64,
  writeBytes,
  writeU64,
  written,
} from './bytes.ts'
import { formatFrame } from './frame.ts'
import { wireKind } from './layout.ts'

/** executor → broker, once: who this host is, and where receipts and signatures stand. Hashes and keys are 32 bytes. */
export type ExecutorIdentity = Readonly<{
  publicKey: Uint8Array
  policyDigest: Uint8Array
  receiptCount: number
  receiptHead: Uint8Array
  signedSize: number
  signedRoot: Uint8Array
}>

export function formatIdentity(identity: ExecutorIdentity): Uint8Array {
  const writer = openWriter(144)
  writeBytes(writer, identity.publicKey)
  writeBytes(writer, identity.policyDigest)
  writeU64(writer, identity.receiptCount)
  writeBytes(writer, identity.receiptHead)
  writeU64(writer, identity.signedSize)
  writeBytes(writer, identity.signedRoot)
  return formatFrame(wireKind.identity, written(writer))
}

/** @throws {BelladonnaError} `frame_invalid` */
export function parseIdentity(body: Uint8Array): ExecutorIdentity {
  const reader = openReader(body)
  const identity = {
    publicKey: readBytes(reader, 32).slice(),
    policyDigest: readBytes(reader, 32).slice(),
    receiptCount: readU64(reader),
    receiptHead: readBytes(reader, 32).slice(),
    signedSize: readU64(reader),
    signedRoot: readBytes(reader, 32).slice(),
  }
  expectEnd(reader)
  return identity
}
