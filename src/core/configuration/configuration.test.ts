import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTomlTree } from '../../host/toml-tree.ts'
import { formatPolicyProblem } from '../toml/problem.ts'
import { defaultConfiguration, readConfiguration } from './configuration.ts'
import type { Configuration, ConfigurationResult } from './configuration.ts'
import { configurationKeys } from './keys.ts'

function read(text: string): ConfigurationResult {
  return readConfiguration(parseTomlTree('b.toml', text), {
    users: new Set(['belladonna', 'bridge']),
    hasCgroup: (path) => path === '/ours',
  })
}

function problemsOf(text: string): readonly string[] {
  const result = read(`schema = 1\n${text}`)
  return result.kind === 'invalid' ? result.problems.map(formatPolicyProblem) : []
}

const whole = `schema = 1
[broker]
user = "bridge"
[cgroup]
parent = "/ours"
[limits]
per_user = 128
prepared = 0
record_within = "1s"
status_clients = 1024
[log]
outcome_delay = "1s"
sign_every = "1500ms"
space_ahead = "256M"
[policy]
source = "/srv/policy"
`

test('configuration: without a key each has its default', () => {
  const result = read('schema = 1\n')
  assert.ok(result.kind === 'valid')
  assert.deepEqual(result.configuration, defaultConfiguration)
  assert.equal(result.settings.length, Object.keys(configurationKeys).length)
  assert.ok(result.settings.every(({ isDefault }) => isDefault))
})

test('configuration: every key is read, and shown as it could be written', () => {
  const result = read(whole)
  assert.ok(result.kind === 'valid')
  const want: Configuration = {
    ...{ brokerUser: 'bridge', cgroupParent: '/ours', perUser: 128, prepared: 0 },
    ...{ recordWithinMs: 1000, statusClients: 1024, outcomeDelayMs: 1000, signEveryMs: 1500 },
    ...{ spaceAheadBytes: 256 * 1024 ** 2, policySource: '/srv/policy' },
  }
  assert.deepEqual(result.configuration, want)
  const shown = result.settings.map(({ key, value }) => `${key} = ${value}`)
  const lines = whole.split('\n').filter((line) => / = /.test(line) && !line.startsWith('schema'))
  assert.deepEqual(
    shown.map((line) => line.replace(/^.*\./, '')),
    lines,
  )
  assert.ok(result.settings.every(({ isDefault }) => !isDefault))
})

test('configuration: a size is shown in the largest unit that it is whole in', () => {
  for (const [written, want] of [
    ['1048577', '1048577'],
    ['1025K', '1025K'],
    ['2048K', '2M'],
  ] as const) {
    const result = read(`schema = 1\nlog.space_ahead = "${written}"\n`)
    assert.ok(result.kind === 'valid')
    const setting = result.settings.find(({ key }) => key === 'log.space_ahead')
    assert.equal(setting?.value, `"${want}"`)
  }
})

test('configuration: every default lies within the bounds of its key', () => {
  const defaults = read('schema = 1\n')
  assert.ok(defaults.kind === 'valid')
  const settings = defaults.settings.filter(({ value }) =>
    /^(?:[0-9]+|"[0-9]+[a-zA-Z]+")$/.test(value),
  )
  assert.equal(settings.length, 7)
  const text = settings.map(({ key, value }) => `${key} = ${value}\n`).join('')
  assert.deepEqual(read(`schema = 1\n${text}`).kind, 'valid')
})

