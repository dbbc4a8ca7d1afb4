import assert from 'node:assert/strict'
import test from 'node:test'
import { isGid, isUid } from '../identity.ts'
import type { Gid, Uid } from '../identity.ts'
import { accountDrift } from './account-drift.ts'
import type { Accounts } from './compile-facts.ts'
import { fullPolicy, policyOf, testFacts } from './policy.test-support.ts'

const policy = policyOf(fullPolicy)

function uid(id: number): Uid {
  assert.ok(isUid(id))
  return id
}

function gid(id: number): Gid {
  assert.ok(isGid(id))
  return id
}

/** The accounts of the made-up host, some of them changed; null: there is none. */
function accountsWith(
  users: Readonly<Record<string, Readonly<{ uid: Uid; gid: Gid }> | null>>,
  groups: Readonly<Record<string, Gid | null>> = {},
): Accounts {
  return {
    users: changed(testFacts.accounts.users, users),
    groups: changed(testFacts.accounts.groups, groups),
  }
}

function changed<T>(
  before: ReadonlyMap<string, T>,
  changes: Readonly<Record<string, T | null>>,
): ReadonlyMap<string, T> {
  const after = new Map(before)
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) after.delete(name)
    else after.set(name, value)
  }
  return after
}

test('account drift: the accounts that the policy was compiled with are none', () => {
  assert.deepEqual(accountDrift(policy, testFacts.accounts), [])
})

test('account drift: a user and a group of grants that have another id, or none', () => {
  const accounts = accountsWith({ ci: { uid: uid(7777), gid: gid(1000) } }, { sudo: null })
  assert.deepEqual(accountDrift(policy, accounts), [
    { account: 'group:sudo', installed: 'gid 27', now: null },
    { account: 'user:ci', installed: 'uid 1000', now: 'uid 7777' },
  ])
})

test('account drift: what actions run as: the user, the group that is named, or else the primary one', () => {
  const onlyRun = policyOf(
    fullPolicy.replace('"user:ci", "uid:1001"', '"uid:1001"').replace('"user:root"', '"uid:0"'),
  )
  const accounts = accountsWith(
    { root: { uid: uid(0), gid: gid(9) }, ci: { uid: uid(1), gid: gid(2) } },
    { adm: gid(5) },
  )
  assert.deepEqual(accountDrift(onlyRun, accounts), [
    { account: 'group:adm', installed: 'gid 4', now: 'gid 5' },
    { account: 'user:ci', installed: 'uid 1000', now: 'uid 1' },
    { account: 'user:root', installed: 'gid 0', now: 'gid 9' },
  ])
  const gone = accountsWith({ root: null })
  assert.deepEqual(accountDrift(onlyRun, gone), [
    { account: 'user:root', installed: 'gid 0', now: null },
    { account: 'user:root', installed: 'uid 0', now: null },
  ])
})

test('account drift: numbers and units have no name that could change', () => {
  const numbers = policyOf(
    fullPolicy.replaceAll(/who = \[[^\]]*\]/g, 'who = ["uid:1000", "gid:27", "unit:a.service"]'),
  )
  const accounts = accountsWith({}, { sudo: null })
  assert.deepEqual(accountDrift(numbers, accounts), [])
})
