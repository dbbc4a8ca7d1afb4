import assert from 'node:assert/strict'
import test from 'node:test'
import { wireNamespace, wirePlanFlag } from '../protocol/layout.ts'
import { cleanPath } from './fixed-mounts.ts'
import { allLandlockFs, allLandlockNet, landlockFs } from './landlock.ts'
import {
  planForBroker,
  planForExecutor,
  planForRecorder,
  planForRelay,
} from './plan-for-service.ts'
import type { ServiceMount } from './plan-for-service.ts'
import { formatPlan, parsePlan } from './plan.ts'
import { compileSeccomp } from './seccomp.ts'

const mount = (source: string, target: string, change: Partial<ServiceMount>): ServiceMount => ({
  source: cleanPath(source),
  target: cleanPath(target),
  writable: false,
  executable: false,
  ...change,
})
const broker = planForBroker({
  architecture: 'x86_64',
  mounts: [
    mount('/usr', '/usr', { executable: true }),
    mount('/srv/checkout/src', '/belladonna/src', {}),
    mount('/srv/node', '/belladonna/node', { executable: true }),
    mount('/var/lib/belladonna/log', '/var/lib/belladonna/log', { writable: true }),
  ],
  links: [{ path: cleanPath('/lib'), text: 'usr/lib' }],
})
const executor = planForExecutor({ architecture: 'aarch64' })

test('plan for service: the broker has a root of its own with what it was given, and nothing else', () => {
  assert.deepEqual(
    broker.mounts.map(({ kind, target }) => `${kind} ${target}`),
    [
      'directory /belladonna',
      'bind /belladonna/node',
      'bind /belladonna/src',
      'directory /dev',
      'symlink /dev/fd',
      'device /dev/null',
      'symlink /dev/stderr',
      'symlink /dev/stdin',
      'symlink /dev/stdout',
      'device /dev/urandom',
      'symlink /lib',
      'directory /proc',
      'proc /proc',
      'bind /proc',
      'bind /usr',
      'directory /var',
      'directory /var/lib',
      'directory /var/lib/belladonna',
      'bind /var/lib/belladonna/log',
    ],
  )
  const writable = broker.mounts.filter((entry) => entry.kind === 'bind' && entry.writable)
  assert.deepEqual(
    writable.map(({ target }) => target),
    ['/var/lib/belladonna/log'],
  )
})

test('plan for service: promise 4: the broker has no capability, no network and no other process', () => {
  const { pid, ipc, uts, cgroup, network, networkOwn } = wireNamespace
  assert.equal(broker.capabilities, 0n)
  assert.equal(
    broker.namespaces,
    pid | wireNamespace.mount | ipc | uts | cgroup | network | networkOwn,
  )
})

test('plan for service: the executor stays in the host root with the one capability that reading takes', () => {
  assert.deepEqual(executor.mounts, [])
  assert.equal(executor.capabilities, 1n << 2n)
  const { ipc, uts, network, networkOwn } = wireNamespace
  assert.equal(executor.namespaces, ipc | uts | network | networkOwn)
})

test('plan for service: neither starts programs, reaches signals outside, or has a limit on its life', () => {
  for (const [plan, architecture] of [
    [broker, 'x86_64'],
    [executor, 'aarch64'],
  ] as const) {
    assert.equal(plan.flags, wirePlanFlag.noExec | wirePlanFlag.stdinNull)
    assert.deepEqual(plan.seccomp, compileSeccomp(architecture, { kind: 'service' }))
    assert.equal(plan.landlockScope, 3n)
    assert.equal(plan.timeLimitMs, 0)
    assert.equal(plan.umask, 0o077)
    assert.deepEqual(parsePlan(formatPlan(plan)), plan)
  }
})

test('plan for service: a relay has no capability, no network, and of all files its own program', () => {
  const program = cleanPath('/srv/belladonna-relay')
  const plan = planForRelay('x86_64', program)
  assert.equal(plan.capabilities, 0n)
  assert.deepEqual(plan.mounts, [])
  assert.equal(plan.namespaces, wireNamespace.network)
  assert.equal(plan.landlock.handledFs, allLandlockFs)
  assert.equal(plan.landlock.handledNet, allLandlockNet)
  const access = landlockFs.execute | landlockFs.readFile
  assert.deepEqual(plan.landlock.paths, [{ access, path: program }])
  assert.deepEqual(plan.landlock.ports, [])
  assert.deepEqual(parsePlan(formatPlan(plan)), plan)
})

for (const directory of ['/srv/recordings', '/var/lib/belladonna/recordings']) {
  test(`plan for service: a relay that records may make files in ${directory}, and read none there`, () => {
    const program = cleanPath('/srv/relay')
    const plan = planForRecorder('x86_64', program, cleanPath(directory))
    const { makeReg, removeFile, truncate, writeFile } = landlockFs
    const rule = { access: makeReg | removeFile | truncate | writeFile, path: directory }
    const own = planForRelay('x86_64', program)
    assert.deepEqual(new Set(plan.landlock.paths), new Set([...own.landlock.paths, rule]))
    assert.deepEqual({ ...plan, landlock: own.landlock, umask: own.umask }, own)
    assert.equal(plan.umask, 0o027)
    assert.deepEqual(parsePlan(formatPlan(plan)), plan)
  })
}
