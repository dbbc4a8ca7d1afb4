import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GrantedPath } from './granted-path.ts'
import { bindsFiles, maxContentBytes, resolvedFiles } from './input-files.ts'
import type { FileIdentity } from './input-files.ts'
import { maxStdinBytes } from '../protocol/layout.ts'
import { pathOf } from './policy.test-support.ts'

function named(path: string, more: Partial<GrantedPath> = {}): GrantedPath {
  const rest = { what: 'file', access: 'read', hard_links: false, content: 'live' } as const
  return { parameter: 'p', path: pathOf(path), ...rest, ...more }
}
const fresh = { what: 'new', access: 'write' } as const
const live: FileIdentity = { device: 65_024n, inode: 2n ** 64n - 1n, content: null }
const bound: FileIdentity = { device: 1n, inode: 2n, content: { sha256: 'a'.repeat(64), size: 7 } }

test('input files: by path, which thing it is; of new files of one directory the directory, once', () => {
  const paths = [
    named('/r/a'),
    named('/r/b', { content: 'bound' }),
    named('/r/d', { what: 'directory' }),
    named('/n/x', fresh),
    named('/n/y', fresh),
  ]
  const numbers = { device: '65024', inode: '18446744073709551615' }
  assert.deepEqual(resolvedFiles(paths, [live, bound, live, live]), {
    '/r/a': { ...numbers, kind: 'file', sha256: null, size: null },
    '/r/b': { device: '1', inode: '2', kind: 'file', sha256: 'a'.repeat(64), size: 7 },
    '/r/d': { ...numbers, kind: 'directory', sha256: null, size: null },
    '/n': { ...numbers, kind: 'new', sha256: null, size: null },
  })
})

const rows: readonly (readonly [
  name: string,
  paths: readonly GrantedPath[],
  files: readonly FileIdentity[],
  binds: boolean,
])[] = [
  ['no path and none', [], [], true],
  ['a file', [named('/r/a')], [live], true],
  ['the same twice, which is bound once', [named('/r/a'), named('/r/a')], [live], true],
  ['one too few', [named('/r/a')], [], false],
  ['one too many', [named('/r/a')], [live, live], false],
  ['a content that is bound', [named('/r/a', { content: 'bound' })], [bound], true],
  ['a content that should be', [named('/r/a', { content: 'bound' })], [live], false],
  ['a content that should not be', [named('/r/a')], [bound], false],
]
for (const [name, paths, files, binds] of rows) {
  test(`promise 3: input files: ${name}: ${binds ? 'binds' : 'does not bind'} what the policy says`, () => {
    assert.equal(bindsFiles(paths, files), binds)
  })
}

test('input files: what is bound of files may be as large as a bound stdin', () => {
  assert.equal(maxContentBytes, maxStdinBytes)
})

test('input files: one that no path has is in no resolved action; the broker refuses it before', () => {
  assert.deepEqual(resolvedFiles([], [live]), {})
  assert.equal(bindsFiles([], [live]), false)
})
