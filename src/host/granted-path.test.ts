import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { testGid, testUid } from '../../test/log-fixture.ts'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath, Subject } from '../core/identity.ts'
import type { GrantedPath } from '../core/policy/granted-path.ts'
import { openGrantedPaths } from './granted-path.ts'
import type { OpenedPaths, RefusedPath } from './granted-path.ts'

const directory = mkdtempSync('/tmp/belladonna-paths.')
const shown = join(directory, 'shown')
const hidden = join(directory, 'hidden')
after(() => rmSync(directory, { recursive: true, force: true }))
chmodSync(directory, 0o755)
for (const place of [shown, hidden]) {
  mkdirSync(place)
  writeFileSync(join(place, 'file'), 'x')
  symlinkSync('file', join(place, 'link'))
  linkSync(join(place, 'file'), join(place, 'second'))
  mkdirSync(join(place, 'sub'))
}
chmodSync(hidden, 0o750)
const owner = statSync(hidden)

function clean(path: string): CleanPath {
  assert.ok(isCleanPath(path))
  return path
}

function named(path: string, more: Partial<GrantedPath> = {}): GrantedPath {
  const rights = { what: 'file', access: 'read', hard_links: false, content: 'live' } as const
  return { parameter: 'p', path: clean(path), ...rights, ...more }
}

const stranger: Subject = {
  ...{ uid: testUid(61_290), gid: testGid(61_290), groups: [], pid: 1 },
  ...{ foreign: false, unit: null },
}
const runAs = { uid: testUid(0), gid: testGid(0), groups: [] }

function open(path: GrantedPath, subject: Subject = stranger): OpenedPaths | RefusedPath {
  return openGrantedPaths(() => null, [path], { runAs, subject })
}

const fresh = { what: 'new', access: 'write' } as const
const rows: readonly (readonly [
  name: string,
  below: string,
  more: Partial<GrantedPath>,
  detail: RegExp,
])[] = [
  ['a file that is not there', 'none', {}, /none" is not there$/],
  ['a directory on the way that is not', 'none/file', {}, /none" is not there$/],
  ['a link', 'link', {}, /link" is no regular file$/],
  ['a link on the way', 'link/file', {}, /link" is a link, or no directory$/],
  ['a second name', 'second', {}, /second" is a file with more than one name$/],
  ['a directory', 'sub', {}, /sub" is no regular file$/],
  ['a file for a directory', 'file', { what: 'directory' }, /file" is no directory$/],
  ['a new file that is there', 'file', fresh, /file" is there already$/],
  ['too large a content', 'sub/big', { content: 'bound' }, /big" is beyond the 1048576 bytes/],
]
for (const place of [shown, hidden]) writeFileSync(join(place, 'sub/big'), 'x')

for (const [name, below, more, detail] of rows) {
  test(`granted path: ${name}: which component, and why; told to who can see it alone`, () => {
    for (const [place, isTold] of [
      [shown, true],
      [hidden, false],
    ] as const) {
      const answer = open(named(join(place, below), more))
      assert.ok(answer.kind === 'refused')
      assert.match(answer.detail, detail)
      assert.ok(answer.detail.includes(place))
      assert.deepEqual([answer.parameter, answer.isTold], ['p', isTold])
    }
  })
}

test('granted path: that a hidden directory is not one, or a link, is seen from above it', () => {
  symlinkSync('hidden', join(directory, 'way'))
  for (const below of ['way/none', 'gone/none', 'way']) {
    const answer = open(named(join(directory, below)))
    assert.ok(answer.kind === 'refused' && answer.isTold, below)
  }
})

const path = named(join(hidden, 'none'))
const subjects: readonly (readonly [name: string, change: Partial<Subject>, isTold: boolean])[] = [
  ['root', { uid: testUid(0) }, true],
  ['root of another namespace', { uid: testUid(0), foreign: true }, false],
  ['the owner', { uid: testUid(owner.uid) }, true],
  ['the group', { gid: testGid(owner.gid) }, true],
  ['one of its groups', { groups: [testGid(5), testGid(owner.gid)] }, true],
  ['another group', { groups: [testGid(5)] }, false],
]
for (const [name, change, isTold] of subjects) {
  test(`granted path: ${name}: ${isTold ? 'hears' : 'does not hear'} what is in a directory of others`, () => {
    const answer = open(path, { ...stranger, ...change })
    assert.ok(answer.kind === 'refused')
    assert.equal(answer.isTold, isTold)
  })
}

test('granted path: an owner without the right to search does not hear, whatever others may', () => {
  const own = join(directory, 'own')
  mkdirSync(own)
  chmodSync(own, 0o077)
  if (owner.uid === 0) chownSync(own, stranger.uid, 0)
  const uid = testUid(statSync(own).uid)
  const answer = open(named(join(own, 'none')), { ...stranger, uid })
  assert.ok(answer.kind === 'refused' && !answer.isTold)
})
