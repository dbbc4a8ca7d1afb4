import assert from 'node:assert/strict'
import test from 'node:test'
import { refusedToAll } from './seccomp-policy.ts'
import {
  callsOfElement,
  callsOfSet,
  neededToStart,
  syscallElements,
  syscallGroups,
} from './syscall-sets.ts'
import { syscalls } from './syscalls.ts'

const known = new Set([...syscalls.x86_64.keys(), ...syscalls.aarch64.keys()])

test('syscall sets: each call of the kernel is in one group, or refused to all', () => {
  const placed = [...refusedToAll, ...[...syscallGroups.values()].flat()]
  assert.deepEqual(
    placed.filter((name, index) => placed.indexOf(name) !== index),
    [],
  )
  assert.deepEqual(
    [...known].filter((name) => !placed.includes(name)),
    [],
  )
  assert.deepEqual(
    placed.filter((name) => !known.has(name)),
    [],
  )
})

test('syscall sets: they are nested, and each holds what a start needs', () => {
  const [system, offline, basic] = (['system-service', 'no-network', 'basic'] as const).map(
    (name) => new Set(callsOfSet(name)),
  )
  assert.ok(system && offline && basic)
  assert.deepEqual(
    [...offline].filter((name) => !system.has(name)),
    [],
  )
  assert.deepEqual(
    [...basic].filter((name) => !offline.has(name)),
    [],
  )
  assert.deepEqual(
    neededToStart.filter((name) => !basic.has(name)),
    [],
  )
  assert.ok(basic.size < offline.size && offline.size < system.size)
  assert.equal(callsOfSet('default'), null)
})

const members: readonly (readonly [name: string, sets: readonly string[]])[] = [
  ['openat', ['system-service', 'no-network', 'basic']],
  ['execve', ['system-service', 'no-network', 'basic']],
  ['sendto', ['system-service', 'no-network', 'basic']],
  ['fchownat', ['system-service', 'no-network']],
  ['setuid', ['system-service', 'no-network']],
  ['shmget', ['system-service', 'no-network']],
  ['socket', ['system-service']],
  ['connect', ['system-service']],
  ['clock_settime', []],
  ['syslog', []],
  ['ptrace', []],
]
for (const [name, sets] of members) {
  test(`syscall sets: ${name} is in ${sets.join(', ') || 'none but default'}`, () => {
    const found = (['system-service', 'no-network', 'basic'] as const).filter((set) =>
      callsOfSet(set)?.includes(name),
    )
    assert.deepEqual(found, sets)
  })
}

test('syscall sets: an element is a call, a group, what is never allowed, or nothing', () => {
  assert.deepEqual(callsOfElement('getpid'), { kind: 'calls', calls: ['getpid'] })
  assert.deepEqual(callsOfElement('arch_prctl'), { kind: 'calls', calls: ['arch_prctl'] })
  assert.deepEqual(callsOfElement('@time'), { kind: 'calls', calls: syscallGroups.get('time') })
  assert.deepEqual(callsOfElement('ptrace'), { kind: 'never' })
  for (const name of ['@none', '@', '', 'getpidd', 'constructor']) {
    assert.equal(callsOfElement(name), undefined)
  }
  assert.ok(syscallElements().includes('@file') && syscallElements().includes('openat2'))
})
