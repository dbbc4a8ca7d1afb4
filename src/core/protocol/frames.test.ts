/** The frames between our own processes, byte for byte where a number is at stake, and read as they were written. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatBoot } from './boot.ts'
import { cutFrames } from './frame.ts'
import type { Frame } from './frame.ts'
import { formatIdentity, parseIdentity } from './identity-frame.ts'
import { noInputs } from './input-frames.ts'
import {
  formatOpen,
  formatPrepare,
  formatRefuse,
  parseHello,
  parseRunEnd,
} from './launcher-frames.ts'
import { wireKind, wireLayout } from './layout.ts'
import {
  formatDeclined,
  formatDropped,
  formatIntent,
  formatReceiptFrame,
  formatRecorded,
  formatResolved,
  parseDeclined,
  parseDropped,
  parseIntent,
  parseReceiptFrame,
  parseRecorded,
  parseResolved,
} from './peer-frames.ts'

const invalid = { code: 'frame_invalid' }
const bytes = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value)

/** The body of the one frame in `frame`. */
function bodyOf(frame: Uint8Array, kind: number): Uint8Array {
  const frames: Frame[] = []
  const rest = cutFrames(frame, (one) => void frames.push(one))
  const [first] = frames
  assert.ok(first !== undefined && frames.length === 1 && rest.length === 0)
  assert.equal(first.kind, kind)
  return first.body
}

/** Written and read again, all is as it was; with a byte less or more, it is no frame. */
function isSameAfter<T>(kind: number, format: (value: T) => Uint8Array, parse: Parse<T>): Check<T> {
  return (value) => {
    const body = bodyOf(format(value), kind)
    assert.deepEqual(parse(body), value)
    assert.throws(() => parse(body.subarray(0, -1)), invalid)
    assert.throws(() => parse(Uint8Array.of(...body, 0)), invalid)
  }
}
type Parse<T> = (body: Uint8Array) => T
type Check<T> = (value: T) => void

test('RESOLVED: interpreter and proxy stand before what was bound, and each is read again', () => {
  const resolved = {
    ...{ run: 7, timeMs: 1_800_000_000_000, notAfterMs: 1_800_000_030_000 },
    ...{ executableSha256: bytes(32, 2), actionDigest: bytes(32, 3) },
    ...{ interpreterSha256: bytes(32, 4), proxySha256: bytes(32, 8) },
    bound: {
      files: [
        { device: 2n ** 64n - 1n, inode: 2n ** 63n, content: null },
        { device: 1n, inode: 0n, content: { sha256: '08'.repeat(32), size: 0 } },
      ],
      stdin: { sha256: '05'.repeat(32), size: 2 ** 20 },
      secrets: { token: '06'.repeat(32), key: '07'.repeat(32) },
    },
  }
  const check = isSameAfter(wireKind.resolved, formatResolved, parseResolved)
  check(resolved)
  check({ ...resolved, bound: noInputs })
  const body = bodyOf(formatResolved(resolved), wireKind.resolved)
  const { size, offsets } = wireLayout.resolved
  assert.deepEqual(body.subarray(offsets.interpreterSha256, offsets.proxySha256), bytes(32, 4))
  assert.deepEqual(body.subarray(offsets.proxySha256, size), bytes(32, 8))
  assert.deepEqual([...body.subarray(size, size + 2)], [1, 5])
  assert.equal(
    bodyOf(formatResolved({ ...resolved, bound: noInputs }), wireKind.resolved).length,
    size + 5,
  )
})

test('frames between executor and broker are read as they were written', () => {
  const declined = {
    ...{ run: 2 ** 40, code: 'path_refused', parameter: 'file', enough: 'a file' },
    ...{ detail: 'é "x"', isTold: true },
  }
  const nothing = { parameter: null, enough: null, detail: null, isTold: false }
  const isSame = isSameAfter(wireKind.declined, formatDeclined, parseDeclined)
  isSame(declined)
  const told = bodyOf(formatDeclined(declined), wireKind.declined)
  assert.throws(() => parseDeclined(told.with(-1, 2)), invalid)
  isSame({ ...declined, ...nothing })
  isSameAfter(wireKind.intend, formatIntent, parseIntent)({ run: 1, actionDigest: bytes(32, 9) })
  isSameAfter(wireKind.recorded, formatRecorded, parseRecorded)({ run: 1, entry: 2 ** 33 })
  isSameAfter(wireKind.dropped, formatDropped, parseDropped)(3)
  isSameAfter(
    wireKind.identity,
    formatIdentity,
    parseIdentity,
  )({
    ...{ publicKey: bytes(32, 1), policyDigest: bytes(32, 2), receiptCount: 3 },
    ...{ receiptHead: bytes(32, 4), signedSize: 5, signedRoot: bytes(32, 6) },
  })
  const receipt = Uint8Array.of(1, 2, 3)
  const body = bodyOf(formatReceiptFrame(4, receipt), wireKind.receipt)
  assert.deepEqual(parseReceiptFrame(body), { run: 4, receipt })
})

