import { BelladonnaError } from '../error.ts'
import {
  expectEnd,
  openReader,
  openWriter,
  readBytes,
  readText16,
  readU8,
  writeBytes,
  writeText16,
  written,
} from './bytes.ts'
import { formatFrame } from './frame.ts'
import { wireKind } from './layout.ts'

/** What the executor made of the installed policy: its digest (32 bytes), or why it cannot be used. */
export type Loaded =
  Readonly<{ kind: 'policy'; digest: Uint8Array }> | Readonly<{ kind: 'unusable'; why: string }>

const digestBytes = 32

/** executor → broker, once for each RELOAD. */
export function formatLoaded(loaded: Loaded): Uint8Array {
  const writer = openWriter(64)
  const digest = loaded.kind === 'policy' ? loaded.digest : new Uint8Array(0)
  writeBytes(writer, Uint8Array.of(digest.length))
  writeBytes(writer, digest)
  writeText16(writer, loaded.kind === 'policy' ? '' : loaded.why)
  return formatFrame(wireKind.loaded, written(writer))
}

/** @throws {BelladonnaError} `frame_invalid` */
export function parseLoaded(body: Uint8Array): Loaded {
  const reader = openReader(body)
  const size = readU8(reader)
  if (size !== 0 && size !== digestBytes) {
    throw new BelladonnaError('frame_invalid', `loaded: a digest of ${size} bytes`)
  }
  const digest = readBytes(reader, size).slice()
  const why = readText16(reader)
  expectEnd(reader)
  if ((size === 0) === (why === '')) {
    throw new BelladonnaError('frame_invalid', 'loaded: neither a digest nor a reason, or both')
  }
  return size === 0 ? { kind: 'unusable', why } : { kind: 'policy', digest }
}

/** broker → executor: the policy that is in force from now on, by its digest of 32 bytes; the old one's if that stays. */
export function formatAdopt(digest: Uint8Array): Uint8Array {
  return formatFrame(wireKind.adopt, digest)
}

/** @throws {BelladonnaError} `frame_invalid` */
export function parseAdopt(body: Uint8Array): Uint8Array {
  const reader = openReader(body)
  const digest = readBytes(reader, digestBytes).slice()
  expectEnd(reader)
  return digest
}
