import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decide } from './decide.ts'
import { indexPolicy } from './policy-index.ts'
import { factsAt, policyOf, requestOf, subjectOf } from './policy.test-support.ts'

test('decide: a script is started as the kernel would: its argument too, if it has one', () => {
  const policy = policyOf(`schema = 1
[action.tidy]
about = "Tidy"
command = ["/usr/bin/script", "now"]
run_as = "root"
profile = "plain"
[profile.plain]
[[grant]]
who = ["uid:1000"]
may = ["tidy"]
`)
  const [action] = policy.actions
  assert.ok(action?.interpreter)
  const bare = { ...action, interpreter: { ...action.interpreter, argument: null } }
  for (const [actions, argv] of [
    [[action], ['/bin/true', '-e', '/usr/bin/script', 'now']],
    [[bare], ['/bin/true', '/usr/bin/script', 'now']],
  ] as const) {
    const index = indexPolicy({ ...policy, actions })
    const decision = decide(index, subjectOf(1000), requestOf('tidy'), factsAt(0))
    assert.ok(decision.kind === 'permit')
    assert.deepEqual(decision.argv, argv)
  }
})
