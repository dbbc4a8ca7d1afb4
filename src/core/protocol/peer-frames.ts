import { BelladonnaError } from '../error.ts'
import {
  expectEnd,
  openReader,
  openWriter,
  readBytes,
  readRest,
  readText16,
  readU8,
  readU32,
  readU64,
  writeBytes,
  writeText16,
  writeU32,
  writeU64,
  writeU8,
  written,
} from './bytes.ts'
import type { Reader } from './bytes.ts'
import { formatFrame } from './frame.ts'
import { readInputs, writeInputs } from './input-frames.ts'
import type { ResolvedInputs } from './input-frames.ts'
import { wireKind } from './layout.ts'

/** executor → broker: what the executor made of a request that it would permit. */
export type Resolved = Readonly<{
  run: number
  timeMs: number
  notAfterMs: number
  executableSha256: Uint8Array
  actionDigest: Uint8Array
  /** All zero where the executable is no script. */
  interpreterSha256: Uint8Array
  /** All zero where the profile filters no socket. */
  proxySha256: Uint8Array
  bound: ResolvedInputs
}>

export function formatResolved(resolved: Resolved): Uint8Array {
  const writer = openWriter(155)
  writeU64(writer, resolved.run)
  writeU64(writer, resolved.timeMs)
  writeU64(writer, resolved.notAfterMs)
  writeBytes(writer, resolved.executableSha256)
  writeBytes(writer, resolved.actionDigest)
  writeBytes(writer, resolved.interpreterSha256)
  writeBytes(writer, resolved.proxySha256)
  writeInputs(writer, resolved.bound)
  return formatFrame(wireKind.resolved, written(writer))
}

export function parseResolved(body: Uint8Array): Resolved {
  const reader = openReader(body)
  return {
    run: readU64(reader),
    timeMs: readU64(reader),
    notAfterMs: readU64(reader),
    executableSha256: readBytes(reader, 32).slice(),
    actionDigest: readBytes(reader, 32).slice(),
    interpreterSha256: readBytes(reader, 32).slice(),
    proxySha256: readBytes(reader, 32).slice(),
    bound: readInputs(reader),
  }
}

/** executor → broker: the executor will not run this. Null is written as an empty text. */
export type Declined = Readonly<{
  run: number
  /** A RefusalCode. */
  code: string
  parameter: string | null
  enough: string | null
  /** What was found, and where. For the log. */
  detail: string | null
  /** Whether the client may hear `detail`. */
  isTold: boolean
}>

export function formatDeclined(declined: Declined): Uint8Array {
  const writer = openWriter()
  writeU64(writer, declined.run)
  writeText16(writer, declined.code)
  writeText16(writer, declined.parameter ?? '')
  writeText16(writer, declined.enough ?? '')
  writeText16(writer, declined.detail ?? '')
  writeU8(writer, declined.isTold ? 1 : 0)
  return formatFrame(wireKind.declined, written(writer))
}

export function parseDeclined(body: Uint8Array): Declined {
  const reader = openReader(body)
  const declined = {
    ...{ run: readU64(reader), code: readText16(reader) },
    ...{ parameter: readOptional(reader), enough: readOptional(reader) },
    ...{ detail: readOptional(reader), isTold: readFlag(reader) },
  }
  expectEnd(reader)
  return declined
}

function readFlag(reader: Reader): boolean {
  const flag = readU8(reader)
  if (flag > 1) throw new BelladonnaError('frame_invalid', 'declined: a flag')
  return flag === 1
}

function readOptional(reader: Reader): string | null {
  const text = readText16(reader)
  return text === '' ? null : text
}

/** executor → broker: the receipt of a run, durable by now. */
export function formatReceiptFrame(run: number, receipt: Uint8Array): Uint8Array {
  const writer = openWriter(8)
  writeU64(writer, run)
  return formatFrame(wireKind.receipt, written(writer), receipt)
}

export function parseReceiptFrame(
  body: Uint8Array,
): Readonly<{ run: number; receipt: Uint8Array }> {
  const reader = openReader(body)
  return { run: readU64(reader), receipt: readRest(reader).slice() }
}

/** broker → executor: the broker came to the same digest and begins to record it. */
export type Intent = Readonly<{ run: number; actionDigest: Uint8Array }>

export function formatIntent(intent: Intent): Uint8Array {
  const writer = openWriter(40)
  writeU64(writer, intent.run)
  writeBytes(writer, intent.actionDigest)
  return formatFrame(wireKind.intend, written(writer))
}

export function parseIntent(body: Uint8Array): Intent {
  const reader = openReader(body)
  const intent = { run: readU64(reader), actionDigest: readBytes(reader, 32).slice() }
  expectEnd(reader)
  return intent
}

/** broker → executor: the intent is durable as entry number `entry` of the log. */
export type Recorded = Readonly<{ run: number; entry: number }>

export function formatRecorded(recorded: Recorded): Uint8Array {
  const writer = openWriter(16)
  writeU64(writer, recorded.run)
  writeU64(writer, recorded.entry)
  return formatFrame(wireKind.recorded, written(writer))
}

export function parseRecorded(body: Uint8Array): Recorded {
  const reader = openReader(body)
  const recorded = { run: readU64(reader), entry: readU64(reader) }
  expectEnd(reader)
  return recorded
}

/** broker → executor: the request was refused; nothing of it will be asked again. */
export function formatDropped(run: number): Uint8Array {
  const writer = openWriter(8)
  writeU64(writer, run)
  return formatFrame(wireKind.dropped, written(writer))
}

export function parseDropped(body: Uint8Array): number {
  const reader = openReader(body)
  const run = readU64(reader)
  expectEnd(reader)
  return run
}

/** broker → executor: sign this tree, which grew out of the last one that you signed. */
export type SignRequest = Readonly<{
  treeSize: number
  previousSize: number
  root: Uint8Array
  /** RFC 6962 consistency proof from `previousSize` to `treeSize`; empty when `previousSize` is 0. */
  consistency: readonly Uint8Array[]
}>

export function formatSignRequest(request: SignRequest): Uint8Array {
  const writer = openWriter(56 + 32 * request.consistency.length)
  writeU64(writer, request.treeSize)
  writeU64(writer, request.previousSize)
  writeBytes(writer, request.root)
  writeU32(writer, request.consistency.length)
  writeU32(writer, 0)
  for (const hash of request.consistency) writeBytes(writer, hash)
  return formatFrame(wireKind.sign, written(writer))
}

export function parseSignRequest(body: Uint8Array): SignRequest {
  const reader = openReader(body)
  const treeSize = readU64(reader)
  const previousSize = readU64(reader)
  const root = readBytes(reader, 32).slice()
  const count = readU32(reader)
  if (readU32(reader) !== 0 || count > 64) {
    throw new BelladonnaError('frame_invalid', 'sign request: hashes')
  }
  const consistency = Array.from({ length: count }, () => readBytes(reader, 32).slice())
  expectEnd(reader)
  return { treeSize, previousSize, root, consistency }
}
