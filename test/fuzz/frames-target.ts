/**
 * Frames that services read: those of the other service, and the launcher's. The input's characters below 256 are bytes: a
 * kind of two, then the body. A body is refused as `frame_invalid`, or what was read is the same when it is written again;
 * of the launcher's, which we never write, it is what a second reader finds at the offsets of wire.h. However a stream is cut
 * in pieces, the same frames come out of it.
 */
import assert from 'node:assert/strict'
import { BelladonnaError } from '../../src/core/error.ts'
import { cutFrames, formatFrame } from '../../src/core/protocol/frame.ts'
import { formatIdentity, parseIdentity } from '../../src/core/protocol/identity-frame.ts'
import { parseInputBytes } from '../../src/core/protocol/input-frames.ts'
import { wireKind, wireLayout } from '../../src/core/protocol/layout.ts'
import {
  parseHello,
  parseRunEnd,
  parseSubmission,
} from '../../src/core/protocol/launcher-frames.ts'
import * as peer from '../../src/core/protocol/peer-frames.ts'
import {
  formatAdopt,
  formatLoaded,
  parseAdopt,
  parseLoaded,
} from '../../src/core/protocol/reload-frames.ts'
import { parseRunOutput } from '../../src/core/protocol/run-output.ts'
import { frameSeeds } from './frame-seeds.ts'
import type { Draw } from './mutate.ts'
import type { Target } from './target.ts'

const headBytes = wireLayout.head.size
const outputCap = 1000

export function framesTarget(): Target {
  return {
    seeds: frameSeeds().map(kindAndBody),
    words: [
      ...['\x00', '\x01', '\x02', '\x20', '\x00\x00', '\x01\x00', '\x02\x00', '\xff\xff'],
      ...[
        '\xff'.repeat(8),
        '\x00'.repeat(8),
        '\x00'.repeat(32),
        '\x00'.repeat(37),
        '\x01'.repeat(32),
      ],
      ...['\x0a\x00__proto__', '\x02\x0010', '\x01\x009', '\x01\x00a', '\xc3\xa4', '\xed\xa0\x80'],
    ],
    run: (input, draw) => {
      const bytes = Buffer.from(input, 'latin1')
      if (bytes.length < 2) return
      const kind = bytes.readUInt16LE(0)
      const body = bytes.subarray(2)
      checkBody(kind, body)
      checkPieces(Buffer.concat([formatFrame(kind, body), bytes, formatFrame(1, body)]), draw)
    },
  }
}

/** A frame's head has its size before its kind, and zeros behind it. */
function kindAndBody(frame: Uint8Array): string {
  const text = Buffer.from(frame).toString('latin1')
  return text.slice(4, 6) + text.slice(headBytes)
}

type Check = (body: Buffer) => void

/** Read, and written again. */
function again<T>(parse: (body: Uint8Array) => T, format: (value: T) => Uint8Array): Check {
  return (body) => {
    const found = refusedOr(() => parse(body))
    if (found === undefined) return
    const [written] = framesIn(format(found))
    assert.ok(body.equals(written?.body ?? Buffer.of(1)), 'written again it is another')
  }
}

const checks: ReadonlyMap<number, Check> = new Map<number, Check>([
  [wireKind.identity, again(parseIdentity, formatIdentity)],
  [wireKind.resolved, again(peer.parseResolved, peer.formatResolved)],
  [wireKind.declined, again(peer.parseDeclined, peer.formatDeclined)],
  [
    wireKind.receipt,
    again(peer.parseReceiptFrame, ({ run, receipt }) => peer.formatReceiptFrame(run, receipt)),
  ],
  [wireKind.loaded, again(parseLoaded, formatLoaded)],
  [wireKind.intend, again(peer.parseIntent, peer.formatIntent)],
  [wireKind.recorded, again(peer.parseRecorded, peer.formatRecorded)],
  [wireKind.dropped, again(peer.parseDropped, peer.formatDropped)],
  [wireKind.sign, again(peer.parseSignRequest, peer.formatSignRequest)],
  [wireKind.adopt, again(parseAdopt, formatAdopt)],
  [wireKind.hello, checkHello],
  [wireKind.submit, checkSubmission],
  [wireKind.exited, checkEnd],
  [wireKind.bytes, checkInputBytes],
])

function checkBody(kind: number, body: Buffer): void {
  checks.get(kind)?.(body)
  checkOutput(body)
}

