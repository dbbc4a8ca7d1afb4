import assert from 'node:assert/strict'
import test from 'node:test'
import { formatCompiledPolicy } from './compiled.ts'
import { parseCompiledPolicy } from './compiled-parse.ts'
import { policyOf, problemsOf } from './policy.test-support.ts'

function profile(value: string): string {
  return `schema = 1\n[profile.p]\nsyscalls = ${value}\n`
}

const good: readonly (readonly [value: string, compiled: string | readonly string[]])[] = [
  ['"default"', 'default'],
  ['"system-service"', 'system-service'],
  ['"no-network"', 'no-network'],
  ['"basic"', 'basic'],
  ['["read", "getpid", "read"]', ['getpid', 'read']],
  ['["@time", "getpid"]', ['adjtimex', 'clock_adjtime', 'clock_settime', 'getpid', 'settimeofday']],
]
for (const [value, compiled] of good) {
  test(`compile syscalls: ${value} is compiled, and parsed as it was`, () => {
    const policy = policyOf(profile(value))
    assert.deepEqual(policy.profiles[0]?.syscalls, compiled)
    assert.deepEqual(parseCompiledPolicy(formatCompiledPolicy(policy)), policy)
  })
}

const bad: readonly (readonly [value: string, problem: RegExp])[] = [
  ['"all"', /^0\.toml:3:12: error: expected "default" or .*\[value_invalid\]$/],
  ['"defualt"', /did you mean "default"/],
  ['[]', /\[value_invalid\]$/],
  ['["openatt"]', /:3:13: error: .*did you mean "openat"\?\) \[syscall_unknown\]$/],
  ['["@files"]', /did you mean "@file"/],
  ['["ptrace"]', /"ptrace" is refused to every run \[syscall_denied\]$/],
  ['[1]', /\[type_wrong\]$/],
  ['1', /\[type_wrong\]$/],
  [`[${'"read", '.repeat(513)}]`, /at most 512 items \[value_out_of_range\]$/],
]
for (const [value, problem] of bad) {
  test(`compile syscalls: ${value.slice(0, 40)} is an error with its place`, () => {
    assert.match(problemsOf(profile(value)).join('\n'), problem)
  })
}

test('compile syscalls: an installed policy with another name of a set is refused', () => {
  const text = formatCompiledPolicy(policyOf(profile('"basic"')))
  assert.throws(() => parseCompiledPolicy(text.replace('"syscalls":"basic"', '"syscalls":"all"')), {
    code: 'input_invalid',
  })
})
