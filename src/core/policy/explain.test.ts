import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ActionRequest } from '../protocol/request.ts'
import { decide } from './decide.ts'
import { adviseOn, formatPrincipal, previewAction } from './explain.ts'
import type { Advice } from './explain.ts'
import { indexPolicy } from './policy-index.ts'
import { factsAt, fullPolicy, policyOf, requestOf, subjectOf } from './policy.test-support.ts'
import { resolveAction } from './resolve.ts'

const policy = policyOf(fullPolicy)
const index = indexPolicy(policy)
const untilMs = Date.UTC(2030, 0, 1)
const whole = { service: 'web', level: '3', tag: 'a b' }

function adviceOn(request: ActionRequest, uid = 1000, nowMs = 0): Advice & { code: string } {
  const decision = decide(index, subjectOf(uid), request, factsAt(nowMs))
  assert.equal(decision.kind, 'deny')
  return { code: decision.code, ...adviseOn(policy, index, request, decision) }
}

const ids = (may: string): readonly string[] =>
  policy.grants.filter((grant) => grant.may.includes(may)).map(({ id }) => id)

test('explain: a near action is suggested, and only a near one', () => {
  const nothing = { code: 'action_unknown', missing: [], grants: [] }
  assert.deepEqual(adviceOn(requestOf('app.restrat')), { ...nothing, suggestion: 'app.restart' })
  assert.deepEqual(adviceOn(requestOf('something.else')), { ...nothing, suggestion: null })
})

test('explain: who has no grant, or only void ones, is shown the grants that give the action', () => {
  const rows = [
    [77, 0, 'action_unknown'],
    [0, 0, 'not_granted'],
    [1000, untilMs, 'grant_expired'],
  ] as const
  for (const [uid, nowMs, code] of rows) {
    const advice = adviceOn(requestOf('app.restart', { nonsense: '' }), uid, nowMs)
    assert.equal(advice.code, code)
    assert.equal(advice.suggestion, null)
    assert.deepEqual(advice.missing, [])
    assert.deepEqual(
      advice.grants.map(({ id }) => id),
      ids('app.restart'),
    )
  }
  assert.equal(ids('app.restart').length, 1)
  assert.deepEqual(adviceOn(requestOf('look'), 65534), {
    ...{ code: 'subject_unmapped', suggestion: null, missing: [], grants: [] },
  })
})

test('explain: all parameters that lack are named, not only the first', () => {
  const { code, missing, suggestion, grants } = adviceOn(requestOf('app.restart', { tag: 'a' }))
  assert.equal(code, 'parameter_missing')
  assert.deepEqual(missing, [
    { parameter: 'level', enough: 'an integer from -1 to 9' },
    { parameter: 'service', enough: 'one of: api, web' },
  ])
  assert.equal(suggestion, null)
  assert.deepEqual(grants, [])
})

test('explain: a near parameter and a near word are suggested', () => {
  const rows: readonly (readonly [Readonly<Record<string, string>>, string, string | null])[] = [
    [{ ...whole, servcie: 'web' }, 'parameter_unknown', 'service'],
    [{ ...whole, zzz: 'web' }, 'parameter_unknown', null],
    [{ ...whole, service: 'wbe' }, 'parameter_invalid', 'web'],
    [{ ...whole, service: 'elsewhere' }, 'parameter_invalid', null],
    [{ ...whole, level: '33' }, 'parameter_invalid', null],
    [whole, 'reason_required', null],
  ]
  for (const [values, code, suggestion] of rows) {
    const advice = adviceOn(requestOf('app.restart', values))
    assert.deepEqual([advice.code, advice.suggestion], [code, suggestion])
  }
})

const known = (executable: string | null) => ({ executable, interpreter: null }) as const

test('explain: a preview is the resolved action without what only the executor knows', () => {
  const subject = subjectOf(0)
  const look = decide(index, subject, requestOf('look'), factsAt(0))
  assert.equal(look.kind, 'permit')
  const facts = { policyDigest: 'p', hostId: 'h', nonce: 'n', notAfterMs: 7 }
  const real: unknown = JSON.parse(
    resolveAction(look, subject, { ...facts, executableSha256: 'a', interpreterSha256: null }).text,
  )
  const preview: object = JSON.parse(JSON.stringify(previewAction(look, subject, 'p', known('a'))))
  assert.deepEqual({ ...preview, host: 'h', nonce: 'n', not_after_ms: 7 }, real)
  const path = '/usr/bin/true'
  assert.deepEqual(previewAction(look, subject, 'p', known(null))['executable'], {
    path,
    sha256: null,
  })
})

test('explain: a preview of a pinned executable that the caller cannot read has no hash', () => {
  const request = requestOf('app.restart', whole, { reason: 'x' })
  const ask = decide(index, subjectOf(1000), request, factsAt(0))
  assert.equal(ask.kind, 'ask')
  const preview = previewAction(ask, subjectOf(1000), 'p', known(null))
  assert.deepEqual(preview['executable'], { path: '/usr/bin/true', sha256: null })
  assert.throws(() => previewAction(ask, subjectOf(1000), 'p', known('c'.repeat(64))), /pinned/)
})

test('explain: a preview says that there are secrets and a bound stdin, and nothing of what is in them', () => {
  const bound = indexPolicy(
    policyOf(`schema = 1
[profile.bound]
stdin = "bound"
[action.login]
about = "x"
command = ["/usr/bin/true", "{password}"]
run_as = "root"
profile = "bound"
params.password = { secret = true }
[[grant]]
who = ["uid:1000"]
may = ["login"]
`),
  )
  const request = requestOf('login', { password: '@1' })
  const permit = decide(bound, subjectOf(1000), request, factsAt(0))
  assert.equal(permit.kind, 'permit')
  const { argv, secrets, stdin } = previewAction(permit, subjectOf(1000), 'p', known(null))
  assert.deepEqual(argv, ['/usr/bin/true', '/dev/fd/5'])
  assert.deepEqual(secrets, { password: null })
  assert.deepEqual(stdin, { sha256: null, size: null })
})

test('explain: a preview says which paths there are, and not what was found there', () => {
  const request = requestOf('app.restart', { ...whole, file: 'a.log' }, { reason: 'x' })
  const ask = decide(index, subjectOf(1000), request, factsAt(0))
  assert.equal(ask.kind, 'ask')
  const { inputs } = previewAction(ask, subjectOf(1000), 'p', known(null))
  const unseen = { device: null, inode: null, sha256: null, size: null }
  assert.deepEqual(inputs, { '/var/log/app/a.log': { kind: 'file', ...unseen } })
})

test('explain: principals are written as a policy writes them', () => {
  const written = policy.grants.flatMap(({ who }) => who.map(formatPrincipal)).sort()
  assert.deepEqual(written, [
    ...['gid:5', 'group:adm', 'group:sudo', 'uid:1001', 'unit:deploy@blue.service'],
    ...['user:ci', 'user:root'],
  ])
})
