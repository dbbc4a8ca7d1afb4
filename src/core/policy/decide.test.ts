import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Subject } from '../identity.ts'
import type { ActionRequest } from '../protocol/request.ts'
import { decide, describeParameter } from './decide.ts'
import type { DecideFacts, Decision } from './decide.ts'
import { indexPolicy } from './policy-index.ts'
import { factsAt, fullPolicy, policyOf, requestOf, subjectOf } from './policy.test-support.ts'
import { rateKey } from './rate.ts'

const policy = policyOf(`${fullPolicy}
[action.tags]
about = "Every kind of parameter"
command = ["/usr/bin/true", "{n}", "{tag}", "{all}", "--word={word}", "{verbose}", "{{{n}}}"]
run_as = "root"
profile = "plain"
[action.tags.params]
n = { integer = { min = 0, max = 10 } }
tag = { match = "[a-z]*", max_length = 3 }
all = { match = "-?[a-z]+", leading_dash = true, max_length = 3 }
word = { one_of = ["a", "b", "c", "d", "e", "f", "g", "h", "i"], repeat = { min = 2, max = 3 } }
verbose = { flag = "-v" }
[action.why]
about = "Needs a reason"
command = ["/usr/bin/true"]
run_as = "root"
profile = "plain"
reason = "required"
[[grant]]
who = ["uid:2000"]
may = ["tags", "why"]
[[grant]]
who = ["uid:3000"]
may = ["look"]
uses = 2
[[grant]]
who = ["uid:4000"]
may = ["look"]
limit = { rate = "1/s", burst = 1 }
`)
const index = indexPolicy(policy)
const untilMs = Date.UTC(2030, 0, 1)
const nowMs = untilMs - 1

function codeOf(decision: Decision): string {
  return decision.kind === 'deny' ? decision.code : decision.kind
}

const tags: readonly (readonly [string, string])[] = [
  ['n', '7'],
  ['tag', 'abc'],
  ['all', '-a'],
  ['word', 'b'],
  ['word', 'a'],
]
function tagsWith(...changes: readonly (readonly [string, string])[]): ActionRequest {
  const names = new Set(changes.map(([name]) => name))
  const parameters = [...tags.filter(([name]) => !names.has(name)), ...changes].map(
    ([name, value]) => ({ name, value }),
  )
  return { ...requestOf('tags'), parameters }
}

