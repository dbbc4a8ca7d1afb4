import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTomlTree } from '../../host/toml-tree.ts'
import { formatBase64, parseBase64 } from '../json/base64.ts'
import { wirePlanFlag } from '../protocol/layout.ts'
import { formatPlan, parsePlan } from '../sandbox/plan.ts'
import type { Plan } from '../sandbox/plan.ts'
import { planForProfile, planForProxy } from '../sandbox/plan-for-profile.ts'
import { checkPlans } from './check-plans.ts'
import { compilePolicy } from './compile.ts'
import { sealProfile } from './compiled.ts'
import type { CompiledPolicy, CompiledProfile, CompiledProxy } from './compiled.ts'
import { fullPolicy, testFacts } from './policy.test-support.ts'

function compiledOf(text: string): CompiledPolicy {
  const compiled = compilePolicy([parseTomlTree('0.toml', text)], {
    ...testFacts,
    compilePlan: (profile) => formatPlan(planForProfile(profile, { architecture: 'x86_64' })),
    compileProxyPlan: (profile) => formatPlan(planForProxy(profile, 'x86_64')),
  })
  assert.equal(compiled.kind, 'compiled')
  return compiled.policy
}
const policy = compiledOf(fullPolicy)

/** The policy with another plan in its first profile. */
function withPlan(plan: string): CompiledPolicy {
  const [first, ...rest] = policy.profiles
  assert.ok(first !== undefined)
  return { ...policy, profiles: [sealProfile({ ...first, plan }), ...rest] }
}

const bytes = parseBase64(policy.profiles[0]?.plan ?? '')

test('check plans: what the compiler made is right', () => {
  checkPlans(policy)
})

test('promise 6: check plans: bytes that are no plan are refused, and with them the whole policy', () => {
  for (const broken of [
    new Uint8Array(0),
    bytes.slice(0, -1),
    bytes.with(0, 9),
    Uint8Array.of(1),
  ]) {
    assert.throws(() => checkPlans(withPlan(formatBase64(broken))), {
      code: 'input_invalid',
      message: /^policy: the plan of profile app: it is none$/,
    })
  }
})

test('promise 8: check plans: a plan that says something else than its profile is refused', () => {
  const changes: readonly Partial<Plan>[] = [
    { capabilities: 0n },
    { outputMaxBytes: 7 },
    { timeLimitMs: 0 },
    { memoryMaxBytes: 0 },
    { pidsMax: 0 },
    { flags: wirePlanFlag.stdinNull },
    { flags: wirePlanFlag.proxied },
  ]
  for (const change of changes) {
    const plan = formatBase64(formatPlan({ ...parsePlan(bytes), ...change }))
    assert.throws(() => checkPlans(withPlan(plan)), {
      code: 'input_invalid',
      message: /app: (?:an)?other/,
    })
  }
})

const filtered = compiledOf(`schema = 1
[profile.p]
sockets = [{ path = "/run/app/app.sock", dbus = ["org.example.Manager.Restart"] }]
`)

/** The policy with another proxy in its only profile. */
function withProxy(
  change: Partial<CompiledProxy>,
  more: Partial<CompiledProfile> = {},
): CompiledPolicy {
  const [profile] = filtered.profiles
  assert.ok(profile !== undefined && profile.proxy !== null)
  const proxy = { ...profile.proxy, ...change }
  return { ...filtered, profiles: [sealProfile({ ...profile, proxy, ...more })] }
}

test('promise 8: check plans: a proxy that is told other calls than its profile shows is refused', () => {
  checkPlans(withProxy({}))
  const argv = filtered.profiles[0]?.proxy?.argv ?? []
  const others = [
    argv.slice(0, -1),
    [...argv, '--talk=org.example'],
    argv.map((word) => word.replace('--filter', '--log')),
    argv.with(-1, '--call=org.example=*'),
    [],
  ]
  for (const other of others) {
    assert.throws(() => checkPlans(withProxy({ argv: other })), {
      code: 'input_invalid',
      message: 'policy: the plan of profile p: its proxy is told other calls',
    })
  }
})

test('promise 6: check plans: so is one whose plan is none, or has more than a proxy needs', () => {
  const plan = parsePlan(parseBase64(filtered.profiles[0]?.proxy?.plan ?? ''))
  const changes: readonly Partial<Plan>[] = [
    { capabilities: 1n },
    { outputMaxBytes: 7 },
    { flags: wirePlanFlag.stdinNull | wirePlanFlag.proxied },
    { flags: 0 },
  ]
  for (const change of changes) {
    const other = formatBase64(formatPlan({ ...plan, ...change }))
    assert.throws(() => checkPlans(withProxy({ plan: other })), {
      code: 'input_invalid',
      message: 'policy: the plan of profile p: its proxy has more than a proxy needs',
    })
  }
  assert.throws(() => checkPlans(withProxy({ plan: formatBase64(Uint8Array.of(1)) })), {
    code: 'input_invalid',
    message: 'policy: the plan of profile p, of its proxy: it is none',
  })
})

test('promise 6: check plans: a run that waits for a proxy that it has not is refused, and one that has it and does not wait', () => {
  const [profile] = filtered.profiles
  assert.ok(profile !== undefined)
  const plan = parsePlan(parseBase64(profile.plan))
  const unproxied = formatBase64(formatPlan({ ...plan, flags: wirePlanFlag.stdinNull }))
  for (const other of [
    withProxy({}, { plan: unproxied }),
    { ...filtered, profiles: [sealProfile({ ...profile, sockets: [], proxy: null })] },
  ]) {
    assert.throws(() => checkPlans(other), {
      code: 'input_invalid',
      message: /or a proxy or a recording that/,
    })
  }
})
