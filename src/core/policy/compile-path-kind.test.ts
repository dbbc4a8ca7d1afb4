import assert from 'node:assert/strict'
import test from 'node:test'
import { policyOf, problemsOf } from './policy.test-support.ts'

test('promise 8: compile path: control groups are read, and neither written nor a root', () => {
  const profile = (lines: string): string => `schema = 1\n[profile.p]\n${lines}\n`
  assert.equal(policyOf(profile('read = ["/groups"]')).profiles.length, 1)
  const why = 'it holds control groups, and a run could leave its own with its limits'
  assert.deepEqual(problemsOf(profile('write = ["/groups"]')), [
    `0.toml:3:10: error: "/groups" cannot be written: ${why} [path_invalid]`,
  ])
  const action = `[action.x]
about = "x"
command = ["/usr/bin/true", "{p}"]
run_as = "root"
profile = "p"
params.p = { path = { root = "/groups" } }`
  assert.deepEqual(problemsOf(profile(action)), [
    `0.toml:8:30: error: "/groups" is no root: ${why} [path_invalid]`,
  ])
})
