import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { crc32 } from 'node:zlib'
import { BelladonnaError } from '../core/error.ts'
import { openAppendFile } from './append-file.ts'
import { readRecordFileId } from './record-file.ts'
import {
  formatFrame,
  frameBytes,
  headerBytes,
  maxPayloadBytes,
  parseHeader,
} from './record-frame.ts'
import { readFully, scanRecords } from './record-scan.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const isCorrupt = (error: unknown): boolean =>
  error instanceof BelladonnaError && error.code === 'log_corrupt'

type Scanned = Readonly<{ records: readonly string[]; end: number; tornUntil: number }>

function scan(descriptor: number): Scanned {
  const id = readRecordFileId(descriptor, 'log')
  const records: string[] = []
  const reading = scanRecords(descriptor, id)
  for (;;) {
    const next = reading.next()
    if (next.done === true) return { records, ...next.value }
    records.push(next.value.toString())
  }
}

/** A file with these batches; disposed of with the test. */
function makeFile(
  t: TestContext,
  batches: readonly (readonly string[])[],
): { path: string; descriptor: number; bytes: Buffer } {
  const directory = mkdtempSync(join(tmpdir(), 'record-scan-'))
  const path = join(directory, 'entries.wal')
  const file = openAppendFile(path, { purpose: 'log', stepBytes: 512 })
  for (const batch of batches) file.append(batch.map(encode))
  file[Symbol.dispose]()
  const descriptor = openSync(path, 'r+')
  t.after(() => {
    closeSync(descriptor)
    rmSync(directory, { recursive: true })
  })
  return { path, descriptor, bytes: readFileSync(path) }
}

const fifty = Array.from({ length: 50 }, (_, i) => [`record ${i} ${'x'.repeat(i)}`])

test('C65: each prefix of a file of 50 records gives the first of them, whole', (t) => {
  const { descriptor, bytes } = makeFile(t, fifty)
  const all = fifty.flat()
  let seen = 0
  for (let size = bytes.length - 1; size >= headerBytes; size -= 1) {
    ftruncateSync(descriptor, size)
    const { records, end, tornUntil } = scan(descriptor)
    assert.deepEqual(records, all.slice(0, records.length))
    assert.ok(end <= size && tornUntil <= size)
    seen = records.length
  }
  assert.equal(seen, 0)
  for (const size of [headerBytes - 1, 100, 0]) {
    ftruncateSync(descriptor, size)
    assert.throws(() => scan(descriptor), isCorrupt)
  }
})

test('C65: of an append whose blocks reached the disk in part, in any order, nothing is taken', (t) => {
  const batch = Array.from({ length: 12 }, (_, i) => `${i} ${'y'.repeat(2000)}`)
  const { descriptor, bytes } = makeFile(t, [['a'], ['b'], batch])
  const whole = scan(descriptor)
  assert.equal(whole.records.length, 14)
  const start = whole.end - frameBytes(batch.map(encode))
  const restore = (): void => {
    writeSync(descriptor, bytes, 0, bytes.length, 0)
  }
  for (let cut = start; cut < whole.end; cut += 512) {
    writeSync(descriptor, Buffer.alloc(whole.end - cut), 0, whole.end - cut, cut)
    assert.deepEqual(scan(descriptor).records, ['a', 'b'])
    restore()
  }
  for (let block = Math.floor(start / 512) * 512; block < whole.end; block += 512) {
    const from = Math.max(block, start)
    const length = Math.min(block + 512, whole.end) - from
    writeSync(descriptor, Buffer.alloc(length), 0, length, from)
    const { records, end, tornUntil } = scan(descriptor)
    assert.deepEqual([records, end], [['a', 'b'], start])
    assert.ok(tornUntil > end)
    restore()
  }
})

test('C67: no flipped byte of a file gives a wrong record: the last append is cut off, or the file is refused', (t) => {
  const { descriptor, bytes } = makeFile(t, [['first', 'second'], ['third'], ['fourth', 'fifth']])
  const all = ['first', 'second', 'third', 'fourth', 'fifth']
  const { end } = scan(descriptor)
  const lastFrame = end - frameBytes(['fourth', 'fifth'].map(encode))
  for (let at = 0; at < end + 64; at += 1) {
    for (const bit of [0, 3, 7]) {
      const byte = Buffer.of((bytes[at] ?? 0) ^ (1 << bit))
      writeSync(descriptor, byte, 0, 1, at)
      if (at < lastFrame) {
        assert.throws(() => scan(descriptor), isCorrupt, `byte ${at}`)
      } else {
        const { records, tornUntil } = scan(descriptor)
        assert.deepEqual(records, at < end ? all.slice(0, 3) : all, `byte ${at}`)
        assert.ok(tornUntil > at)
      }
    }
    writeSync(descriptor, bytes, at, 1, at)
  }
})

