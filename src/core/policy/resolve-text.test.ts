import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { BelladonnaError } from '../error.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import { decide } from './decide.ts'
import type { Ask, Permit } from './decide.ts'
import { indexPolicy } from './policy-index.ts'
import { fullPolicy, gidOf, policyOf, uidOf } from './policy.test-support.ts'
import { resolveAction } from './resolve.ts'

const subject = { uid: uidOf(1000), gid: gidOf(4), groups: [gidOf(4), gidOf(27)], unit: null }
const asking = { ...subject, pid: 7, foreign: false }
const facts = {
  policyDigest: '1'.repeat(64),
  hostId: '2'.repeat(64),
  nonce: '3'.repeat(32),
  notAfterMs: 1_800_000_000_000,
  executableSha256: 'a'.repeat(64),
  interpreterSha256: null,
}
const index = indexPolicy(policyOf(fullPolicy))

function permitFor(action: string, values: Readonly<Record<string, string>>): Permit | Ask {
  const parameters = Object.entries(values).map(([name, value]) => ({ name, value }))
  const request = { action, reason: 'because', nonce: null, parameters }
  const decision = decide(index, asking, request, { nowMs: 0, uses: null, rates: null })
  assert.notEqual(decision.kind, 'deny')
  if (decision.kind === 'deny') assert.fail()
  return decision
}

const permits = [
  permitFor('look', {}),
  permitFor('app.restart', { service: 'web', level: '-1', tag: 'a/b c' }),
  permitFor('app.restart', { service: 'api', level: '9', tag: 'z' }),
]

test('resolve: the text is the canonical JSON of every fact, also when the action was resolved before', () => {
  for (const permit of [...permits, ...permits]) {
    const { action, argv, profile, version } = permit
    const expected = formatCanonicalJson({
      type: 'belladonna/resolved-action/v1',
      ...{ action: action.id, action_version: version, argv, cwd: action.cwd, env: action.env },
      executable: { path: action.executable, sha256: facts.executableSha256 },
      ...{
        run_as: action.run_as,
        escapable: profile.escapable,
        profile: profile.digest,
        policy: facts.policyDigest,
      },
      subject,
      ...{ host: facts.hostId, nonce: facts.nonce, not_after_ms: facts.notAfterMs },
      ...{ stdin: null, inputs: {}, interpreter: null, proxy: null, secrets: {} },
    })
    const resolved = resolveAction(permit, asking, facts)
    assert.equal(resolved.text, expected)
    assert.equal(resolved.digest, createHash('sha256').update(expected).digest('hex'))
  }
})

test('resolve: a script is bound together with the program that reads it', () => {
  const decision = decide(
    index,
    { ...asking, uid: uidOf(0) },
    { action: 'tidy', reason: '', nonce: null, parameters: [] },
    { nowMs: 0, uses: null, rates: null },
  )
  assert.ok(decision.kind === 'permit')
  const { text } = resolveAction(decision, asking, { ...facts, interpreterSha256: 'e'.repeat(64) })
  const script = `"executable":{"path":"/usr/bin/script","sha256":"${facts.executableSha256}"}`
  const reader = `"interpreter":{"path":"/usr/bin/true","sha256":"${'e'.repeat(64)}"}`
  for (const part of [script, reader, '"argv":["/bin/true","-e","/usr/bin/script","now"]'])
    assert.ok(text.includes(part), part)
})

test('resolve: an action of another version is not taken for the one before', () => {
  const [permit] = permits
  assert(permit !== undefined)
  const version = 'f'.repeat(64)
  resolveAction(permit, asking, facts)
  const { text } = resolveAction({ ...permit, version }, asking, facts)
  assert.match(text, new RegExp(`"action_version":"${version}"`))
})

test('resolve: an executable that the action does not pin is refused', () => {
  const pinned = permits[1]
  assert(pinned !== undefined)
  assert.throws(
    () => resolveAction(pinned, asking, { ...facts, executableSha256: 'c'.repeat(64) }),
    (error) => error instanceof BelladonnaError && error.code === 'input_invalid',
  )
})
