import type { OutputStream } from '../audit/entry.ts'
import { formatHex } from '../audit/merkle.ts'
import { openReader, readBytes, readU32 } from './bytes.ts'
import type { Reader } from './bytes.ts'
import { wireLayout, wireOutputFlag, wireRecordingState, wireVersion } from './layout.ts'

/** What a relay says of its run's output. */
export type RunOutput = Readonly<{
  /** There was more than the cap; what came after it was thrown away. */
  truncated: boolean
  /** The client did not take all that it should have got. */
  undelivered: boolean
  stdout: OutputStream
  stderr: OutputStream
  /** What the run's own terminal showed; null: it had none. */
  terminal: OutputStream | null
  /** What it says of its recording; null: it had none. */
  recording: RelayRecording | null
}>

/** `error`: errno of what could not be written; null: nothing lacks. */
export type RelayRecording = Readonly<{ size: number; sha256: string; error: number | null }>

const knownFlags = Object.values(wireOutputFlag).reduce((all, flag) => all | flag, 0)

/**
 * Reads `struct wire_output`, or null.
 *
 * A relay that was taken over by its run's output must not be able to end the broker, so what it says wrongly is only not
 * believed: also more delivered bytes than `limitBytes`, or than were written, and a longer recording than these can fill.
 */
export function parseRunOutput(bytes: Uint8Array, limitBytes: number): RunOutput | null {
  if (bytes.length !== wireLayout.output.size) return null
  const reader = openReader(bytes)
  const version = readU32(reader)
  const flags = readU32(reader)
  const [stdout, stderr, terminal] = [readStream(reader), readStream(reader), readStream(reader)]
  const recording = readRecording(reader, limitBytes)
  if (version !== wireVersion || (flags & ~knownFlags) !== 0) return null
  if (stdout === null || stderr === null || terminal === null || recording === null) return null
  if (stdout.delivered + stderr.delivered + terminal.delivered > limitBytes) return null
  const hasTerminal = (flags & wireOutputFlag.terminal) !== 0
  if (!hasTerminal && terminal.written > 0) return null
  return {
    truncated: (flags & wireOutputFlag.capped) !== 0,
    undelivered: (flags & wireOutputFlag.undelivered) !== 0,
    stdout,
    stderr,
    terminal: hasTerminal ? terminal : null,
    recording: recording === 'none' ? null : recording,
  }
}

/** What a recording has besides the chunks that are limited: its head, and its end with what was left out of three streams. */
const recordingBytes = wireLayout.recordingHead.size + wireLayout.chunk.size + 3 * 8

function readRecording(reader: Reader, limitBytes: number): RelayRecording | 'none' | null {
  const size = readCount(reader)
  const sha256 = formatHex(readBytes(reader, 32))
  const [state, error] = [readU32(reader), readU32(reader)]
  if (size === null || size > recordingBytes + limitBytes) return null
  if (state === wireRecordingState.none) return size === 0 && error === 0 ? 'none' : null
  if (state === wireRecordingState.whole) return error === 0 ? { size, sha256, error: null } : null
  const isFailed = state === wireRecordingState.failed && error > 0 && error < 4096
  return isFailed ? { size, sha256, error } : null
}

function readStream(reader: Reader): OutputStream | null {
  const written = readCount(reader)
  const delivered = readCount(reader)
  const sha256 = formatHex(readBytes(reader, 32))
  return written === null || delivered === null || delivered > written
    ? null
    : { written, delivered, sha256 }
}

/** Unlike `readU64`, null for what no double holds exactly. */
function readCount(reader: Reader): number | null {
  const low = readU32(reader)
  const high = readU32(reader)
  return high >= 2 ** 21 ? null : high * 2 ** 32 + low
}
