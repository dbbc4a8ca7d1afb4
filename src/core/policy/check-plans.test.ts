import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTomlTree } from '../../host/toml-tree.ts'
import { formatBase64, parseBase64 } from '../json/base64.ts'
import { formatPlan, parsePlan } from '../sandbox/plan.ts'
import type { Plan } from '../sandbox/plan.ts'
import { planForProfile } from '../sandbox/plan-for-profile.ts'
import { checkPlans } from './check-plans.ts'
import { compilePolicy } from './compile.ts'
import { sealProfile } from './compiled.ts'
import type { CompiledPolicy } from './compiled.ts'
import { fullPolicy, testFacts } from './policy.test-support.ts'

const compiled = compilePolicy([parseTomlTree('0.toml', fullPolicy)], {
  ...testFacts,
  compilePlan: (profile) => formatPlan(planForProfile(profile, { architecture: 'x86_64' })),
})
assert.equal(compiled.kind, 'compiled')
const { policy } = compiled

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
  ]
  for (const change of changes) {
    const plan = formatBase64(formatPlan({ ...parsePlan(bytes), ...change }))
    assert.throws(() => checkPlans(withPlan(plan)), {
      code: 'input_invalid',
      message: /app: (?:an)?other/,
    })
  }
})
