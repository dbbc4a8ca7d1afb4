import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { commandVectors, readVectors } from '../../../test/native/sandbox-vectors.ts'
import type { Gid, Uid } from '../identity.ts'
import { isGid, isUid } from '../identity.ts'
import { wireLayout } from '../protocol/layout.ts'
import type { Bind, Command } from './command.ts'
import { commandBounds, formatCommand, parseCommand } from './command.ts'
import { cleanPath } from './fixed-mounts.ts'
import { allLandlockFs } from './landlock.ts'
import { maxPrepareBytes } from './plan.ts'

function uid(value: number): Uid {
  assert.ok(isUid(value))
  return value
}
function gid(value: number): Gid {
  assert.ok(isGid(value))
  return value
}

const id = fc.nat(0xffff_fffe)
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const text = fc.string({ unit: 'grapheme' }).map((value) => value.replaceAll('\0', '_'))
const path = fc.constantFrom('/', '/usr/bin/true', '/ä/ b').map(cleanPath)
const stamp = fc.record({ device: u64, inode: u64, size: u64, mtimeNs: u64, ctimeNs: u64 })
const commands: fc.Arbitrary<Command> = fc.record({
  uid: id.map(uid),
  gid: id.map(gid),
  groups: fc.array(id.map(gid), { maxLength: 5 }),
  executable: fc.constantFrom('/usr/bin/true', '/x').map(cleanPath),
  stamp,
  cwd: path,
  argv: fc.array(text, { minLength: 1, maxLength: 5 }),
  env: fc
    .uniqueArray(fc.tuple(fc.stringMatching(/^[A-Z_]{1,5}$/), text), {
      maxLength: 4,
      selector: ([name]) => name,
    })
    .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`)),
  binds: fc.array(
    fc.record({
      source: fc.constantFrom('/usr/local/bin/x', '/ä').map(cleanPath),
      target: fc.constantFrom('/usr/local/bin/x', '/proc/x').map(cleanPath),
      stamp,
      writable: fc.boolean(),
      executable: fc.boolean(),
      isLive: fc.boolean(),
      isSingle: fc.boolean(),
      access: fc.bigInt({ min: 0n, max: allLandlockFs }),
    }),
    { maxLength: 3 },
  ),
})

const small: Command = {
  uid: uid(0),
  gid: gid(0),
  groups: [],
  executable: cleanPath('/usr/bin/true'),
  stamp: { device: 1n, inode: 2n, size: 3n, mtimeNs: 4n, ctimeNs: 5n },
  cwd: cleanPath('/'),
  argv: ['true'],
  env: ['LANG=C.UTF-8'],
  binds: [],
}

test('command: parse undoes format', () => {
  fc.assert(
    fc.property(commands, (command) => {
      assert.deepEqual(parseCommand(formatCommand(command)), structuredClone(command))
    }),
  )
})

test('command: changed bytes are another command or none', () => {
  fc.assert(
    fc.property(commands, fc.nat(), fc.integer({ min: 1, max: 255 }), (command, where, change) => {
      const bytes = formatCommand(command)
      const changed = bytes.slice()
      const at = where % bytes.length
      changed[at] = (changed[at] ?? 0) ^ change
      for (const other of [changed, bytes.subarray(0, at), Uint8Array.of(...bytes, 0)]) {
        let parsed: Command
        try {
          parsed = parseCommand(other)
        } catch (error) {
          assert.ok(error instanceof Error && 'code' in error && error.code === 'frame_invalid')
          continue
        }
        assert.deepEqual(formatCommand(parsed), other)
      }
    }),
    { numRuns: 500 },
  )
})

test('command: the head is struct wire_command', () => {
  const bytes = formatCommand({ ...small, uid: uid(7), gid: gid(8), groups: [gid(9)] })
  const view = new DataView(bytes.buffer)
  const { offsets, size } = wireLayout.command
  assert.equal(view.getUint32(offsets.uid, true), 7)
  assert.equal(view.getUint32(offsets.gid, true), 8)
  assert.equal(view.getUint16(offsets.groupCount, true), 1)
  assert.equal(view.getUint16(offsets.argc, true), 1)
  assert.equal(view.getUint16(offsets.envc, true), 1)
  assert.equal(view.getUint16(offsets.bindCount, true), 0)
  const stampOffsets = wireLayout.stamp.offsets
  assert.equal(view.getBigUint64(size + stampOffsets.device, true), 1n)
  assert.equal(view.getBigUint64(size + stampOffsets.inode, true), 2n)
  assert.equal(view.getBigUint64(size + stampOffsets.size, true), 3n)
  assert.equal(view.getBigUint64(size + stampOffsets.mtimeNs, true), 4n)
  assert.equal(view.getBigUint64(size + stampOffsets.ctimeNs, true), 5n)
  assert.equal(view.getUint32(size + wireLayout.stamp.size, true), 9)
})

test('command: promise 1: an argument stays one argument, whatever is in it', () => {
  const argv = ['a b', '', '"', '$(id)', '-rf', 'a\nb', '\u{1f514}', ';']
  assert.deepEqual(parseCommand(formatCommand({ ...small, argv })).argv, argv)
})

const bind: Bind = {
  source: cleanPath('/usr/local/sbin/x'),
  target: cleanPath('/usr/local/sbin/x'),
  stamp: small.stamp,
  writable: false,
  executable: true,
  isLive: false,
  isSingle: false,
  access: 0n,
}
const longest = 'x'.repeat(commandBounds.textBytes)
const unfit: readonly (readonly [string, Partial<Command>])[] = [
  ['an empty argv', { argv: [] }],
  ['too many arguments', { argv: Array.from({ length: 1025 }, () => 'a') }],
  ['an argument that execve would refuse', { argv: [`${longest}x`] }],
  ['too many variables', { env: Array.from({ length: 1025 }, (_, n) => `A${n}=`) }],
  ['a variable without =', { env: ['LANG'] }],
  ['a variable without a name', { env: ['=x'] }],
  ['a variable twice', { env: ['A=1', 'A=2'] }],
  ['too many groups', { groups: Array.from({ length: 257 }, (_, n) => gid(n)) }],
  ['a directory as executable', { executable: cleanPath('/') }],
  ['a path too long', { cwd: cleanPath(`/${'x'.repeat(4095)}`) }],
  ['a NUL', { argv: ['a\0b'] }],
  ['a lone surrogate', { argv: ['\ud800'] }],
  ['a negative stamp', { stamp: { ...small.stamp, mtimeNs: -1n } }],
  ['more than a frame holds', { argv: [longest, longest] }],
  ['too many binds', { binds: Array.from({ length: 18 }, () => bind) }],
  ['the host as a bind', { binds: [{ ...bind, source: cleanPath('/') }] }],
  ['another process as a bind', { binds: [{ ...bind, source: cleanPath('/proc/1/root') }] }],
  ['a bind over the root', { binds: [{ ...bind, target: cleanPath('/') }] }],
  ['a right that nobody knows', { binds: [{ ...bind, access: 0x1_0000n }] }],
  ['a negative right', { binds: [{ ...bind, access: -1n }] }],
  ['a bind too long', { binds: [{ ...bind, target: cleanPath(`/${'x'.repeat(4095)}`) }] }],
]

for (const [name, change] of unfit) {
  test(`command: format refuses ${name}`, () => {
    assert.throws(() => formatCommand({ ...small, ...change }), { code: 'input_invalid' })
  })
}

test('command: the longest argument fits', () => {
  const command = { ...small, argv: [longest] }
  assert.deepEqual(parseCommand(formatCommand(command)), command)
})

function withBindFlags(flags: number): Uint8Array {
  const bytes = formatCommand({ ...small, binds: [bind] })
  const texts = 2 * (2 + bind.source.length)
  bytes[bytes.length - 8 - texts - wireLayout.stamp.size - 1] = flags
  return bytes
}

function patched(at: number, ...values: readonly number[]): Uint8Array {
  const bytes = formatCommand({ ...small, groups: [gid(1)] })
  bytes.set(values, at)
  return bytes
}

const { offsets } = wireLayout.command
const headBytes = wireLayout.command.size + wireLayout.stamp.size
const broken: readonly (readonly [string, Uint8Array])[] = [
  ['uid -1', patched(offsets.uid, 255, 255, 255, 255)],
  ['gid -1', patched(offsets.gid, 255, 255, 255, 255)],
  ['group -1', patched(headBytes, 255, 255, 255, 255)],
  ['a bind that is not there', patched(offsets.bindCount, 1)],
  ['an unknown flag of a bind', withBindFlags(0x40)],
  ['no argument', patched(offsets.argc, 0, 0)],
  ['a relative executable', patched(headBytes + 4 + 2, 0x2e)],
  ['more than a frame', new Uint8Array(maxPrepareBytes + 1)],
]

for (const [name, bytes] of broken) {
  test(`command: parse refuses ${name}`, () => {
    assert.throws(() => parseCommand(bytes), { code: 'frame_invalid' })
  })
}

test('command: the bytes are those of spec/vectors/plan-command.json', () => {
  assert.deepEqual(commandVectors(), readVectors('plan-command.json'))
})
