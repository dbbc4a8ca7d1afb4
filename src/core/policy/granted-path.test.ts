import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bindForCopy, bindForPath } from '../sandbox/path-bind.ts'
import { landlockChange, landlockFs } from '../sandbox/landlock.ts'
import { decide } from './decide.ts'
import type { Decision } from './decide.ts'
import { boundPath, doOverlap, isPathBelow, pathBounds } from './granted-path.ts'
import type { GrantedPath } from './granted-path.ts'
import { indexPolicy } from './policy-index.ts'
import { factsAt, pathOf, policyOf, requestOf, subjectOf } from './policy.test-support.ts'

const taken = [
  'a',
  'a.log',
  'sub/a.log',
  'a b/c',
  '...',
  '..a',
  'a..',
  '.hidden',
  'a/-b',
  'ä',
  '*',
  '~',
  '\\',
]
for (const value of [...taken, 'x'.repeat(255), 'x/'.repeat(15) + 'x', 'ä'.repeat(127)]) {
  test(`granted path: ${JSON.stringify(value.slice(0, 20))} names something below a root`, () => {
    assert.equal(isPathBelow(value), true)
  })
}

const refused = [
  ['', 'empty'],
  ['/', 'absolute'],
  ['/a', 'absolute'],
  ['a/', 'an empty part at the end'],
  ['a//b', 'an empty part'],
  ['.', 'itself'],
  ['./a', 'itself'],
  ['a/./b', 'itself'],
  ['..', 'above'],
  ['../a', 'above'],
  ['a/..', 'above'],
  ['a/../../b', 'above'],
  ['-', 'an option'],
  ['-a/b', 'an option'],
  ['a\0', 'NUL'],
  ['a\0/b', 'NUL'],
  ['a\nb', 'a line end'],
  ['a\tb', 'a tab'],
  ['a\u202eb', 'a character that turns the text'],
  ['a\ud800', 'half a character'],
  ['x'.repeat(256), 'a long part'],
  ['ä'.repeat(128), 'a part of 256 bytes'],
  ['x/'.repeat(16) + 'x', 'too many parts'],
  [`${'x'.repeat(250)}/`.repeat(4) + 'x'.repeat(200), 'too long'],
  [`${'ä'.repeat(120)}/`.repeat(5) + 'x', 'too many bytes'],
] as const
for (const [value, why] of refused) {
  test(`promise 1: C09, C13: granted path: ${JSON.stringify(value.slice(0, 20))} is refused: ${why}`, () => {
    assert.equal(isPathBelow(value), false)
  })
}

test('granted path: the bounds are those of the reference', () => {
  assert.deepEqual(pathBounds, { bytes: 1024, partBytes: 255, parts: 16 })
})

function granted(path: string, more: Partial<GrantedPath> = {}): GrantedPath {
  return {
    parameter: 'p',
    path: pathOf(path),
    what: 'file',
    access: 'read',
    hard_links: false,
    content: 'live',
    ...more,
  }
}
const fresh = { what: 'new', access: 'write' } as const

test('granted path: a file is bound itself, of a new one its directory', () => {
  assert.equal(boundPath(granted('/r/a/b')), '/r/a/b')
  assert.equal(boundPath(granted('/r/a', { what: 'directory' })), '/r/a')
  assert.equal(boundPath(granted('/r/a/b', fresh)), '/r/a')
  assert.equal(boundPath(granted('/r/b', fresh)), '/r')
})

const overlaps: readonly (readonly [name: string, paths: readonly GrantedPath[], is: boolean])[] = [
  ['nothing', [], false],
  ['one', [granted('/r/a')], false],
  ['two files', [granted('/r/a'), granted('/r/b')], false],
  ['names that begin alike', [granted('/r/a', { what: 'directory' }), granted('/r/ab')], false],
  ['the same file twice', [granted('/r/a'), granted('/r/a')], false],
  ['the same file for other uses', [granted('/r/a'), granted('/r/a', { access: 'write' })], true],
  ['a file in a directory', [granted('/r/a', { what: 'directory' }), granted('/r/a/b')], true],
  ['the other way round', [granted('/r/a/b/c'), granted('/r/a', { what: 'directory' })], true],
  ['two new files of one directory', [granted('/r/a', fresh), granted('/r/b', fresh)], false],
  ['a new file beside a file', [granted('/r/a', fresh), granted('/r/b')], true],
]
for (const [name, paths, is] of overlaps) {
  test(`granted path: ${name}: ${is ? 'overlap' : 'do not overlap'}`, () => {
    assert.equal(doOverlap(paths), is)
  })
}

