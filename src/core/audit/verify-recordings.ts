import { createHash } from 'node:crypto'
import { openRecordingReader } from './recording.ts'
import type { Chunk, RecordedStream, RecordingReader } from './recording.ts'
import type { CountedOutput, Entry, OutputStream, Recording } from './entry.ts'
import { messageOf } from './verify-report.ts'
import type { AddProblem, VerifyReport } from './verify-report.ts'

/** Starts reading a recording in pieces, each good until the next is asked for; null: it is not there. */
export type OpenRecording = (name: string) => Iterable<Uint8Array> | null

/** Holds recordings against the entries that name them. */
export type RecordingCheck = Readonly<{
  addEntry: (entry: Entry, index: number) => void
  counts: () => Pick<VerifyReport, 'recordings' | 'recordings_missing'>
}>

/** @param open without it, recordings are counted as missing, and that is no problem */
export function openRecordingCheck(
  open: OpenRecording | undefined,
  addProblem: AddProblem,
): RecordingCheck {
  let recordings = 0
  let missing = 0
  return {
    addEntry: (entry, index) => {
      const recording = recordingOf(entry)
      if (recording === null) return
      recordings += 1
      const pieces = open?.(recording.name) ?? null
      if (pieces !== null) {
        const output = entry.kind === 'outcome' && 'stdout' in entry.output ? entry.output : null
        checkRecording(recording, output, pieces, (code, message) => {
          addProblem(code, index, message)
        })
        return
      }
      missing += 1
      if (open !== undefined)
        addProblem('recording_missing', index, `${recording.name}.rec is not there`)
    },
    counts: () => ({ recordings, recordings_missing: missing }),
  }
}

function recordingOf(entry: Entry): Recording | null {
  if (entry.kind === 'recovered') return entry.recording
  if (entry.kind !== 'outcome' || !('recording' in entry.output)) return null
  return entry.output.recording
}

type Say = (code: 'recording_differs' | 'recording_malformed', message: string) => void

/** One that is incomplete may have grown since it was looked at: of it, what the entry says is of its first bytes. */
function checkRecording(
  recording: Recording,
  output: CountedOutput | null,
  pieces: Iterable<Uint8Array>,
  say: Say,
): void {
  const { name, incomplete } = recording
  const hash = createHash('sha256')
  const reader = openRecordingReader()
  const streams = openStreams(output)
  let left = recording.size
  let isLonger = false
  let damage: unknown
  for (const piece of pieces) {
    const counted = piece.length > left ? piece.subarray(0, left) : piece
    isLonger ||= piece.length > left
    left -= counted.length
    hash.update(counted)
    if (damage === undefined) damage = readChunks(reader, counted, streams.add)
    if (left === 0 && isLonger) break
  }
  const isSame = left === 0 && hash.digest('hex') === recording.sha256
  if (!isSame || (isLonger && incomplete === null)) {
    say('recording_differs', `${name}.rec is not the recording that the entry names`)
    return
  }
  if (damage !== undefined) say('recording_malformed', `${name}.rec: ${messageOf(damage)}`)
  else if (incomplete === null && !reader.isWhole())
    say('recording_malformed', `${name}.rec has no end`)
  else if ((reader.head()?.nonce ?? name) !== name) {
    say('recording_malformed', `${name}.rec is of another run`)
  } else if (incomplete === null && !streams.agree()) {
    say('recording_differs', `${name}.rec does not hold what the client got`)
  }
}

/** What is wrong with it, or undefined. */
function readChunks(
  reader: RecordingReader,
  piece: Uint8Array,
  add: (chunk: Chunk) => void,
): unknown {
  try {
    reader.push(piece).forEach(add)
    return undefined
  } catch (error) {
    return error
  }
}

const names: readonly RecordedStream[] = ['stdout', 'stderr', 'terminal']

/** Of each stream the client got the first bytes, and the entry has their digest. */
function openStreams(
  output: CountedOutput | null,
): Readonly<{ add: (chunk: Chunk) => void; agree: () => boolean }> {
  const stateOf = (name: RecordedStream): State => {
    return { hash: createHash('sha256'), size: 0, left: output?.[name]?.delivered ?? 0, leftOut: 0 }
  }
  const states = {
    ...{ stdout: stateOf('stdout'), stderr: stateOf('stderr') },
    terminal: stateOf('terminal'),
  }
  return {
    add: (chunk) => {
      if (chunk.kind === 'size') return
      if (chunk.kind === 'end') {
        for (const name of names) states[name].leftOut = chunk.leftOut[name]
        return
      }
      const state = states[chunk.kind]
      state.hash.update(chunk.bytes.subarray(0, state.left))
      state.left -= Math.min(state.left, chunk.bytes.length)
      state.size += chunk.bytes.length
    },
    agree: () =>
      output === null ||
      names.every((name) => {
        const { hash, size, left, leftOut } = states[name]
        return isOf(output[name], { size, left, leftOut, sha256: hash.digest('hex') })
      }),
  }
}

type State = {
  readonly hash: ReturnType<typeof createHash>
  size: number
  left: number
  leftOut: number
}
type Found = Readonly<{ size: number; left: number; leftOut: number; sha256: string }>

function isOf(stream: OutputStream | null, { size, left, leftOut, sha256 }: Found): boolean {
  if (stream === null) return size === 0 && leftOut === 0
  return left === 0 && sha256 === stream.sha256 && size + leftOut === stream.written
}
