/**
 * Record files: what a power loss, or somebody, left of them. The input is a script of lines that appends and damages:
 *
 *   a 5 300      appends one frame with records of these sizes       x 100 3     changes a byte by exclusive or
 *   z 4100 50    zeros so many bytes                                 t 5000      cuts the file off, or makes it longer
 *   c 4096 4200 64   copies bytes to another place                   w 4100 ab12 writes bytes
 *
 * Offsets count from 0, with a "-" before them from where the last frame ended. Where the file is opened again, either all
 * frames before the first damaged one come back, and no more, or the file is refused as `log_corrupt`: if its header is
 * damaged, or a frame behind the damage is whole. What was cut off stays beside it. The reader without a lock sees the same.
 */
import assert from 'node:assert/strict'
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BelladonnaError } from '../../src/core/error.ts'
import { openAppendFile } from '../../src/host/append-file.ts'
import { readRecords } from '../../src/host/read-log.ts'
import { headerBytes } from '../../src/host/record-frame.ts'
import type { Target } from './target.ts'

const maxFileBytes = 256 * 1024
const maxSteps = 12
/** So large that nothing is prepared behind our back while we append. */
const stepBytes = 16 * 1024
const maxAppended = stepBytes / 4

/** A frame as it was written: its place, its bytes, its records. */
type Frame = Readonly<{ at: number; bytes: Buffer; records: readonly string[] }>
type Model = { header: Buffer; frames: Frame[]; end: number; appended: number; made: number }

const calls = { write: writeSync, datasync: () => undefined }

export function recordsTarget(): Target {
  // In memory, where there is such a place: nothing here is about what a disk forgets.
  const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const root = mkdtempSync(join(place, 'belladonna-fuzz-records.'))
  process.once('exit', () => {
    rmSync(root, { recursive: true })
  })
  const path = join(root, 'entries.wal')
  return {
    seeds: [
      'a 10\na 20 30\na 400\n',
      'a 10\na 20 30\nx -5 1\na 7\n',
      'a 10\na 20\nz -16 16\n',
      'a 10\na 20\na 30\nx 4120 255\n',
      'a 10\na 20 20 20\nt -20\na 5\nt -3\n',
      'a 600\na 600\nc 4096 -0 700\na 10\n',
      'a 10\nw -0 42444652100000000100000000000000\na 10\n',
      'a 10\nx 20 1\n',
      'a 1\nt 4000\n',
      'a 1\nt 100000\nx 90000 1\n',
    ],
    words: [
      ...['a ', 'x ', 'z ', 't ', 'c ', 'w ', '\n', ' ', '-', '-0', '-16', '-32', '4096', '4112'],
      ...['0', '16', '32', '42444652', 'ffffffff', '00000000', '01000000'],
    ],
    run: (input) => {
      for (const name of readdirSync(root)) rmSync(join(root, name))
      runScript(path, input.split('\n').slice(0, maxSteps))
    },
  }
}

function runScript(path: string, lines: readonly string[]): void {
  const model: Model = {
    header: Buffer.alloc(0),
    frames: [],
    end: headerBytes,
    appended: 0,
    made: 0,
  }
  open(path, model)
  for (const line of lines) {
    const [word = '', ...rest] = line.split(' ')
    if (word === 'a') {
      if (!append(path, model, rest.map(Number))) return
    } else damage(path, model, word, rest)
  }
  open(path, model)
}

/** Opens, and says whether it could be; `sizes`: then appends a frame of these records. */
function append(path: string, model: Model, sizes: readonly number[]): boolean {
  const isSound = sizes.length > 0 && sizes.every((size) => size >= 1 && size <= 1000)
  const total = sizes.reduce((sum, size) => sum + size + 4, 16)
  if (!isSound || sizes.length > 20 || model.appended + total > maxAppended) return true
  return open(path, model, sizes)
}

function open(path: string, model: Model, sizes: readonly number[] = []): boolean {
  const before = model.header.length === 0 ? undefined : readFileSync(path)
  const want = before === undefined ? [] : wanted(model, before)
  const seen = before === undefined ? want : refusedOr(() => textsOf(readRecords(path, 'log')))
  assert.deepEqual(seen, want, 'the reader sees others')
  const records: string[] = []
  const onRecord = (record: Uint8Array): void => void records.push(textOf(record))
  const opened = refusedOr(() =>
    openAppendFile(path, { purpose: 'log', stepBytes, onRecord, calls }),
  )
  assert.equal(opened === undefined, want === undefined, 'whether it can be opened')
  if (opened === undefined || want === undefined) return false
  using file = opened
  assert.deepEqual(records, want)
  keepGood(model, want.length, before)
  if (before !== undefined) checkCut(path, model, before, file.recovery.cutBytes)
  const made = sizes.map((size) => `${(model.made += 1)}:`.padEnd(size, 'x').slice(0, size))
  if (made.length > 0) file.append(made.map((text) => Buffer.from(text, 'latin1')))
  assert.deepEqual(textsOf(file.records()), [...want, ...made])
  remember(path, model, made)
  return true
}

