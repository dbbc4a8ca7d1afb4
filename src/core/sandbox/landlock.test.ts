import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  landlockVectors,
  plainProfile,
  readVectors,
  richProfile,
} from '../../../test/native/sandbox-vectors.ts'
import { cleanPath } from './fixed-mounts.ts'
import { landlockBounds, readLandlock, writeLandlock } from './landlock-bytes.ts'
import type { LandlockHead } from './landlock-bytes.ts'
import { allLandlockFs, allLandlockNet, landlockFor, landlockFs, landlockNet } from './landlock.ts'
import type { Landlock, LandlockFacts } from './landlock.ts'
import type { Mount } from './mount.ts'
import { planForProfile } from './plan-for-profile.ts'
import { newByteReader, newByteWriter } from './wire-bytes.ts'

const facts: LandlockFacts = {
  devices: new Map(),
  unixSockets: false,
  tcp: { connect: null, bind: null },
}
const mounts = (profile = plainProfile): readonly Mount[] =>
  planForProfile(profile, { architecture: 'x86_64' }).mounts

/** The rights at a path by name, `-` for no rule. */
function rightsAt(landlock: Landlock, path: string): string {
  const rule = landlock.paths.find((candidate) => candidate.path === path)
  if (rule === undefined) return '-'
  const names = Object.entries(landlockFs).filter(([, bit]) => (rule.access & bit) !== 0n)
  return names.map(([name]) => name).join(' ')
}

const written = 'writeFile removeDir removeFile makeDir makeReg makeFifo makeSym refer truncate'

test('landlock: all can be read, and each mount has what its kind has beyond that', () => {
  const landlock = landlockFor(mounts(richProfile), facts)
  for (const [path, rights] of [
    ['/', 'readFile readDir'],
    ['/usr', 'execute'],
    ['/etc/passwd', '-'],
    ['/proc', '-'],
    ['/proc/sys/vm/swappiness', written],
    ['/var/lib/app', written],
    ['/usr/local/state', written],
    ['/tmp', `execute ${written}`],
    ['/dev', 'writeFile'],
    ['/dev/null', '-'],
    ['/bin', '-'],
  ] as const) {
    assert.equal(rightsAt(landlock, path), rights, path)
  }
})

test('landlock: nobody makes device nodes, and sockets only where they can be opened', () => {
  const [closed, open] = [false, true].map((unixSockets) =>
    landlockFor(mounts(richProfile), { ...facts, unixSockets }),
  )
  assert.ok(closed && open)
  const granted = ({ paths }: Landlock): bigint =>
    paths.reduce((all, { access }) => all | access, 0n)
  assert.equal(
    granted(closed) & (landlockFs.makeChar | landlockFs.makeBlock | landlockFs.makeSock),
    0n,
  )
  assert.equal(granted(open) & (landlockFs.makeChar | landlockFs.makeBlock), 0n)
  assert.match(rightsAt(open, '/tmp'), /makeSock/)
  assert.match(rightsAt(open, '/var/lib/app'), /makeSock/)
  assert.doesNotMatch(rightsAt(open, '/usr'), /makeSock/)
  assert.equal(closed.handledFs, allLandlockFs)
})

test('landlock: a device that a profile names can be asked by ioctl, and is written under `write` only', () => {
  const devices = new Map<string, 'read' | 'write'>([
    ['/dev/kmsg', 'read'],
    ['/dev/watchdog', 'write'],
  ])
  const named = [...devices.keys()].map((path): Mount => {
    return { kind: 'device', source: cleanPath(path), target: cleanPath(path), optional: false }
  })
  const landlock = landlockFor([...mounts(), ...named], { ...facts, devices })
  assert.equal(rightsAt(landlock, '/dev/kmsg'), 'ioctlDev')
  assert.equal(rightsAt(landlock, '/dev/watchdog'), 'writeFile ioctlDev')
  assert.equal(rightsAt(landlock, '/dev'), '-')
  assert.equal(rightsAt(landlock, '/dev/null'), 'writeFile')
})

test('landlock: the run’s own terminal is written to, and asked by ioctl', () => {
  const path = cleanPath('/dev/tty')
  const landlock = landlockFor(
    [
      ...mounts(),
      { kind: 'device', source: path, target: path, optional: true },
      { kind: 'devpts', target: cleanPath('/dev/pts') },
    ],
    facts,
  )
  assert.equal(rightsAt(landlock, '/dev/tty'), 'writeFile ioctlDev')
  assert.equal(rightsAt(landlock, '/dev/pts'), 'writeFile ioctlDev')
  assert.equal(rightsAt(landlock, '/dev'), 'writeFile')
})

test('landlock: without a root of its own no file is looked at', () => {
  assert.deepEqual(landlockFor([], facts), { handledFs: 0n, handledNet: 0n, paths: [], ports: [] })
})

