import type { OutputStream } from '../audit/entry.ts'
import { formatHex } from '../audit/merkle.ts'
import { openReader, readBytes, readU32 } from './bytes.ts'
import type { Reader } from './bytes.ts'
import { wireLayout, wireOutputFlag, wireVersion } from './layout.ts'

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
}>

const knownFlags = Object.values(wireOutputFlag).reduce((all, flag) => all | flag, 0)

/**
 * Reads `struct wire_output`, or null.
 *
 * A relay that was taken over by its run's output must not be able to end the broker, so what it says wrongly is only not
 * believed: also more delivered bytes than `limitBytes`, or than were written.
 */
export function parseRunOutput(bytes: Uint8Array, limitBytes: number): RunOutput | null {
  if (bytes.length !== wireLayout.output.size) return null
  const reader = openReader(bytes)
  const version = readU32(reader)
  const flags = readU32(reader)
  const [stdout, stderr, terminal] = [readStream(reader), readStream(reader), readStream(reader)]
  if (version !== wireVersion || (flags & ~knownFlags) !== 0) return null
  if (stdout === null || stderr === null || terminal === null) return null
  if (stdout.delivered + stderr.delivered + terminal.delivered > limitBytes) return null
  const hasTerminal = (flags & wireOutputFlag.terminal) !== 0
  if (!hasTerminal && terminal.written > 0) return null
  return {
    truncated: (flags & wireOutputFlag.capped) !== 0,
    undelivered: (flags & wireOutputFlag.undelivered) !== 0,
    stdout,
    stderr,
    terminal: hasTerminal ? terminal : null,
  }
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
