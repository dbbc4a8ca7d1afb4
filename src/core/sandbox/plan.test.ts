import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { wireFeature, wireLayout, wireMountFlag, wireNamespace } from '../protocol/layout.ts'
import { cleanPath } from './fixed-mounts.ts'
import { maxPathBytes, ownMounts } from './mount.ts'
import type { Mount } from './mount.ts'
import type { Plan } from './plan.ts'
import { formatPlan, maxPrepareBytes, parsePlan, planBounds, unlimited } from './plan.ts'

const path = fc
  .array(
    fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
      .map((part) => part.replace(/[/\0]|^\.{1,2}$/g, '_')),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) => cleanPath(`/${parts.join('/')}`))
  .filter((value) => value !== '/proc')
const mode = fc.nat(0o7777)
const mount: fc.Arbitrary<Mount> = fc.oneof(
  fc.record({
    kind: fc.constant('tmpfs' as const),
    target: path,
    mode,
    sizeBytes: fc.maxSafeNat().map((size) => Math.max(size, 1)),
  }),
  fc.record({
    kind: fc.constant('bind' as const),
    source: fc.oneof(path, fc.constant('/proc/' as const)),
    target: path,
    writable: fc.boolean(),
    executable: fc.boolean(),
    optional: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('proc' as const), target: path }),
  fc.record({
    kind: fc.constant('device' as const),
    source: path,
    target: path,
    optional: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('symlink' as const),
    text: fc.string({ minLength: 1 }).map((text) => text.replaceAll('\0', '_')),
    target: path,
  }),
  fc.record({ kind: fc.constant('directory' as const), target: path, mode }),
)
const u64 = fc.bigInt({ min: 0n, max: unlimited })
const u32 = fc.nat(0xffff_ffff)
const plans: fc.Arbitrary<Plan> = fc.record({
  namespaces: fc.nat(0xff).map((bits) => {
    const network = (bits & wireNamespace.networkOwn) !== 0 ? wireNamespace.network : 0
    const all = bits | network | wireNamespace.mount
    return network === 0 ? all & ~wireNamespace.loopback : all
  }),
  capabilities: fc.bigInt({ min: 0n, max: (1n << 41n) - 1n }),
  landlockScope: fc.bigInt({ min: 0n, max: 3n }),
  landlock: fc.record({
    handledFs: fc.constant(0n),
    handledNet: fc.constant(3n),
    paths: fc.constant([]),
    ports: fc
      .uniqueArray(fc.nat(0xffff), { maxLength: 3 })
      .map((ports) => ports.toSorted((a, b) => a - b).map((port) => ({ access: 1n, port }))),
  }),
  memoryMaxBytes: fc.maxSafeNat(),
  outputMaxBytes: fc.maxSafeNat(),
  pidsMax: u32,
  timeLimitMs: u32,
  umask: fc.nat(0o777),
  flags: fc.nat(3),
  rlimits: fc.uniqueArray(
    fc.tuple(fc.nat(15), u64, u64).map(([resource, a, b]) => {
      return { resource, soft: a < b ? a : b, hard: a < b ? b : a }
    }),
    { selector: ({ resource }) => resource },
  ),
  mounts: fc.array(mount, { maxLength: 20 }),
  seccomp: fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => {
    const whole = new Uint8Array(bytes.length * 8)
    whole.set(bytes)
    return whole
  }),
})

const small: Plan = {
  namespaces: wireNamespace.mount,
  capabilities: 0n,
  landlockScope: 3n,
  landlock: { handledFs: 0n, handledNet: 0n, paths: [], ports: [] },
  memoryMaxBytes: 0,
  outputMaxBytes: 0,
  pidsMax: 0,
  timeLimitMs: 0,
  umask: 0,
  flags: 0,
  rlimits: [{ resource: 4, soft: 0n, hard: 0n }],
  mounts: [{ kind: 'proc', target: cleanPath('/proc') }],
  seccomp: Uint8Array.of(6, 0, 0, 0, 0, 0, 0xff, 0x7f),
}

test('plan: parse undoes format', () => {
  fc.assert(
    fc.property(plans, (plan) => {
      assert.deepEqual(parsePlan(formatPlan(plan)), structuredClone(plan))
    }),
  )
})

test('plan: equal plans have equal bytes', () => {
  fc.assert(
    fc.property(plans, (plan) => {
      assert.deepEqual(formatPlan(structuredClone(plan)), formatPlan(plan))
    }),
  )
})