const file = landlockFs.writeFile | landlockFs.truncate
const rights: readonly (readonly [name: string, more: Partial<GrantedPath>, access: bigint])[] = [
  ['a file that is read', {}, 0n],
  ['a directory that is read', { what: 'directory' }, 0n],
  ['a file that is written', { access: 'write' }, file],
  ['a directory that is written', { what: 'directory', access: 'write' }, landlockChange],
  ['a new file', fresh, file | landlockFs.makeReg | landlockFs.removeFile],
]
for (const [name, more, access] of rights) {
  test(`granted path: what a run may do with ${name}`, () => {
    const path = granted('/r/d/a', { hard_links: name.includes('directory'), ...more })
    const bind = bindForPath(path, { device: 1n, inode: 2n })
    assert.deepEqual(bind, {
      source: boundPath(path),
      target: boundPath(path),
      stamp: { device: 1n, inode: 2n, size: 0n, mtimeNs: 0n, ctimeNs: 0n },
      writable: access !== 0n,
      executable: false,
      isLive: true,
      isSingle: path.what === 'file',
      access,
    })
  })
}

test('promise 3: granted path: a copy lies at the file’s path, and all of its stamp counts', () => {
  const stamp = { device: 1n, inode: 2n, size: 3n, mtimeNs: 4n, ctimeNs: 5n }
  const copy = { path: pathOf('/var/lib/belladonna/copies/input-1'), stamp }
  assert.deepEqual(bindForCopy(granted('/r/a', { content: 'bound' }), copy), {
    ...{ source: copy.path, target: '/r/a', stamp, access: 0n },
    ...{ writable: false, executable: false, isLive: false, isSingle: false },
  })
})

test('granted path: a file of which the policy allows more names', () => {
  const bind = bindForPath(granted('/r/a', { hard_links: true }), { device: 1n, inode: 2n })
  assert.equal(bind.isSingle, false)
})

const index = indexPolicy(
  policyOf(`schema = 1
[action.copy]
about = "Copy"
command = ["/usr/bin/true", "--from={from}", "{to}"]
run_as = "root"
profile = "plain"
[action.copy.params]
from = { path = { root = "/var/log/app" }, repeat = { max = 3 } }
to = { path = { root = "/srv/data", kind = "new" } }
[profile.plain]
[[grant]]
who = ["uid:1000"]
may = ["copy"]
`),
)
function copy(...values: readonly (readonly [string, string])[]): Decision {
  const parameters = values.map(([name, value]) => ({ name, value }))
  return decide(index, subjectOf(1000), { ...requestOf('copy'), parameters }, factsAt(0))
}

test('decide: a value of a path becomes the whole path, and says what the run sees', () => {
  const decision = copy(['from', 'a'], ['from', 'b/c'], ['to', 'd'])
  assert.ok(decision.kind === 'permit')
  const argv = ['/usr/bin/true', '--from=/var/log/app/a', '--from=/var/log/app/b/c', '/srv/data/d']
  assert.deepEqual(decision.argv, argv)
  assert.deepEqual(decision.paths, [
    granted('/var/log/app/a', { parameter: 'from' }),
    granted('/var/log/app/b/c', { parameter: 'from' }),
    granted('/srv/data/d', { parameter: 'to', ...fresh }),
  ])
})

test('decide: paths of one request of which one lies in another are refused', () => {
  const decision = copy(['from', 'a'], ['from', 'a/b'], ['to', 'd'])
  assert.ok(decision.kind === 'deny')
  assert.deepEqual(
    [decision.code, decision.parameter, decision.enough],
    ['parameter_invalid', 'from', 'paths of which none lies in another'],
  )
})

test('decide: what a path may be is said in our words', () => {
  const decision = copy(['from', '../a'], ['to', 'd'])
  assert.ok(decision.kind === 'deny')
  assert.equal(decision.code, 'parameter_invalid')
  assert.equal(
    decision.enough,
    'a file, as a path below /var/log/app without ".." or a leading "-"',
  )
})