const who = subjectOf(2000)
const rows: readonly (readonly [name: string, Subject, ActionRequest, want: string])[] = [
  ['a uid', subjectOf(0), requestOf('look'), 'permit'],
  ['a user', subjectOf(1000), requestOf('look'), 'permit'],
  ['a primary group', subjectOf(5000, [27]), requestOf('look'), 'permit'],
  ['a supplementary group', subjectOf(5000, [9, 27]), requestOf('look'), 'permit'],
  ['a unit', subjectOf(5000, [], { unit: 'deploy@blue.service' }), requestOf('look'), 'permit'],
  ['another unit', subjectOf(5000, [], { unit: 'x.service' }), requestOf('look'), 'action_unknown'],
  ['a stranger', subjectOf(5000), requestOf('look'), 'action_unknown'],
  ['C04: 65534', subjectOf(65_534, [27]), requestOf('look'), 'subject_unmapped'],
  ['C04: 65534 as a group', subjectOf(5000, [65_534]), requestOf('look'), 'action_unknown'],
  ['an action that is not granted', who, requestOf('look'), 'not_granted'],
  [
    'the same by a unit',
    subjectOf(1, [], { unit: 'deploy@blue.service' }),
    requestOf('why'),
    'not_granted',
  ],
  ['the same by a group', subjectOf(1, [4]), requestOf('why'), 'not_granted'],
  ['an action that is not there', who, requestOf('nothing'), 'action_unknown'],
  ['C100: an action named __proto__', who, requestOf('__proto__'), 'action_unknown'],
  [
    'another namespace',
    subjectOf(0, [], { foreign: true }),
    requestOf('look'),
    'subject_foreign_namespace',
  ],
  [
    'another namespace that a grant allows',
    subjectOf(1, [4], { foreign: true }),
    requestOf('look'),
    'permit',
  ],
  [
    'another namespace, another action',
    subjectOf(1, [4], { foreign: true }),
    requestOf('why'),
    'subject_foreign_namespace',
  ],
  ['an action that needs approval', subjectOf(0), requestOf('app.restart'), 'not_granted'],
  ['a nonce', who, requestOf('why', {}, { nonce: new Uint8Array(16) }), 'nonce_unsupported'],
  ['no reason', who, requestOf('why'), 'reason_required'],
  ['a reason of blanks', who, requestOf('why', {}, { reason: ' \t' }), 'reason_required'],
  [
    'a reason that nobody sees',
    who,
    requestOf('why', {}, { reason: '\u200b\u2060\u00ad\ufeff\u3164\u2800\u0301\u202e\u{e0041}' }),
    'reason_required',
  ],
  ['a reason', who, requestOf('why', {}, { reason: 'x' }), 'permit'],
  ['a reason in Chinese', who, requestOf('why', {}, { reason: '部署' }), 'permit'],
  ['all parameters', who, tagsWith(), 'permit'],
  ['a parameter too many', who, tagsWith(['x', '1']), 'parameter_unknown'],
  ['a parameter for an action without any', who, requestOf('why', { x: '1' }), 'parameter_unknown'],
  ['C100: a parameter named __proto__', who, tagsWith(['__proto__', '1']), 'parameter_unknown'],
  ['a parameter twice', who, tagsWith(['n', '1'], ['n', '1']), 'parameter_duplicate'],
  ['three values', who, tagsWith(['word', 'a'], ['word', 'a'], ['word', 'b']), 'permit'],
  [
    'a value too many',
    who,
    tagsWith(['word', 'a'], ['word', 'a'], ['word', 'b'], ['word', 'b']),
    'parameter_duplicate',
  ],
  ['a value too few', who, tagsWith(['word', 'a']), 'parameter_missing'],
  [
    'a wrong value among right ones',
    who,
    tagsWith(['word', 'a'], ['word', 'z']),
    'parameter_invalid',
  ],
  ['another word', who, tagsWith(['word', 'A'], ['word', 'a']), 'parameter_invalid'],
  ['an integer out of bounds', who, tagsWith(['n', '11']), 'parameter_invalid'],
  ['C04: an integer with a sign', who, tagsWith(['n', '+1']), 'parameter_invalid'],
  ['C04: an integer with a zero before it', who, tagsWith(['n', '01']), 'parameter_invalid'],
  ['C04: an integer of 17 digits', who, tagsWith(['n', '10000000000000000']), 'parameter_invalid'],
  ['text that is too long', who, tagsWith(['tag', 'abcd']), 'parameter_invalid'],
  ['text that is far too long', who, tagsWith(['tag', 'a'.repeat(9)]), 'parameter_invalid'],
  ['text of surrogates', who, tagsWith(['tag', '😀😀😀']), 'parameter_invalid'],
  ['empty text', who, tagsWith(['tag', '']), 'permit'],
  ['C09: a dash', who, tagsWith(['tag', '-a']), 'parameter_invalid'],
  ['C09: a dash that may be', who, tagsWith(['all', '-a']), 'permit'],
  ['a flag', who, tagsWith(['verbose', 'true']), 'permit'],
  ['a flag that is false', who, tagsWith(['verbose', 'false']), 'permit'],
  ['a flag of another value', who, tagsWith(['verbose', '-v']), 'parameter_invalid'],
  ['a flag twice', who, tagsWith(['verbose', 'true'], ['verbose', 'true']), 'parameter_duplicate'],
]
for (const [name, subject, request, want] of rows) {
  test(`decide: ${name}: ${want}`, () => {
    assert.equal(codeOf(decide(index, subject, request, factsAt(nowMs))), want)
  })
}

const commands: readonly (readonly [ActionRequest, readonly string[]])[] = [
  [tagsWith(), ['7', 'abc', '-a', '--word=b', '--word=a', '{7}']],
  [tagsWith(['verbose', 'true']), ['7', 'abc', '-a', '--word=b', '--word=a', '-v', '{7}']],
  [tagsWith(['verbose', 'false'], ['tag', '']), ['7', '', '-a', '--word=b', '--word=a', '{7}']],
  [
    tagsWith(['word', 'c'], ['word', 'c'], ['word', 'a']),
    ['7', 'abc', '-a', '--word=c', '--word=c', '--word=a', '{7}'],
  ],
]
for (const [request, argv] of commands) {
  test(`decide: promise 1: each value is one argument: ${argv.join(' ')}`, () => {
    const decision = decide(index, who, request, factsAt(nowMs))
    assert.equal(decision.kind, 'permit')
    assert.deepEqual(decision.argv, ['/usr/bin/true', ...argv])
  })
}

test('decide: a parameter with `repeat` and min = 0 may be left out; an action that needs approval is asked', () => {
  const values = { service: 'web', level: '-1', tag: 'a /b' }
  const request = requestOf('app.restart', values, { reason: 'x' })
  const decision = decide(index, subjectOf(1000), request, factsAt(nowMs))
  assert.equal(decision.kind, 'ask')
  assert.deepEqual([decision.need, decision.from], [2, 'oncall'])
  assert.deepEqual(decision.argv, ['/bin/true', '{web}', '--level=-1', 'a /b'])
})