test('records: a frame of another file, or of another place, is not taken', (t) => {
  const one = makeFile(t, [['a'], ['b']])
  const two = makeFile(t, [['a'], ['b']])
  const frame = frameBytes([encode('a')])
  writeSync(one.descriptor, two.bytes, headerBytes + frame, frame, headerBytes + frame)
  assert.deepEqual(scan(one.descriptor).records, ['a'])
  writeSync(two.descriptor, two.bytes, headerBytes, frame, headerBytes + frame)
  assert.deepEqual(scan(two.descriptor).records, ['a'])
})

test('records: a frame with a right checksum and a wrong content is refused', (t) => {
  const { descriptor } = makeFile(t, [])
  const id = readRecordFileId(descriptor, 'log')
  const place = Buffer.alloc(8)
  place.writeBigUInt64LE(BigInt(headerBytes))
  const patches: readonly ((frame: Buffer) => void)[] = [
    (frame) => frame.writeUInt32LE(3, 8),
    (frame) => frame.writeUInt32LE(99, 16),
    (frame) => frame.writeUInt32LE(0xffff_ffff, 16),
    (frame) => frame.writeUInt32LE(3, 16),
  ]
  for (const patch of patches) {
    const frame = formatFrame([encode('abcd'), encode('efgh')], id, headerBytes, Buffer.alloc(64))
    patch(frame)
    const head = crc32(frame.subarray(0, 12), crc32(place, id.seed))
    frame.writeUInt32LE(crc32(frame.subarray(16, 32), head), 12)
    writeSync(descriptor, frame, 0, frame.length, headerBytes)
    assert.throws(() => scan(descriptor), isCorrupt)
  }
})

test('records: a length beyond all bounds is not read', (t) => {
  const { descriptor, bytes } = makeFile(t, [['a']])
  for (const size of [maxPayloadBytes + 1, 0xffff_ffff, maxPayloadBytes]) {
    bytes.writeUInt32LE(size, headerBytes + 4)
    writeSync(descriptor, bytes, 0, bytes.length, 0)
    assert.deepEqual(scan(descriptor).records, [])
  }
})

test('promise 7: records: a file that was made to be read for hours is given up in seconds', (t) => {
  const { descriptor, bytes } = makeFile(t, [['a']])
  const whole = scan(descriptor)
  const startMs = performance.now()
  const head = Buffer.alloc(16)
  bytes.copy(head, 0, headerBytes, headerBytes + 4)
  head.writeUInt32LE(maxPayloadBytes - 64, 4)
  writeSync(descriptor, Buffer.alloc(16 * 1024 * 1024, head), 0, undefined, whole.end)
  assert.throws(() => scan(descriptor), isCorrupt)
  ftruncateSync(descriptor, whole.end)
  ftruncateSync(descriptor, 2 ** 40) // sparse: a terabyte that takes no place
  assert.throws(() => scan(descriptor), isCorrupt)
  ftruncateSync(descriptor, 2 ** 29)
  assert.deepEqual(scan(descriptor), whole)
  assert.ok(performance.now() - startMs < 30_000)
})

test('records: damage far before a good frame is found across chunks', (t) => {
  const { descriptor, bytes } = makeFile(t, [
    ['a'],
    ['x'.repeat(200_000), ...Array(10).fill('y'.repeat(250_000))],
    ['b'],
  ])
  assert.equal(scan(descriptor).records.length, 13)
  writeSync(descriptor, Buffer.of(1), 0, 1, headerBytes + 100_000)
  assert.throws(() => scan(descriptor), isCorrupt)
  assert.throws(() => parseHeader(bytes.subarray(0, 40), 'log'), isCorrupt)
})

test('records: a reader beside a writer sees the beginning of what there is, and never damage', async (t) => {
  const { path } = makeFile(t, [])
  const module = JSON.stringify(join(import.meta.dirname, 'append-file.ts'))
  const code = `
    const { openAppendFile } = await import(${module})
    const calls = { write: (await import('node:fs')).writeSync, datasync: () => undefined }
    using file = openAppendFile(${JSON.stringify(path)}, { purpose: 'log', calls })
    console.log('open')
    const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50) // for the reader to have turns too
    for (let i = 0; i < 20000; i += 1) {
      file.append([new TextEncoder().encode('record ' + i + 'x'.repeat(i % 3000))])
      if (i % 1000 === 0) pause()
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  const counts = new Set<number>()
  while (child.exitCode === null) {
    const descriptor = openSync(path, 'r')
    let count = 0
    for (const record of scanRecords(descriptor, readRecordFileId(descriptor, 'log'))) {
      assert.ok(record.toString('latin1').startsWith(`record ${count}`))
      count += 1
    }
    closeSync(descriptor)
    counts.add(count)
    await new Promise((resume) => setImmediate(resume))
  }
  assert.ok(counts.size > 2)
})

test('readFully: fewer bytes only at the end of the file', (t) => {
  const { path } = makeFile(t, [])
  writeFileSync(path, 'abc')
  const descriptor = openSync(path, 'r')
  assert.equal(readFully(descriptor, 1, 10).toString(), 'bc')
  closeSync(descriptor)
})
