import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { cleanPath } from './fixed-mounts.ts'
import type { Mount } from './mount.ts'
import { comparePaths, isWithin, orderRoot } from './root.ts'

const bind = (path: string): Mount => {
  const target = cleanPath(path)
  return {
    kind: 'bind',
    source: target,
    target,
    writable: false,
    executable: false,
    optional: false,
  }
}
const link = (path: string): Mount => ({ kind: 'symlink', target: cleanPath(path), text: 'x' })
const directory = (path: string): Mount => ({
  kind: 'directory',
  target: cleanPath(path),
  mode: 0o755,
})
const tmpfs = (path: string): Mount => ({
  kind: 'tmpfs',
  target: cleanPath(path),
  mode: 0o1777,
  sizeBytes: 1,
})

const cases: readonly (readonly [
  name: string,
  wanted: readonly Mount[],
  made: readonly Mount[],
])[] = [
  ['nothing stays nothing', [], []],
  [
    'missing parents are made, topmost first, once',
    [bind('/a/b/c'), bind('/a/b/d')],
    [directory('/a'), directory('/a/b'), bind('/a/b/c'), bind('/a/b/d')],
  ],
  [
    'nothing is made in a tree of the host',
    [bind('/a'), bind('/a/b/c')],
    [bind('/a'), bind('/a/b/c')],
  ],
  [
    'a link or a directory in a tree of the host is there already',
    [bind('/a'), link('/a/b'), directory('/a/c'), link('/a/d/e')],
    [bind('/a')],
  ],
  [
    'in an own tmpfs parents are made',
    [bind('/tmp/a/b'), tmpfs('/tmp')],
    [directory('/tmp'), tmpfs('/tmp'), directory('/tmp/a'), bind('/tmp/a/b')],
  ],
  ['a link below a link is reached through it', [link('/a'), link('/a/b')], [link('/a')]],
  [
    'entries for one target stay in their order',
    [{ kind: 'proc', target: cleanPath('/p') }, bind('/p'), bind('/o')],
    [bind('/o'), directory('/p'), { kind: 'proc', target: cleanPath('/p') }, bind('/p')],
  ],
  [
    'a path comes before what is below it, whatever its name sorts like',
    [bind('/a-b'), bind('/a/b')],
    [directory('/a'), bind('/a/b'), bind('/a-b')],
  ],
  [
    'a directory that is asked for is not made twice',
    [directory('/a'), bind('/a/b')],
    [directory('/a'), bind('/a/b')],
  ],
]

for (const [name, wanted, made] of cases) {
  test(`root: ${name}`, () => {
    assert.deepEqual(orderRoot(wanted), made)
  })
}

test('root: a mount below a link has another real path', () => {
  assert.throws(() => orderRoot([link('/a'), bind('/a/b')]), { code: 'input_invalid' })
})

test('root: the order asked in does not change the order made', () => {
  const path = fc
    .array(fc.constantFrom('a', 'b', 'a-', 'c'), { minLength: 1, maxLength: 4 })
    .map((parts) => `/${parts.join('/')}`)
  const shuffledPaths = fc
    .uniqueArray(path, { maxLength: 12 })
    .chain((paths) =>
      fc.tuple(fc.constant(paths), fc.shuffledSubarray(paths, { minLength: paths.length })),
    )
  fc.assert(
    fc.property(shuffledPaths, ([paths, shuffled]) => {
      const make = (target: string): Mount =>
        target.length % 3 === 0 ? tmpfs(target) : bind(target)
      const entries = paths.map(make)
      const made = orderRoot(entries)
      assert.deepEqual(orderRoot(shuffled.map(make)), made)
      // every entry is there, after its parent directory or after the tree that brings it
      for (const [index, { target }] of made.entries()) {
        const parent = target.slice(0, target.lastIndexOf('/'))
        const before = made.slice(0, index)
        const isThere = parent === '' || before.some((other) => isWithin(parent, other.target))
        assert.ok(isThere, target)
      }
      assert.ok(entries.every((entry) => made.includes(entry)))
    }),
  )
})

test('root: paths compare by their components', () => {
  assert.ok(comparePaths('/a', '/a/b') < 0)
  assert.ok(comparePaths('/a/b', '/a') > 0)
  assert.ok(comparePaths('/a/b', '/a-b') < 0)
  assert.ok(comparePaths('/b', '/a/c') > 0)
  assert.equal(comparePaths('/a/b', '/a/b'), 0)
})

test('root: a path lies within itself, the root, and what is above it', () => {
  assert.ok(isWithin('/a/b', '/a/b'))
  assert.ok(isWithin('/a/b', '/a'))
  assert.ok(isWithin('/a/b', '/'))
  assert.ok(!isWithin('/ab', '/a'))
  assert.ok(!isWithin('/a', '/a/b'))
})
