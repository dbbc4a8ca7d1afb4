import assert from 'node:assert/strict'
import test from 'node:test'
import { wireFeature, wireNamespace, wirePlanFlag } from '../protocol/layout.ts'
import { askedBy, enforcementOf, missingOf } from './enforcement.ts'
import { cleanPath } from './fixed-mounts.ts'
import { allLandlockFs, allLandlockNet } from './landlock.ts'
import type { Plan } from './plan.ts'

const everything = Object.values(wireFeature).reduce((all, bit) => all | bit, 0)
const host = everything & ~wireFeature.userNamespace

const plan: Plan = {
  namespaces: 0x1f | wireNamespace.cgroup,
  capabilities: 0n,
  landlockScope: 3n,
  landlock: { handledFs: allLandlockFs, handledNet: allLandlockNet, paths: [], ports: [] },
  memoryMaxBytes: 1,
  pidsMax: 1,
  timeLimitMs: 0,
  outputMaxBytes: 0,
  umask: 0,
  flags: wirePlanFlag.proxied | wirePlanFlag.recorded,
  rlimits: [{ resource: 0, soft: 0n, hard: 0n }],
  mounts: [{ kind: 'tmpfs', target: cleanPath('/tmp'), mode: 0o1777, sizeBytes: 1 }],
  seccomp: new Uint8Array(8),
}

test('enforcement: promise 8: on a host that has all, all that is asked for is in force', () => {
  const { inForce, missing } = enforcementOf(plan, host)
  assert.deepEqual(missing, [])
  // Of the host, not of a run; and what nobody asked for.
  const others = ['user_namespace', 'peer_pidfd', 'detached']
  const names = Object.keys(wireFeature).map((name) =>
    name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  )
  assert.deepEqual(
    inForce,
    names.filter((name) => !others.includes(name)),
  )
})

const kinds = [
  ['cgroupKill', 'cgroup_kill', /cgroup v2/],
  ['cgroupLimits', 'cgroup_limits', /controllers/],
  ['landlockFiles', 'landlock_files', /5\.19/],
  ['landlockTruncate', 'landlock_truncate', /6\.2/],
  ['landlockTcp', 'landlock_tcp', /6\.7/],
  ['landlockIoctl', 'landlock_ioctl', /6\.10/],
  ['landlockScope', 'landlock_scope', /6\.12/],
  ['ipcNamespace', 'ipc_namespace', /this host/],
] as const

for (const [bit, feature, reason] of kinds) {
  test(`enforcement: promise 8: ${feature} that the host lacks is missing, with the reason`, () => {
    const { inForce, missing } = enforcementOf(plan, host & ~wireFeature[bit])
    assert.deepEqual(
      missing.map((lack) => lack.feature),
      [feature],
    )
    assert.match(missing[0]?.reason ?? '', reason)
    assert.ok(!inForce.includes(feature))
  })
}

const unasked: readonly (readonly [string, Partial<Plan>, readonly string[]])[] = [
  [
    'no namespace of the network',
    { namespaces: 0x4f },
    ['network_namespace', 'network_shared_empty'],
  ],
  ['a network of its own', { namespaces: 0x7f }, ['network_shared_empty']],
  ['no scope', { landlockScope: 0n }, ['network_shared_empty', 'landlock_scope']],
  ['signals alone in scope', { landlockScope: 2n }, ['network_shared_empty']],
  ['no limits', { memoryMaxBytes: 0, pidsMax: 0 }, ['cgroup_limits']],
  ['no resource limits', { rlimits: [] }, ['rlimits']],
  ['no /tmp', { mounts: [] }, ['private_tmp']],
]

test('enforcement: one limit alone asks for limits', () => {
  const bare = host & ~wireFeature.cgroupLimits
  for (const part of [{ memoryMaxBytes: 0 }, { pidsMax: 0 }]) {
    const { missing } = enforcementOf({ ...plan, memoryMaxBytes: 1, pidsMax: 1, ...part }, bare)
    assert.deepEqual(
      missing.map(({ feature }) => feature),
      ['cgroup_limits'],
    )
  }
})

for (const [what, part, gone] of unasked) {
  test(`enforcement: a plan with ${what} does not ask for it, so it is neither in force nor missing`, () => {
    const before = enforcementOf(plan, host).inForce
    const { inForce, missing } = enforcementOf({ ...plan, ...part }, host)
    assert.deepEqual(missing, [])
    assert.deepEqual(
      before.filter((name) => !inForce.includes(name)),
      gone,
    )
  })
}

test('enforcement: files without Landlock, and unprivileged mode', () => {
  const landlock = { handledFs: 0n, handledNet: 0n, paths: [], ports: [] }
  const { inForce } = enforcementOf({ ...plan, landlock }, everything)
  assert.ok(inForce.includes('user_namespace'))
  assert.deepEqual(
    inForce.filter((name) => name.startsWith('landlock')),
    ['landlock_scope'],
  )
})

test('enforcement: promise 8: what was not in force for a run is missing, by what its plan asks for', () => {
  const asked = askedBy(plan)
  assert.deepEqual(missingOf(asked, host), [])
  assert.deepEqual(missingOf(asked, host & ~wireFeature.cgroupLimits), [
    enforcementOf(plan, host & ~wireFeature.cgroupLimits).missing[0],
  ])
  const less = askedBy({ ...plan, memoryMaxBytes: 0, pidsMax: 0 })
  assert.deepEqual(missingOf(less, host & ~wireFeature.cgroupLimits), [])
})
