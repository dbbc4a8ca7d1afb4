import { BelladonnaError } from '../error.ts'
import {
  expectEnd,
  openReader,
  openWriter,
  readBytes,
  readText16,
  readU16,
  readU8,
  writeBytes,
  writeText16,
  writeU16,
  writeU8,
  written,
} from './bytes.ts'

/** One `name=value` of a request: text as the requester wrote it, not yet held against a policy. */
export type RequestParameter = Readonly<{ name: string; value: string }>

/** A request to run an action: well-formed, and nothing more is known of it. */
export type ActionRequest = Readonly<{
  action: string
  reason: string
  /** 16 bytes that the requester wants as the nonce of the resolved action, or null. */
  nonce: Uint8Array | null
  parameters: readonly RequestParameter[]
}>

const requestVersion = 1
/** Limits that hold before anything is decided, in parameters and bytes of UTF-8. */
export const requestLimits = {
  parameters: 64,
  actionBytes: 64,
  nameBytes: 64,
  reasonBytes: 1024,
  valueBytes: 32_768,
} as const

const identifier = /^[a-z0-9][a-z0-9._-]{0,63}$/

/** An action's or parameter's name: `[a-z0-9._-]`, 1 to 64 characters, the first a letter or digit (C16). */
export function isIdentifier(value: string): boolean {
  return identifier.test(value)
}

/**
 * Reads the body of a request frame. Refuses instead of repairing: a longer frame, an unknown flag, a name that is none.
 * The same name may come several times: whether its parameter repeats, only the policy knows.
 *
 * @throws {BelladonnaError} `frame_invalid`, naming the first field at fault
 * @see spec/wire.md, "Request"
 */
export function parseRequest(body: Uint8Array): ActionRequest {
  const reader = openReader(body)
  if (readU8(reader) !== requestVersion) throw invalid('version')
  if (readU8(reader) !== 0) throw invalid('flags')
  const count = readU16(reader)
  if (count > requestLimits.parameters) throw invalid('too many parameters')
  const action = readText16(reader)
  if (!isIdentifier(action)) throw invalid('action')
  const reason = readText16(reader, requestLimits.reasonBytes)
  const nonce = parseNonce(readU8(reader), (size) => readBytes(reader, size))
  const parameters: RequestParameter[] = []
  for (let i = 0; i < count; i++) {
    const name = readText16(reader)
    const value = readText16(reader, requestLimits.valueBytes)
    if (!isIdentifier(name)) throw invalid('parameter name')
    parameters.push({ name, value })
  }
  expectEnd(reader)
  return { action, reason, nonce, parameters }
}

function parseNonce(size: number, read: (size: number) => Uint8Array): Uint8Array | null {
  if (size === 0) return null
  if (size !== 16) throw invalid('nonce')
  return read(size)
}

/** The body of a request frame; the inverse of `parseRequest`. */
export function formatRequest(request: ActionRequest): Uint8Array {
  const writer = openWriter()
  writeU8(writer, requestVersion)
  writeU8(writer, 0)
  writeU16(writer, request.parameters.length)
  writeText16(writer, request.action)
  writeText16(writer, request.reason)
  writeU8(writer, request.nonce === null ? 0 : request.nonce.length)
  if (request.nonce !== null) writeBytes(writer, request.nonce)
  for (const { name, value } of request.parameters) {
    writeText16(writer, name)
    writeText16(writer, value)
  }
  return written(writer)
}

function invalid(what: string): BelladonnaError {
  return new BelladonnaError('frame_invalid', `request: ${what}`)
}