test('decide: a grant is void from its last millisecond on', () => {
  const request = requestOf('look')
  const at = (timeMs: number): string =>
    codeOf(decide(index, subjectOf(1001), request, factsAt(timeMs)))
  assert.deepEqual([at(untilMs - 1), at(untilMs)], ['permit', 'grant_expired'])
})

function changesAt(uid: number, facts: DecideFacts): unknown {
  const decision = decide(index, subjectOf(uid), requestOf('look'), facts)
  return decision.kind === 'permit' ? decision.changes : codeOf(decision)
}
const grantOf = (uid: number): string => {
  const decision = decide(index, subjectOf(uid), requestOf('look'), factsAt(nowMs))
  return decision.kind === 'permit' ? decision.grant : ''
}

test('decide: uses count up to their number; who does not count them judges nothing', () => {
  const grant = grantOf(3000)
  const used = (count: number): unknown =>
    changesAt(3000, { nowMs, uses: new Map([[grant, count]]), rates: null })
  assert.deepEqual(changesAt(3000, factsAt(nowMs)), {
    uses: { grant, used: 1 },
    rate: null,
    isCounted: true,
  })
  assert.deepEqual(used(1), { uses: { grant, used: 2 }, rate: null, isCounted: true })
  assert.equal(used(2), 'grant_used_up')
  assert.deepEqual(changesAt(3000, { nowMs, uses: null, rates: null }), {
    ...{ uses: null, rate: null, isCounted: true },
  })
})

test('decide: a rate is held for each uid; who does not count it judges nothing', () => {
  const key = rateKey({ id: grantOf(4000), units: new Set() }, subjectOf(4000))
  const tatUs = nowMs * 1000 + 1_000_000
  const rates = new Map([[key, tatUs]])
  assert.deepEqual(changesAt(4000, factsAt(nowMs)), {
    uses: null,
    rate: { key, tatUs },
    isCounted: true,
  })
  assert.equal(changesAt(4000, { nowMs, uses: null, rates }), 'rate_limited')
  const next = { key, tatUs: tatUs + 1_000_000 }
  assert.deepEqual(changesAt(4000, { nowMs: nowMs + 1000, uses: null, rates }), {
    ...{ uses: null, isCounted: true },
    rate: next,
  })
  assert.deepEqual(changesAt(4000, { nowMs, uses: null, rates: null }), {
    ...{ uses: null, rate: null, isCounted: true },
  })
})

test('promise 7: decide: a grant with both bounds holds each of them', () => {
  const both = indexPolicy(
    policyOf(`schema = 1
[profile.plain]
[action.look]
about = "Look"
command = ["/usr/bin/true"]
run_as = "root"
profile = "plain"
[[grant]]
who = ["uid:7"]
may = ["look"]
uses = 2
limit = { rate = "1/h" }
`),
  )
  const look = (uses: ReadonlyMap<string, number>, rates: ReadonlyMap<string, number>): Decision =>
    decide(both, subjectOf(7), requestOf('look'), { nowMs, uses, rates })
  const first = look(new Map(), new Map())
  assert.ok(first.kind === 'permit')
  const { uses, rate } = first.changes
  assert.ok(uses !== null && rate !== null)
  const rates = new Map([[rate.key, rate.tatUs]])
  assert.equal(codeOf(look(new Map([[uses.grant, 1]]), rates)), 'rate_limited')
  assert.equal(codeOf(look(new Map([[uses.grant, 2]]), new Map())), 'grant_used_up')
  assert.equal(codeOf(look(new Map([[uses.grant, 1]]), new Map())), 'permit')
})

test('promise 7: decide: two units of one uid, by one grant, do not use up the rate of each other', () => {
  const grants =
    '[[grant]]\nwho = ["unit:a.service", "unit:b.service"]\nmay = ["look"]\nlimit = { rate = "1/h" }\n'
  const action =
    '[action.look]\nabout = "Look"\ncommand = ["/usr/bin/true"]\nrun_as = "root"\nprofile = "plain"\n'
  const two = indexPolicy(policyOf(`schema = 1\n[profile.plain]\n${action}${grants}`))
  const rates = new Map<string, number>()
  const ask = (unit: string): string => {
    const decision = decide(two, subjectOf(7, [], { unit }), requestOf('look'), {
      nowMs,
      uses: null,
      rates,
    })
    if (decision.kind === 'deny') return decision.code
    const { rate } = decision.changes
    if (rate !== null) rates.set(rate.key, rate.tatUs)
    return decision.kind
  }
  const asked = ['a.service', 'a.service', 'b.service', 'b.service'].map(ask)
  assert.deepEqual(asked, ['permit', 'rate_limited', 'permit', 'rate_limited'])
})