test('plan: a plan with one byte changed, cut off or added is another plan or none', () => {
  fc.assert(
    fc.property(plans, fc.nat(), fc.integer({ min: 1, max: 255 }), (plan, where, change) => {
      const bytes = formatPlan(plan)
      const changed = bytes.slice()
      const at = where % bytes.length
      changed[at] = (changed[at] ?? 0) ^ change
      for (const other of [changed, bytes.subarray(0, at), Uint8Array.of(...bytes, 0)]) {
        let parsed: Plan
        try {
          parsed = parsePlan(other)
        } catch (error) {
          assert.ok(error instanceof Error && 'code' in error && error.code === 'frame_invalid')
          continue
        }
        assert.deepEqual(formatPlan(parsed), other)
      }
    }),
    { numRuns: 500 },
  )
})

test('plan: the head is struct wire_plan', () => {
  const bytes = formatPlan({
    ...small,
    capabilities: 0x0102n,
    memoryMaxBytes: 0x0304_0506_0708,
    outputMaxBytes: 0x0304_0506_0708,
    pidsMax: 9,
    timeLimitMs: 10,
    umask: 0o22,
    flags: 1,
  })
  const view = new DataView(bytes.buffer)
  const { offsets, size } = wireLayout.plan
  assert.equal(view.getUint32(offsets.version, true), 1)
  assert.equal(view.getUint32(offsets.namespaces, true), wireNamespace.mount)
  assert.equal(view.getBigUint64(offsets.capabilities, true), 0x0102n)
  assert.equal(view.getBigUint64(offsets.landlockScope, true), 3n)
  assert.equal(view.getBigUint64(offsets.memoryMax, true), 0x0304_0506_0708n)
  assert.equal(view.getUint32(offsets.pidsMax, true), 9)
  assert.equal(view.getUint32(offsets.timeLimitMs, true), 10)
  assert.equal(view.getUint32(offsets.umask, true), 0o22)
  assert.equal(view.getUint32(offsets.flags, true), 1)
  assert.equal(view.getUint16(offsets.rlimitCount, true), 1)
  assert.equal(view.getUint16(offsets.mountCount, true), 1)
  assert.equal(view.getUint16(offsets.seccompCount, true), 1)
  assert.equal(view.getUint16(offsets.landlockPathCount, true), 0)
  assert.equal(view.getUint16(offsets.landlockPortCount, true), 0)
  assert.equal(view.getUint16(offsets.zero, true), 0)
  const asked = wireFeature.mountNamespace | wireFeature.seccomp | wireFeature.landlockScope
  assert.equal(view.getUint32(offsets.features, true) & asked, asked)
  // one rlimit; u8 op, u8 flags, u16 mode, str16 '', str16 '/proc'; one instruction
  assert.equal(bytes.length, size + wireLayout.rlimit.size + 4 + 2 + 2 + 5 + 8)
})

const target = cleanPath('/a')
const bind = {
  kind: 'bind',
  target,
  writable: false,
  executable: false,
  optional: false,
} as const
const unfit: readonly (readonly [string, Partial<Plan>])[] = [
  ['an unknown namespace', { namespaces: 0x102 }],
  ['an own network without a network', { namespaces: 0x22 }],
  ['loopback in a shared network', { namespaces: 0x92 }],
  ['an unknown capability', { capabilities: 1n << 41n }],
  ['a negative capability mask', { capabilities: -1n }],
  ['an unknown Landlock scope', { landlockScope: 4n }],
  ['a negative Landlock scope', { landlockScope: -1n }],
  [
    'rights to change the host',
    {
      mounts: [],
      landlock: {
        ...{ handledFs: 2n, handledNet: 0n, ports: [] },
        paths: [{ access: 2n, path: cleanPath('/a') }],
      },
    },
  ],
  ['a umask above 0777', { umask: 0o1000 }],
  ['an unknown flag', { flags: 4 }],
  ['recorded without a cap', { flags: 16, outputMaxBytes: 0 }],
  ['a negative number', { pidsMax: -1 }],
  ['a time that is no u32', { timeLimitMs: 2 ** 32 }],
  ['an inexact number', { memoryMaxBytes: 2 ** 53 }],
  ['a resource twice', { rlimits: [...small.rlimits, ...small.rlimits] }],
  ['an unknown resource', { rlimits: [{ resource: 16, soft: 0n, hard: 0n }] }],
  ['a soft limit above the hard one', { rlimits: [{ resource: 1, soft: 2n, hard: 1n }] }],
  [
    'too many limits',
    { rlimits: Array.from({ length: 33 }, (_, n) => ({ resource: n, soft: 0n, hard: 0n })) },
  ],
  ['mounts without a mount namespace', { namespaces: 0 }],
  [
    'too many mounts',
    { mounts: Array.from({ length: planBounds.mounts + 1 }, () => ({ kind: 'proc', target })) },
  ],
  ['no seccomp program', { seccomp: new Uint8Array(0) }],
  ['half an instruction', { seccomp: new Uint8Array(12) }],
  ['a seccomp program too long', { seccomp: new Uint8Array(8 * 4097) }],
  ['the root as a target', { mounts: [{ kind: 'proc', target: cleanPath('/') }] }],
  ['the root as a source', { mounts: [{ ...bind, source: cleanPath('/') }] }],
  ["the host's /proc as a source", { mounts: [{ ...bind, source: cleanPath('/proc') }] }],
  [
    'the root as a device',
    { mounts: [{ kind: 'device', source: cleanPath('/'), target, optional: false }] },
  ],
  ['an empty link', { mounts: [{ kind: 'symlink', text: '', target }] }],
  ['an empty tmpfs', { mounts: [{ kind: 'tmpfs', target, mode: 0, sizeBytes: 0 }] }],
  ['a mode above 07777', { mounts: [{ kind: 'directory', target, mode: 0o10000 }] }],
  ['a negative mode', { mounts: [{ kind: 'tmpfs', target, mode: -1, sizeBytes: 1 }] }],
  ['a NUL in a link', { mounts: [{ kind: 'symlink', text: 'a\0b', target }] }],
  [
    'a path too long',
    { mounts: [{ kind: 'symlink', text: 'a'.repeat(maxPathBytes + 1), target }] },
  ],
  [
    'more than a frame holds',
    {
      mounts: Array.from({ length: 65 }, () => ({
        kind: 'symlink' as const,
        text: 'a'.repeat(maxPathBytes),
        target,
      })),
    },
  ],
]

