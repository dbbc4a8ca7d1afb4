import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wireStdio } from '../protocol/layout.ts'
import type { RequestParameter } from '../protocol/request.ts'
import { parseCompiledPolicy } from './compiled-parse.ts'
import { formatCompiledPolicy } from './compiled.ts'
import { decide } from './decide.ts'
import type { Permit } from './decide.ts'
import { bindsThose, boundInputs, isInputName, isInputProblem, tooLarge } from './inputs.ts'
import type { BoundInput } from './inputs.ts'
import { indexPolicy } from './policy-index.ts'
import {
  factsAt,
  policyOf,
  problemsOf,
  requestOf,
  subjectOf,
  pathOf,
} from './policy.test-support.ts'

const policy = policyOf(`
schema = 1
[profile.none]
[profile.bound]
stdin = "bound"
[action.two]
about = "x"
command = ["/usr/bin/true", "--key={key}", "{token}", "{other}"]
run_as = "root"
profile = "none"
params = { key = { secret = true }, token = { secret = true }, other = { match = "@?[0-9]" } }
[action.bound]
about = "x"
command = ["/usr/bin/true"]
run_as = "root"
profile = "bound"
[[grant]]
who = ["uid:0"]
may = ["two", "bound"]
`)
const index = indexPolicy(policy)

function permitOf(action: string, parameters: readonly RequestParameter[]): Permit {
  const decision = decide(index, subjectOf(0), requestOf(action, {}, { parameters }), factsAt(0))
  assert.equal(decision.kind, 'permit')
  return decision
}

type Case = readonly [
  name: string,
  key: string,
  token: string,
  other: string,
  inputs: number,
  want: unknown,
]
const key = { place: 3, secret: 'key', maxBytes: 65_536 }
const token = { place: 4, secret: 'token', maxBytes: 65_536 }
const cases: readonly Case[] = [
  ['two secrets, each its descriptor', '@1', '@2', '1', 2, [key, token]],
  [
    'in the order of the descriptors',
    '@2',
    '@1',
    '1',
    2,
    [
      { ...token, place: 3 },
      { ...key, place: 4 },
    ],
  ],
  ['one descriptor too few', '@1', '@2', '1', 1, 'token'],
  ['none at all', '@1', '@2', '1', 0, 'key'],
  ['one descriptor for both', '@1', '@1', '1', 1, 'token'],
  ['one too many', '@1', '@2', '1', 3, null],
  ['one that only looks used', '@1', '@3', '@2', 3, null],
]
for (const [name, first, second, other, inputs, want] of cases) {
  test(`inputs: ${name}`, () => {
    const parameters = Object.entries({ key: first, token: second, other }).map(([n, value]) => ({
      name: n,
      value,
    }))
    const permit = permitOf('two', parameters)
    const request = requestOf('two', {}, { parameters })
    const answer = boundInputs(permit, request, { stdio: [wireStdio.pipe, 1, 1], inputs })
    if (!isInputProblem(answer)) assert.deepEqual(answer, want)
    else assert.deepEqual([answer.code, answer.parameter], ['input_mismatch', want])
  })
}

test('inputs: a secret is a path of its descriptor in the argument, with the text beside it', () => {
  const parameters = [
    { name: 'key', value: '@4' },
    { name: 'token', value: '@1' },
    { name: 'other', value: '@1' },
  ]
  assert.deepEqual(permitOf('two', parameters).argv, [
    '/usr/bin/true',
    '--key=/dev/fd/8',
    '/dev/fd/5',
    '@1',
  ])
})

test('inputs: only @1 to @4 name a descriptor', () => {
  for (const name of ['@1', '@4']) assert.ok(isInputName(name))
  for (const name of ['@0', '@5', '@9', '1', '@', '@10', '@01', '@1 ', 'x@1', '', '-1', '@-'])
    assert.ok(!isInputName(name))
})

