import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { BelladonnaError } from '../error.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import type { JsonValue } from '../json/canonical.ts'
import { digestOfJson } from '../json/digest.ts'
import { actionVersion, formatCompiledPolicy, policyDigest } from './compiled.ts'
import type { CompiledPolicy } from './compiled.ts'
import { parseCompiledPolicy } from './compiled-parse.ts'
import { fullPolicy, policyOf } from './policy.test-support.ts'
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

/** Copies of a value, each with one leaf or member changed, by where that is. */
function* changesOf(value: JsonValue, at = ''): Generator<readonly [string, JsonValue]> {
  if (isList(value)) {
    if (value.length > 0) yield [`${at}[-1]`, value.slice(0, -1)]
    yield [`${at}[+1]`, [...value, 'x']]
    for (const [index, item] of value.entries()) {
      for (const [place, changed] of changesOf(item, `${at}[${index}]`)) {
        yield [place, value.with(index, changed)]
      }
    }
  } else if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
    for (const [name, member] of members) {
      yield [`${at}.${name}?`, Object.fromEntries(members.filter(([key]) => key !== name))]
      for (const [place, changed] of changesOf(member, `${at}.${name}`)) {
        yield [place, Object.fromEntries([...members, [name, changed]])]
      }
    }
  } else if (typeof value === 'string') yield [at, `${value}x`]
  else if (typeof value === 'number') yield [at, value + 1]
  else yield [at, value === false]
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

test('promise 3: compiled policy: whatever is changed in it, its digest is another, and so is that of its part', () => {
  const policy = policyOf(fullPolicy)
  const seen = new Set([policyDigest(policy)])
  let count = 0
  for (const [place, changed] of changesOf(asJson(policy))) {
    count += 1
    const digest = digestOfJson(changed)
    assert.ok(!seen.has(digest), place)
    seen.add(digest)
    const text = formatCanonicalJson(changed)
    // What is still a policy has other segments, and what it is made of names itself by other digests.
    const read = orRefused(() => parseCompiledPolicy(text))
    if (read === null) continue
    assert.equal(policyDigest(read), digest, place)
    assert.notDeepEqual(segmentDigests(read), segmentDigests(policy), place)
    assert.doesNotMatch(place, /^\.(?:profiles|grants)\[\d+\]/, 'each has a digest of its own')
    const versions = (of: CompiledPolicy): readonly string[] => of.actions.map(actionVersion)
    const isAction = place.startsWith('.actions')
    assert.equal(versions(read).join() !== versions(policy).join(), isAction, place)
  }
  assert.ok(count > 500, `${count}`)
})

const asJson = (policy: CompiledPolicy): JsonValue => policy

function orRefused(read: () => CompiledPolicy): CompiledPolicy | null {
  try {
    return read()
  } catch (error) {
    assert.ok(error instanceof BelladonnaError && error.code === 'input_invalid')
    return null
  }
}