for (const [name, change] of unfit) {
  test(`plan: format refuses ${name}`, () => {
    assert.throws(() => formatPlan({ ...small, ...change }), { code: 'input_invalid' })
  })
}

/** The small plan's bytes with some of them replaced. */
function patched(at: number, ...values: readonly number[]): Uint8Array {
  const bytes = formatPlan(small)
  bytes.set(values, at)
  return bytes
}

const { offsets, size: headBytes } = wireLayout.plan
const mountAt = headBytes + wireLayout.rlimit.size
const broken: readonly (readonly [string, Uint8Array])[] = [
  ['nothing', new Uint8Array(0)],
  ['another version', patched(offsets.version, 2)],
  ['an unknown namespace', patched(offsets.namespaces + 1, 1)],
  ['memory above 2^53', patched(offsets.memoryMax + 7, 1)],
  ['padding in the head', patched(offsets.zero, 1)],
  ['padding in a limit', patched(headBytes + wireLayout.rlimit.offsets.zero, 1)],
  ['an unknown operation', patched(mountAt, 8)],
  ['operation 0', patched(mountAt, 0)],
  ['a flag on /proc', patched(mountAt + 1, 1)],
  ['a mode on /proc', patched(mountAt + 2, 1)],
  ['a bind without a source', patched(mountAt, 2)],
  ['a device without a source', patched(mountAt, 4)],
  ['a tmpfs without a size', patched(mountAt, 1)],
  ['a link without a text', patched(mountAt, 5)],
  ['a target that is no clean path', patched(mountAt + 9, 0x2f)],
  ['more than a frame', new Uint8Array(maxPrepareBytes + 1)],
]

for (const [name, bytes] of broken) {
  test(`plan: parse refuses ${name}`, () => {
    assert.throws(() => parsePlan(bytes), { code: 'frame_invalid' })
  })
}

test('plan: parse takes a size only in its one decimal form', () => {
  for (const sizeText of ['01', '1e3', 'NaN', 'Infinity', ' 1', '-1', '1.0', '']) {
    const link = { kind: 'symlink', text: sizeText === '' ? 'x' : sizeText, target } as const
    const bytes = formatPlan({ ...small, mounts: [link] })
    bytes[mountAt] = 1
    assert.throws(() => parsePlan(bytes), { code: 'frame_invalid' })
  }
})

test('plan: own is what each run mounts for itself, its part of /proc, and what lies in its tmpfs', () => {
  const mounts: readonly Mount[] = [
    { kind: 'directory', target: cleanPath('/proc'), mode: 0o755 },
    { kind: 'proc', target: cleanPath('/proc') },
    { ...bind, source: '/proc/', target: cleanPath('/proc') },
    { kind: 'tmpfs', target: cleanPath('/tmp'), mode: 0o1777, sizeBytes: 1 },
    { ...bind, source: cleanPath('/tmp/x'), target: cleanPath('/tmp/x') },
    { ...bind, source: cleanPath('/tmpx'), target: cleanPath('/tmpx') },
  ]
  assert.deepEqual(ownMounts(mounts), [false, true, true, true, true, false])
})

test('plan: an own mark that the mounts do not say is refused', () => {
  const bytes = formatPlan({ ...small, mounts: [{ ...bind, source: cleanPath('/b') }] })
  const at = wireLayout.plan.size + wireLayout.rlimit.size + 1
  bytes[at] = (bytes[at] ?? 0) | wireMountFlag.own
  assert.throws(() => parsePlan(bytes), { code: 'frame_invalid' })
})
