import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { BelladonnaError } from '../error.ts'
import { actionVersion, formatCompiledPolicy, policyDigest } from './compiled.ts'
import { parseCompiledPolicy } from './compiled-parse.ts'
import { policyOf } from './policy.test-support.ts'
import { segmentDigests } from './segments.ts'
import type { SegmentDigests } from './segments.ts'

type Vectors = Readonly<{
  valid: readonly Readonly<{
    name: string
    toml: string
    text: string
    digest: string
    segments: SegmentDigests
    action_versions: Readonly<Record<string, string>>
    profile_digests: Readonly<Record<string, string>>
    grant_ids: readonly string[]
  }>[]
  refused: readonly Readonly<{ name: string; replace: string; by: string }>[]
}>

const { valid, refused }: Vectors = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/policy.json', import.meta.url), 'utf8'),
)
const worked = valid[0]?.text ?? ''

for (const vector of valid) {
  test(`compiled policy: vector: ${vector.name}: the text and its digests`, () => {
    assert.equal(formatCompiledPolicy(policyOf(vector.toml)), vector.text)
    const policy = parseCompiledPolicy(vector.text)
    assert.equal(policyDigest(policy), vector.digest)
    assert.deepEqual(segmentDigests(policy), vector.segments)
    assert.deepEqual(
      Object.fromEntries(policy.actions.map((action) => [action.id, actionVersion(action)])),
      vector.action_versions,
    )
    assert.deepEqual(
      Object.fromEntries(policy.profiles.map(({ name, digest }) => [name, digest])),
      vector.profile_digests,
    )
    assert.deepEqual(
      policy.grants.map(({ id }) => id),
      vector.grant_ids,
    )
  })
}

for (const { name, replace, by } of refused) {
  test(`compiled policy: vector: ${name} is refused`, () => {
    assert.ok(worked.includes(replace), replace)
    assert.throws(
      () => parseCompiledPolicy(worked.replace(replace, () => by)),
      (error) => error instanceof BelladonnaError && error.code === 'input_invalid',
    )
  })
}