function checkHello(body: Buffer): void {
  const found = refusedOr(() => parseHello(body))
  if (found === undefined) return
  const { size, offsets } = wireLayout.hello
  assert.equal(body.length, size)
  assert.deepEqual([1, found.features], [body.readUInt32LE(0), body.readUInt32LE(offsets.features)])
}

function checkSubmission(body: Buffer): void {
  const found = refusedOr(() => parseSubmission(body))
  if (found === undefined) return
  const { size, offsets } = wireLayout.submit
  const { subject } = found
  const u32 = (at: number): number => body.readUInt32LE(at)
  const [count, cgroups] = [u32(offsets.groupCount), u32(offsets.cgroupsSize)]
  const groups = Array.from({ length: count }, (_, at) => u32(size + 4 * at))
  assert.deepEqual(
    [found.run, found.timeMs, subject.pid, subject.uid, subject.gid, found.inputs],
    [
      ...[u64(body, offsets.run), u64(body, offsets.timeMs), u32(offsets.pid), u32(offsets.uid)],
      ...[u32(offsets.gid), u32(offsets.inputCount)],
    ],
  )
  assert.deepEqual(
    subject.groups,
    [...new Set(groups)].toSorted((a, b) => a - b),
  )
  const ids: readonly number[] = [subject.uid, subject.gid, ...subject.groups]
  assert.ok(!ids.includes(0xffff_ffff), 'nobody, or -1')
  assert.equal(subject.foreign, u32(offsets.flags) !== 0)
  assert.ok(body.subarray(size + 4 * count + cgroups).equals(found.request))
  assert.equal(found.nonce, body.toString('hex', offsets.nonce, offsets.nonce + 16))
}

function checkEnd(body: Buffer): void {
  const found = refusedOr(() => parseRunEnd(body))
  if (found === undefined) return
  const { size, offsets } = wireLayout.exited
  assert.deepEqual(
    [found.run, found.kind, found.limits, found.features, found.wallUs],
    [
      ...[u64(body, offsets.run), body.readUInt32LE(offsets.kind)],
      ...[body.readUInt16LE(offsets.limits), body.readUInt32LE(offsets.features)],
      u64(body, offsets.wallUs),
    ],
  )
  assert.ok(body.subarray(size).equals(found.output))
}

function checkInputBytes(body: Buffer): void {
  const found = refusedOr(() => parseInputBytes(body))
  if (found === undefined) return
  const { size, offsets } = wireLayout.bytes
  assert.deepEqual(
    [found.run, found.input, found.offset, found.size],
    [
      ...[u64(body, offsets.run), body.readUInt32LE(offsets.input)],
      ...[body.readUInt32LE(offsets.offset), u64(body, offsets.size)],
    ],
  )
  assert.ok(body.subarray(size).equals(found.bytes))
  assert.ok(found.offset + found.bytes.length <= found.size || found.bytes.length === 0)
}

/** A relay's word is believed or not, and ends nobody. */
function checkOutput(body: Buffer): void {
  const found = parseRunOutput(body, outputCap)
  if (found === null) return
  const streams = [found.stdout, found.stderr, found.terminal].filter((stream) => stream !== null)
  const sum = streams.reduce((total, { delivered }) => total + delivered, 0)
  assert.ok(sum <= outputCap, 'more than the cap was delivered')
  for (const { delivered, written } of streams) {
    assert.ok(Number.isSafeInteger(written) && delivered <= written)
  }
}

/** As a channel reads: what is left goes before what comes next. */
function checkPieces(stream: Buffer, draw: Draw): void {
  const whole = refusedOr(() => framesIn(stream))
  const frames: Frames = []
  const piecewise = refusedOr(() => {
    let rest: Uint8Array = Buffer.alloc(0)
    for (let at = 0; at < stream.length;) {
      const end = at + 1 + draw(draw(2) === 0 ? 8 : stream.length)
      rest = cutFrames(Buffer.concat([rest, stream.subarray(at, end)]), ({ kind, body }) => {
        frames.push({ kind, body: Buffer.from(body) })
      })
      at = end
    }
    return frames
  })
  assert.deepEqual(piecewise, whole, 'cut otherwise, other frames')
}

type Frames = { kind: number; body: Buffer }[]

function framesIn(stream: Uint8Array): Frames {
  const frames: Frames = []
  cutFrames(stream, ({ kind, body }) => {
    frames.push({ kind, body: Buffer.from(body) })
  })
  return frames
}

function u64(body: Buffer, at: number): number {
  return Number(body.readBigUInt64LE(at))
}

function refusedOr<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof BelladonnaError && error.code === 'frame_invalid') return undefined
    throw error
  }
}