const bound: BoundInput = { place: 0, secret: null, maxBytes: 1_048_576 }
for (const [kind, want] of [
  ['null', []],
  ['sealed', [bound]],
  ['pipe', 'stdin_unbound'],
  ['file', 'stdin_unbound'],
  ['socket', 'stdin_unbound'],
  ['terminal', 'stdin_unbound'],
] as const) {
  test(`inputs: a bound stdin that is ${kind}`, () => {
    const stdio = [wireStdio[kind], 1, 1] as const
    const answer = boundInputs(permitOf('bound', []), requestOf('bound'), { stdio, inputs: 0 })
    assert.deepEqual(isInputProblem(answer) ? answer.code : answer, want)
  })
}

test('inputs: a profile that does not bind stdin does not read it', () => {
  const parameters = [
    { name: 'key', value: '@1' },
    { name: 'token', value: '@2' },
    { name: 'other', value: '1' },
  ]
  const stdio = [wireStdio.sealed, 1, 1] as const
  const answer = boundInputs(permitOf('two', parameters), requestOf('two', {}, { parameters }), {
    stdio,
    inputs: 2,
  })
  assert.deepEqual(answer, [key, token])
})

test('inputs: what a resolved action binds must be each of them and no other', () => {
  const stdin = { sha256: 'a'.repeat(64), size: 1 }
  const secrets = { key: 'b', token: 'c' }
  const files = [{ device: 1n, inode: 2n, content: null }]
  const all = [bound, key, token]
  const named = { what: 'file', access: 'read', hard_links: false, content: 'live' } as const
  const paths = [{ parameter: 'p', path: pathOf('/r/a'), ...named }]
  assert.ok(bindsThose(all, [], { files: [], stdin, secrets }))
  assert.ok(bindsThose([], [], { files: [], stdin: null, secrets: {} }))
  assert.ok(bindsThose(all, paths, { files, stdin, secrets }))
  for (const wrong of [
    { files: [], stdin: null, secrets },
    { files: [], stdin, secrets: { key: 'b' } },
    { files: [], stdin, secrets: { key: 'b', tokens: 'c' } },
    { files: [], stdin, secrets: { ...secrets, more: 'd' } },
    { files, stdin, secrets },
  ]) {
    assert.ok(!bindsThose(all, [], wrong))
  }
  assert.ok(!bindsThose([key, token], [], { files: [], stdin, secrets }))
  assert.ok(!bindsThose(all, paths, { files: [], stdin, secrets }))
})

test('inputs: what is too large is said with its bound', () => {
  assert.deepEqual(tooLarge(key), {
    ...{ kind: 'problem', code: 'input_too_large' },
    ...{ parameter: 'key', enough: 'at most 65536 bytes' },
  })
})

test('inputs: a policy with secrets and a bound stdin is read back as it was written', () => {
  assert.deepEqual(parseCompiledPolicy(formatCompiledPolicy(policy)), policy)
})

const problems: readonly (readonly [string, string, RegExp])[] = [
  ['secret = false', 'p = { secret = false }', /expected true/],
  ['a secret that repeats', 'p = { secret = true, repeat = { max = 2 } }', /"repeat" goes with/],
  [
    'a secret that may be a dash',
    'p = { secret = true, leading_dash = true }',
    /"leading_dash" goes/,
  ],
  [
    'more secrets than descriptors',
    ['p', 'q', 'r', 's', 't'].map((name) => `${name} = { secret = true }`).join(', '),
    /expected at most 4 secrets/,
  ],
]
for (const [name, params, message] of problems) {
  test(`inputs: ${name} is a problem of the policy`, () => {
    const command = ['p', 'q', 'r', 's', 't'].filter((word) => params.includes(`${word} =`))
    const words = command.map((word) => `"{${word}}"`).join(', ')
    const text = `schema = 1
[profile.none]
[action.x]
about = "x"
command = ["/usr/bin/true", ${words}]
run_as = "root"
profile = "none"
params = { ${params} }
`
    assert.match(problemsOf(text).join(), message)
  })
}

test('inputs: what would be enough for a secret is a descriptor', () => {
  const request = requestOf('two', { key: 'hunter2', token: '@1', other: '1' })
  const decision = decide(index, subjectOf(0), request, factsAt(0))
  assert.deepEqual(decision, {
    ...{ kind: 'deny', code: 'parameter_invalid', action: 'two', parameter: 'key' },
    ...{ rule: policy.grants[0]?.id, enough: 'a secret by descriptor: bell NAME@FILE' },
  })
})
