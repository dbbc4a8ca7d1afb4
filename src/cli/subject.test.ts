import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readAccounts } from '../host/accounts.ts'
import type { HostAccounts } from '../host/accounts.ts'
import { readSubject, subjectOf } from './subject.ts'

function accountsOf(passwd: string, group: string): HostAccounts {
  const folder = mkdtempSync(join(tmpdir(), 'belladonna-accounts.'))
  try {
    const files = { passwd: join(folder, 'passwd'), group: join(folder, 'group') }
    writeFileSync(files.passwd, passwd)
    writeFileSync(files.group, group)
    return readAccounts(process.geteuid?.() ?? 0, files)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const accounts = accountsOf(
  'root:x:0:0::/:/bin/sh\nci:x:1000:1001::/:/bin/sh\nci2:x:1000:5::/:/bin/sh\nlone:x:8:8::/:/bin/sh\n',
  'wheel:x:50:ci,lone,ci\nadm:x:4:ci\nci:x:1001:\nci2:x:5:ci2\n',
)

test('subject: a user has the primary group of its line, and each group that lists it, in order', () => {
  const { uid, gid, groups, foreign, unit } = subjectOf(accounts, 'user:ci')
  assert.deepEqual(
    { uid, gid, groups, foreign, unit },
    {
      ...{ uid: 1000, gid: 1001, groups: [4, 50], foreign: false, unit: null },
    },
  )
  assert.deepEqual(subjectOf(accounts, 'user:root').groups, [])
})

test('subject: a uid is the first account with it; without one it is in no group that a grant could name', () => {
  assert.deepEqual(subjectOf(accounts, 'uid:1000'), subjectOf(accounts, 'user:ci'))
  const { uid, gid, groups } = subjectOf(accounts, 'uid:77')
  assert.deepEqual({ uid, gid, groups }, { uid: 77, gid: 65534, groups: [] })
})

test('subject: C04 C05: what is no user is an error of the command line', () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ['user:cj', /no user "cj" .*did you mean "ci"/],
    ['user:somebody', /no user "somebody" in \/etc\/passwd$/],
    ['uid:-1', /expected user:NAME, uid:NUMBER or unit:NAME/],
    ['uid:4294967295', /expected/],
    ['uid:007', /expected/],
    ['group:adm', /expected/],
    ['ci', /expected/],
    ['user:', /expected/],
  ]
  for (const [as, message] of rows) {
    assert.throws(() => subjectOf(accounts, as), { code: 'usage', message }, as)
  }
})

test('subject: by default it is the caller', () => {
  const { uid, gid } = readSubject(undefined)
  assert.deepEqual([uid, gid], [process.geteuid?.(), process.getegid?.()])
  assert.equal(readSubject('user:root').uid, 0)
})

test('subject: a unit, of an account or of the caller', () => {
  const root = readSubject('user:root')
  const own = readSubject(undefined)
  for (const as of ['user:root,unit:a@b.service', 'unit:a@b.service,user:root']) {
    assert.deepEqual(readSubject(as), { ...root, unit: 'a@b.service' })
  }
  assert.deepEqual(readSubject('unit:x.scope'), { ...own, unit: 'x.scope' })
  assert.equal(own.unit, null)
})

test('subject: C05: what is no unit, or more than one of a kind, is an error of the command line', () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ['unit:deploy', /unit "deploy": expected the name of a \.service or \.scope$/],
    ['unit:a.slice', /expected the name/],
    ['unit:', /expected the name/],
    ['unit:a/b.service', /expected the name/],
    ['user:root,unit:a b.service', /expected the name/],
    ['unit:a.service,unit:b.service', /one of each/],
    ['user:root,uid:1', /one of each/],
    ['user:root,', /one of each/],
    [',unit:a.service', /expected user:NAME, uid:NUMBER or unit:NAME, not ""$/],
    ['Unit:a.service', /expected user:NAME/],
  ]
  for (const [as, message] of rows) {
    assert.throws(() => readSubject(as), { code: 'usage', message }, as)
  }
})