test('PREPARE, OPEN and REFUSE have their numbers first, then what is passed on unread', () => {
  const text = (frame: Uint8Array, kind: number): string =>
    Buffer.from(bodyOf(frame, kind)).toString('hex')
  assert.equal(
    text(
      formatPrepare(1, bytes(2, 0xaa), bytes(1, 0xbb), { inputs: 3, detach: true }),
      wireKind.prepare,
    ),
    ['0100000000000000', '02000000', '01000000', '03000100', '00000000', 'aaaabb'].join(''),
  )
  assert.equal(
    text(formatPrepare(1, bytes(0, 0), bytes(0, 0)), wireKind.prepare),
    `0100000000000000${'00000000'.repeat(4)}`,
  )
  const proxy = { plan: bytes(1, 0xcc), command: bytes(2, 0xdd) }
  const inner = ['0100000000000000', '01000000', '02000000', '00000000', '00000000', 'ccdddd']
  assert.equal(
    text(formatPrepare(1, bytes(1, 0xaa), bytes(1, 0xbb), { proxy }), wireKind.prepare),
    ['0100000000000000', '01000000', '01000000', '00000000', '1b000000', 'aabb', ...inner].join(''),
  )
  assert.equal(text(formatOpen(2, bytes(2, 0xcc)), wireKind.open), '0200000000000000cccc')
  assert.equal(text(formatRefuse(3, 125, '{}'), wireKind.refuse), '03000000000000007d0000007b7d')
})

test('HELLO of another version is refused', () => {
  const hello = Buffer.from('01000000' + '05000000' + '00'.repeat(8), 'hex')
  assert.deepEqual(parseHello(hello), { features: 5 })
  hello.writeUInt32LE(2)
  assert.throws(() => parseHello(hello), invalid)
})

test('EXITED ends with what a relay said, whole, or with nothing', () => {
  const end = new Uint8Array(wireLayout.exited.size)
  end[0] = 9
  assert.equal(parseRunEnd(end).run, 9)
  assert.equal(parseRunEnd(end).output.length, 0)
  const output = bytes(wireLayout.output.size, 1)
  assert.deepEqual(parseRunEnd(Uint8Array.of(...end, ...output)).output, output)
  for (const size of [1, output.length - 1, output.length + 1]) {
    assert.throws(() => parseRunEnd(Uint8Array.of(...end, ...bytes(size, 1))), invalid)
  }
})

test('the boot file: paths, the bound of a uid and the supervisor, cgroups, then plan and command of executor, broker, relay and recorder', () => {
  const service = (value: number): Readonly<{ plan: Uint8Array; command: Uint8Array }> => ({
    plan: bytes(1, value),
    command: bytes(2, value),
  })
  const boot = formatBoot({
    ...{ runSocket: '/r', bridgeSocket: '/b', perUser: 32, isInside: true },
    supervisor: { address: Uint8Array.of(1, 0, 0x2f, 0x6e), aliveEveryMs: 0x7530 },
    cgroups: { unified: '/u', pids: '', memory: '/m' },
    ...{ executor: service(0xe0), broker: service(0xb0), relay: service(0xf0) },
    recorder: service(0xc0),
  })
  const texts = [
    '02002f72',
    '02002f62',
    '20000000',
    '30750000',
    '040001002f6e',
    '01',
    '02002f75',
    '0000',
    '02002f6d',
  ]
  const services = ['e0', 'b0', 'f0', 'c0'].map((at) => `01000000${at}02000000${at}${at}`)
  assert.equal(
    Buffer.from(boot).toString('hex'),
    ['42444231', '01000000', ...texts, ...services].join(''),
  )
})
