import { expectEnd, openReader, openWriter, readBytes, readU32, readU64 } from './bytes.ts'
import { readBig64, readRest, readText16, readU16, readU8, writeBig64 } from './bytes.ts'
import { writeBytes, writeText16, writeU16, writeU32, writeU64, writeU8, written } from './bytes.ts'
import type { Reader, Writer } from './bytes.ts'
import { BelladonnaError } from '../error.ts'
import { formatHex } from '../audit/merkle.ts'
import { parseHex } from '../json/hex.ts'
import { commandBounds } from '../sandbox/command.ts'
import type { FileIdentity } from '../policy/input-files.ts'
import { formatFrame } from './frame.ts'
import { maxInputs, maxReadBytes, wireKind } from './layout.ts'

/** READ: asks the launcher for a part of a sealed descriptor. `input` is 0 for stdin, and from 3 on an input. */
export function formatRead(run: number, input: number, offset: number): Uint8Array {
  const writer = openWriter(16)
  writeU64(writer, run)
  writeU32(writer, input)
  writeU32(writer, offset)
  return formatFrame(wireKind.read, written(writer))
}

/** BYTES: what stands at `offset`, which is all that was asked for or up to the end. Shares memory with the frame. */
export type InputBytes = Readonly<{
  run: number
  input: number
  offset: number
  /** Of the whole input. */
  size: number
  bytes: Uint8Array
}>

/** @throws {BelladonnaError} `frame_invalid`; the launcher never sends such a frame */
export function parseInputBytes(body: Uint8Array): InputBytes {
  const reader = openReader(body)
  const [run, input, offset] = [readU64(reader), readU32(reader), readU32(reader)]
  const size = readU64(reader)
  const bytes = readRest(reader)
  if (bytes.length !== Math.min(maxReadBytes, Math.max(0, size - offset))) {
    throw new BelladonnaError('frame_invalid', 'bytes: fewer or more than the input has')
  }
  return { run, input, offset, size, bytes }
}

/** What of a request's input a resolved action binds. Digests are lower-case hexadecimal. */
export type ResolvedInputs = Readonly<{
  /** One for each path of the host that the run is bound to, in their order. */
  files: readonly FileIdentity[]
  stdin: Readonly<{ sha256: string; size: number }> | null
  /** The commitment to each secret, by the name of its parameter. */
  secrets: Readonly<Record<string, string>>
}>

export const noInputs: ResolvedInputs = { files: [], stdin: null, secrets: {} }

/** The end of RESOLVED. */
export function writeInputs(writer: Writer, { files, stdin, secrets }: ResolvedInputs): void {
  writeU8(writer, stdin === null ? 0 : 1)
  if (stdin !== null) writeBytes(writer, parseHex(stdin.sha256))
  if (stdin !== null) writeU64(writer, stdin.size)
  const entries = Object.entries(secrets)
  writeU16(writer, entries.length)
  for (const [name, commitment] of entries) {
    writeText16(writer, name)
    writeBytes(writer, parseHex(commitment))
  }
  writeU16(writer, files.length)
  for (const file of files) writeFile(writer, file)
}

function writeFile(writer: Writer, { device, inode, content }: FileIdentity): void {
  writeBig64(writer, device)
  writeBig64(writer, inode)
  writeU8(writer, content === null ? 0 : 1)
  if (content === null) return
  writeBytes(writer, parseHex(content.sha256))
  writeU64(writer, content.size)
}

function readFile(reader: Reader): FileIdentity {
  const [device, inode, flag] = [readBig64(reader), readBig64(reader), readU8(reader)]
  if (flag > 1) throw new BelladonnaError('frame_invalid', 'resolved: a file')
  const content = flag === 0 ? null : { sha256: readDigest(reader), size: readU64(reader) }
  return { device, inode, content }
}

/** Reads to the frame's end; the inverse of `writeInputs`. */
export function readInputs(reader: Reader): ResolvedInputs {
  const flag = readU8(reader)
  const stdin = flag === 0 ? null : { sha256: readDigest(reader), size: readU64(reader) }
  const count = readU16(reader)
  if (flag > 1 || count > maxInputs) throw new BelladonnaError('frame_invalid', 'resolved: inputs')
  const secrets = readSecrets(reader, count)
  const fileCount = readU16(reader)
  if (fileCount > commandBounds.binds) throw new BelladonnaError('frame_invalid', 'resolved: files')
  const files = Array.from({ length: fileCount }, () => readFile(reader))
  expectEnd(reader)
  return { files, stdin, secrets }
}

/** Names that an object holds in the order in which they came: no name twice, no number out of order. */
function readSecrets(reader: Reader, count: number): Readonly<Record<string, string>> {
  const pairs = Array.from(
    { length: count },
    () => [readText16(reader), readDigest(reader)] as const,
  )
  const secrets = Object.fromEntries(pairs)
  const names = Object.keys(secrets)
  if (names.length !== count || pairs.some(([name], at) => name !== names[at])) {
    throw new BelladonnaError('frame_invalid', 'resolved: secrets')
  }
  return secrets
}

function readDigest(reader: Reader): string {
  return formatHex(readBytes(reader, 32))
}
