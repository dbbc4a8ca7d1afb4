/** For tests of recordings: a bridge whose actions are recorded, and what is in the files. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { OutcomeEntry, OutcomeOutput, Recording } from '../../src/core/audit/entry.ts'
import { openRecordingReader } from '../../src/core/audit/recording.ts'
import type { Chunk, RecordedStream, RecordingHead } from '../../src/core/audit/recording.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { recordingFile } from '../../src/host/recordings.ts'

export type Recorded = Extract<OutcomeOutput, { kind: 'recorded' }>

export function recorded({ output }: OutcomeEntry): Recorded {
  assert.ok(output.kind === 'recorded', JSON.stringify(output))
  return output
}

export function recordingPath(root: string, { name }: Pick<Recording, 'name'>): string {
  return recordingFile(bridgePaths(root).recordings, name)
}

/** A file as it was read. */
export type ReadRecording = Readonly<{
  bytes: Buffer
  head: RecordingHead
  chunks: readonly Chunk[]
  isWhole: boolean
  /** All of a stream. */
  of: (stream: RecordedStream) => Buffer
}>

export function readRecording(root: string, recording: Pick<Recording, 'name'>): ReadRecording {
  const bytes = readFileSync(recordingPath(root, recording))
  const reader = openRecordingReader()
  const chunks = reader.push(bytes)
  const head = reader.head()
  assert.ok(head !== null)
  const of = (stream: RecordedStream): Buffer =>
    Buffer.concat(chunks.flatMap((chunk) => (chunk.kind === stream ? [chunk.bytes] : [])))
  return { bytes, head, chunks, isWhole: reader.isWhole(), of }
}