/** The records before the first frame that is not as it was written; undefined: it is to be refused. */
function wanted(model: Model, file: Buffer): readonly string[] | undefined {
  if (!file.subarray(0, headerBytes).equals(model.header)) return undefined
  const isWhole = ({ at, bytes }: Frame): boolean =>
    file.subarray(at, at + bytes.length).equals(bytes)
  const bad = model.frames.findIndex((frame) => !isWhole(frame))
  const good = bad < 0 ? model.frames : model.frames.slice(0, bad)
  const behind = bad < 0 ? [] : model.frames.slice(bad)
  return behind.some(isWhole) ? undefined : good.flatMap(({ records }) => records)
}

/** Frames behind the damage are gone. */
function keepGood(model: Model, count: number, before: Buffer | undefined): void {
  let left = count
  model.frames = model.frames.filter(({ records }) => {
    const isKept = left >= records.length && left > 0
    left -= records.length
    return isKept
  })
  const last = model.frames.at(-1)
  model.end = last === undefined ? headerBytes : last.at + last.bytes.length
  model.appended =
    before === undefined || before.length < model.end + stepBytes ? 0 : model.appended
}

/** What was behind the good frames and no zero is in a file beside it, and zero in the file. */
function checkCut(path: string, { end }: Model, before: Buffer, cutBytes: number): void {
  const torn = before.subarray(end)
  const size = torn.findLastIndex((byte) => byte !== 0) + 1
  assert.equal(cutBytes, size)
  if (size === 0) return
  assert.ok(readFileSync(`${path}.cut-${end}`).equals(torn.subarray(0, size)), 'what was cut off')
  assert.ok(
    readFileSync(path)
      .subarray(end)
      .every((byte) => byte === 0),
  )
}

function remember(path: string, model: Model, made: readonly string[]): void {
  const file = readFileSync(path)
  model.header = file.subarray(0, headerBytes)
  if (made.length === 0) return
  const used = 16 + made.reduce((sum, text) => sum + 4 + text.length, 0)
  const bytes = file.subarray(model.end, model.end + Math.ceil(used / 16) * 16)
  model.frames.push({ at: model.end, bytes, records: made })
  model.end += bytes.length
  model.appended += bytes.length
}

function damage(path: string, model: Model, word: string, rest: readonly string[]): void {
  const file = readFileSync(path)
  const place = (text = ''): number => {
    const number = Number(text.startsWith('-') ? text.slice(1) : text)
    const at = text.startsWith('-') ? model.end - number : number
    return Number.isSafeInteger(at) && at >= 0 && at <= maxFileBytes ? at : -1
  }
  const [first, second, third] = rest
  const [from, to] = [place(first), place(second)]
  if (from < 0) return
  if (word === 't') resize(path, from)
  if (word === 'z') put(path, from, Buffer.alloc(Math.min(Math.max(0, Number(second) || 0), 4096)))
  if (word === 'w') put(path, from, Buffer.from(second ?? '', 'hex'))
  if (word === 'x') put(path, from, Buffer.of((file[from] ?? 0) ^ (Number(second) & 255)))
  if (word === 'c' && to >= 0) put(path, to, file.subarray(from, from + (Number(third) || 0)))
}

function put(path: string, at: number, bytes: Uint8Array): void {
  const descriptor = openSync(path, 'r+')
  if (at + bytes.length <= maxFileBytes) writeSync(descriptor, bytes, 0, bytes.length, at)
  closeSync(descriptor)
}

function resize(path: string, size: number): void {
  const descriptor = openSync(path, 'r+')
  ftruncateSync(descriptor, size)
  closeSync(descriptor)
}

function textsOf(records: Iterable<Uint8Array>): string[] {
  return Array.from(records, textOf)
}

function textOf(record: Uint8Array): string {
  return Buffer.from(record).toString('latin1')
}

function refusedOr<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof BelladonnaError && error.code === 'log_corrupt') return undefined
    throw error
  }
}