test('landlock: a list of ports closes its direction to all others', () => {
  const both = landlockFor([], { ...facts, tcp: { connect: [8443, 443], bind: [0, 443] } })
  assert.equal(both.handledNet, allLandlockNet)
  assert.deepEqual(both.ports, [
    { access: landlockNet.bindTcp, port: 0 },
    { access: landlockNet.bindTcp | landlockNet.connectTcp, port: 443 },
    { access: landlockNet.connectTcp, port: 8443 },
  ])
  const none = landlockFor([], { ...facts, tcp: { connect: [], bind: null } })
  assert.deepEqual([none.handledNet, none.ports], [landlockNet.connectTcp, []])
})

function write(landlock: Landlock): readonly [LandlockHead, Uint8Array] {
  const writer = newByteWriter('landlock')
  const head = writeLandlock(writer, landlock)
  return [head, writer.bytes()]
}

function read([head, bytes]: readonly [LandlockHead, Uint8Array]): Landlock {
  const reader = newByteReader('landlock', bytes)
  const landlock = readLandlock(reader, head)
  reader.end()
  return landlock
}

const anyLandlock: fc.Arbitrary<Landlock> = fc
  .record({
    handledFs: fc.bigInt({ min: 1n, max: allLandlockFs }),
    handledNet: fc.bigInt({ min: 1n, max: allLandlockNet }),
    names: fc.uniqueArray(fc.stringMatching(/^[a-zé]{1,8}$/), { maxLength: 8 }),
    numbers: fc.uniqueArray(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }),
  })
  .map(({ handledFs, handledNet, names, numbers }) => ({
    handledFs,
    handledNet,
    paths: [...names].sort().map((name) => ({ access: handledFs, path: cleanPath(`/${name}`) })),
    ports: [...numbers].sort((a, b) => a - b).map((port) => ({ access: handledNet, port })),
  }))

test('landlock: bytes are read as they were written', () => {
  fc.assert(
    fc.property(anyLandlock, (landlock) => {
      assert.deepEqual(read(write(landlock)), landlock)
    }),
  )
})

test('landlock: of other bytes only those are read that would be written again', () => {
  const written = write(
    landlockFor(mounts(richProfile), { ...facts, tcp: { connect: [1], bind: [2] } }),
  )
  fc.assert(
    fc.property(fc.nat(written[1].length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = written[1].slice()
      bytes[at] = (bytes[at] ?? 0) ^ change
      let landlock: Landlock
      try {
        landlock = read([written[0], bytes])
      } catch (error) {
        assert.match(String(error), /parse landlock/)
        return
      }
      assert.deepEqual(write(landlock), [written[0], bytes])
    }),
  )
})

const small: Landlock = {
  handledFs: landlockFs.readFile,
  handledNet: landlockNet.connectTcp,
  paths: [{ access: landlockFs.readFile, path: cleanPath('/a') }],
  ports: [{ access: landlockNet.connectTcp, port: 1 }],
}
const [rule] = small.paths
const [port] = small.ports
const refused: readonly (readonly [name: string, change: Partial<Landlock>])[] = [
  ['a right to files that nobody knows', { handledFs: allLandlockFs + 1n }],
  ['a right to ports that nobody knows', { handledNet: allLandlockNet + 1n }],
  ['a rule without a right', { paths: [{ access: 0n, path: cleanPath('/a') }] }],
  ['a right that is not handled', { handledFs: landlockFs.execute }],
  ['a right to a port that is not handled', { handledNet: landlockNet.bindTcp }],
  ['a path twice', { paths: [rule, rule].flatMap((one) => one ?? []) }],
  ['a port twice', { ports: [port, port].flatMap((one) => one ?? []) }],
  ['a port beyond the last', { ports: [{ access: landlockNet.connectTcp, port: 65_536 }] }],
  [
    'a path too long',
    { paths: [{ access: small.handledFs, path: cleanPath(`/${'a'.repeat(4095)}`) }] },
  ],
  [
    'too many ports',
    {
      ports: Array.from({ length: landlockBounds.ports + 1 }, (_, index) => {
        return { access: landlockNet.connectTcp, port: index }
      }),
    },
  ],
  [
    'too many paths',
    {
      paths: Array.from({ length: landlockBounds.paths + 1 }, (_, index) => {
        return { access: landlockFs.readFile, path: cleanPath(`/${index + 1000}`) }
      }),
    },
  ],
]
for (const [name, change] of refused) {
  test(`landlock: ${name} is refused`, () => {
    assert.throws(() => write({ ...small, ...change }), { code: 'input_invalid' })
  })
}

test('landlock: what a writer would refuse is refused in bytes', () => {
  const [head, bytes] = write(small)
  assert.throws(() => read([{ ...head, handledFs: 0n }, bytes]), { code: 'frame_invalid' })
  const notClean = bytes.slice()
  notClean[10] = 0x62 // the path's first byte
  assert.throws(() => read([head, notClean]), /not a clean path/)
})

test('landlock: the bytes are those of spec/vectors/landlock.json', () => {
  assert.deepEqual(landlockVectors(), readVectors('landlock.json'))
})