const rows: readonly (readonly [text: string, ...want: readonly string[]])[] = [
  ['[lgo]\n', 'b.toml:2:2: error: unknown key "lgo" (did you mean "log"?) [key_unknown]'],
  ['x = 1\n', 'b.toml:2:1: error: unknown key "x" [key_unknown]'],
  [
    '[log]\nsing_every = "1s"\n',
    'b.toml:3:1: error: unknown key "sing_every" (did you mean "sign_every"?) [key_unknown]',
  ],
  ['log = 1\n', 'b.toml:2:7: error: expected a table, not an integer [type_wrong]'],
  ['[[log]]\n', 'b.toml:2:1: error: expected a table, not an array [type_wrong]'],
  [
    '[limits]\nper_user = "9"\n',
    'b.toml:3:12: error: expected an integer, not a string [type_wrong]',
  ],
  [
    '[limits]\nper_user = 0\n',
    'b.toml:3:12: error: expected an integer from 1 to 128 [value_out_of_range]',
  ],
  [
    '[limits]\nper_user = 129\nprepared = 17\nrecord_within = "31s"\n',
    'b.toml:3:12: error: expected an integer from 1 to 128 [value_out_of_range]',
    'b.toml:4:12: error: expected an integer from 0 to 16 [value_out_of_range]',
    'b.toml:5:17: error: expected a duration from 1s to 30s [value_out_of_range]',
  ],
  [
    '[log]\nsign_every = "often"\n',
    'b.toml:3:14: error: expected a duration like "30s", not "often" [value_invalid]',
  ],
  [
    '[log]\nspace_ahead = "1023K"\noutcome_delay = "0ms"\n',
    'b.toml:3:15: error: expected a size from 1M to 256M [value_out_of_range]',
    'b.toml:4:17: error: expected a duration like "30s", not "0ms" [value_invalid]',
  ],
  [
    '[policy]\nsource = "policy.d"\n',
    'b.toml:3:10: error: expected an absolute path without empty, "." or ".." parts, not "policy.d" [value_invalid]',
  ],
  [
    '[broker]\nuser = "brigde"\n',
    'b.toml:3:8: error: no user "brigde" that a service can run as (did you mean "bridge"?) [account_unknown]',
  ],
  [
    '[broker]\nuser = "a\\u001bb"\n',
    'b.toml:3:8: error: expected the name of a user, not "a\\u001bb" [value_invalid]',
  ],
  [
    '[cgroup]\nparent = "/theirs"\n',
    'b.toml:3:10: error: no cgroup "/theirs" in each hierarchy that the bridge uses [path_missing]',
  ],
]

for (const [text, ...want] of rows) {
  test(`C17: configuration: refused, with its place: ${JSON.stringify(text)}`, () => {
    assert.deepEqual(problemsOf(text), want)
  })
}

test('configuration: a file says its schema; of another one nothing else is reported', () => {
  for (const [text, place] of [
    ['', '1:1'],
    ['schema = 2\nnonsense = 1\n', '1:10'],
    ['schema = "1"\n', '1:10'],
  ] as const) {
    const result = read(text)
    assert.ok(result.kind === 'invalid')
    assert.deepEqual(result.problems.map(formatPolicyProblem), [
      `b.toml:${place}: error: expected \`schema = 1\` [schema_unsupported]`,
    ])
  }
})

const removed = 'allow_legacy_tokens'
const refusal =
  `"${removed}" was removed: tokens with a pseudo-signature prove nothing, and are refused wherever they come from; ` +
  '`belladonna dev migrate-config "b.toml"` [key_removed]'

test('C17: configuration: a removed key is refused wherever it stands, with why and what to do', () => {
  const text = `${removed} = false
[log]
${removed} = 1
[tokens]
${removed} = 1
[[many]]
${removed} = 1
[[many]]
[deep.er]
x = [[1], { ${removed} = 1 }]
`
  assert.deepEqual(problemsOf(text), [
    ...['2:1', '4:1', '6:1'].map((place) => `b.toml:${place}: error: ${refusal}`),
    'b.toml:7:3: error: unknown key "many" [key_unknown]',
    `b.toml:8:1: error: ${refusal}`,
    'b.toml:10:2: error: unknown key "deep" [key_unknown]',
    `b.toml:11:13: error: ${refusal}`,
  ])
})

test('configuration: a removed key in an old file, which says no schema, is told all the same', () => {
  const result = read(`${removed} = true\n`)
  assert.ok(result.kind === 'invalid')
  assert.deepEqual(
    result.problems.map(({ code }) => code),
    ['key_removed', 'schema_unsupported'],
  )
})

test('configuration: every duration is far below what setTimeout and epoll_wait can wait for (24.8 days)', () => {
  const durations = Object.values(configurationKeys).filter(({ form }) => /^a duration/.test(form))
  assert.ok(durations.length >= 3)
  for (const { form } of durations) assert.match(form, /to (?:1s|30s|60s|1m)$/)
})