test('decide: says when to come again, and what would be enough', () => {
  const rates = new Map([
    [rateKey({ id: grantOf(4000), units: new Set() }, subjectOf(4000)), nowMs * 1000 + 2_500_000],
  ])
  const decision = decide(index, subjectOf(4000), requestOf('look'), { nowMs, uses: null, rates })
  assert.ok(decision.kind === 'deny')
  assert.equal(decision.enough, 'the same request in 3 s')
  const few = decide(index, who, tagsWith(['word', 'a']), factsAt(nowMs))
  assert.ok(few.kind === 'deny')
  assert.equal(few.enough, 'at least 2 values, each one of: a, b, c, d, e, f, g, h, …')
})

test('decide: a parameter is described in our words', () => {
  const parameters = policy.actions.flatMap(({ params }) => params).map(describeParameter)
  assert.deepEqual(parameters, [
    'a file, as a path below /var/log/app without ".." or a leading "-"',
    'true or false',
    'text of the form [a-z]+, at most 128 characters, not beginning with "-"',
    'an integer from -1 to 9',
    'one of: api, web',
    'text of the form [a-z/ ]+, at most 8 characters, not beginning with "-"',
    'text of the form -?[a-z]+, at most 3 characters',
    'an integer from 0 to 10',
    'text of the form [a-z]*, at most 3 characters, not beginning with "-"',
    'true or false',
    'one of: a, b, c, d, e, f, g, h, …',
  ])
})

const anyId = fc.constantFrom(0, 4, 5, 27, 1000, 1001, 2000, 3000, 4000, 5000, 65_534)
const anySubject = fc
  .record({
    uid: anyId,
    groups: fc.array(anyId, { maxLength: 3 }),
    foreign: fc.boolean(),
    unit: fc.constantFrom(null, 'deploy@blue.service', 'x.service'),
  })
  .map(({ uid, groups, foreign, unit }) => subjectOf(uid, groups, { foreign, unit }))
const anyRequest = fc
  .tuple(
    fc.constantFrom('look', 'tags', 'why', 'app.restart', 'none'),
    fc.array(
      fc.tuple(
        fc.constantFrom('n', 'tag', 'all', 'word', 'verbose', 'service', 'level', 'host', 'z'),
        fc.constantFrom('1', 'a', 'true', 'web', '-a', '', 'é'),
      ),
      { maxLength: 8 },
    ),
    fc.constantFrom('', 'why'),
  )
  .map(([action, values, reason]) => ({
    ...requestOf(action, {}, { reason }),
    parameters: values.map(([name, value]) => ({ name, value })),
  }))

test('decide: promise 1: no permit without a grant that names action and subject', () => {
  fc.assert(
    fc.property(anySubject, anyRequest, (subject, request) => {
      const decision = decide(index, subject, request, factsAt(nowMs))
      if (decision.kind === 'deny') return
      const grant = policy.grants.find(({ id }) => id === decision.grant)
      assert.ok(grant !== undefined && grant.may.includes(request.action))
      assert.ok(!subject.foreign || grant.namespace === 'any')
      const ids = [subject.gid, ...subject.groups]
      assert.ok(
        grant.who.some((principal) => {
          if (principal.kind === 'unit') return principal.name === subject.unit
          return principal.kind === 'user'
            ? principal.id === subject.uid
            : ids.some((gid) => gid === principal.id)
        }),
      )
    }),
    { numRuns: 2000 },
  )
})

test('decide: C11: the order of actions, grants and what they name never matters', () => {
  const reversed = indexPolicy({
    ...policy,
    actions: policy.actions.toReversed(),
    profiles: policy.profiles.toReversed(),
    grants: policy.grants.toReversed().map((grant) => ({
      ...grant,
      who: grant.who.toReversed(),
      may: grant.may.toReversed(),
    })),
  })
  fc.assert(
    fc.property(anySubject, anyRequest, fc.constantFrom(nowMs, untilMs), (subject, request, at) => {
      const want = decide(index, subject, request, factsAt(at))
      assert.deepEqual(decide(reversed, subject, request, factsAt(at)), want)
    }),
    { numRuns: 1000 },
  )
})

test('decide: is total and pure: the same answer twice, whatever is asked', () => {
  const facts = Object.freeze(factsAt(nowMs))
  fc.assert(
    fc.property(
      anySubject,
      fc.string(),
      fc.array(fc.record({ name: fc.string(), value: fc.string({ unit: 'binary' }) })),
      fc.string(),
      (subject, action, parameters, reason) => {
        const request = { action, parameters, reason, nonce: null }
        const first = decide(index, subject, request, facts)
        assert.deepEqual(decide(index, subject, request, facts), first)
      },
    ),
  )
  assert.deepEqual(facts, factsAt(nowMs))
})
