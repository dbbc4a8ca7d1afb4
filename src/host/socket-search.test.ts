import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'
import { resolvePolicyPath } from './policy-paths.ts'
import { openSocketSearch, parseMounts, readMounts } from './socket-search.ts'

// Not in /tmp, which is a place for sockets by itself.
const top = mkdtempSync('/var/lib/belladonna-test.')
const listening: Server[] = []
const bounds = { entries: 1000, sockets: 2 }
const none: ReturnType<typeof parseMounts> = []

function path(...parts: readonly string[]): CleanPath {
  const joined = join(top, ...parts)
  assert.ok(isCleanPath(joined))
  return joined
}

before(async () => {
  for (const name of ['a/deep/er', 'b', 'many', 'none']) mkdirSync(path(name), { recursive: true })
  writeFileSync(path('none', 'file'), '')
  symlinkSync(path('a'), path('none', 'link'))
  symlinkSync(path('b'), path('to-b'))
  for (const name of ['a/deep/er/x.sock', 'b/one', 'b/two', 'b/three']) {
    const server = createServer()
    listening.push(server)
    await new Promise<void>((resolve) => server.listen(path(name), resolve))
  }
  for (let index = 0; index < 20; index++) writeFileSync(path('many', `${index}`), '')
})
after(() => {
  for (const server of listening) server.close()
  rmSync(top, { recursive: true, force: true })
})

test('socket search: it finds what lies deep, follows no link, and names the first few', () => {
  const search = openSocketSearch(none, bounds)
  assert.deepEqual(search(path('a')), { found: [path('a/deep/er/x.sock')], mayHold: null })
  assert.deepEqual(search(path('none')), { found: [], mayHold: null })
  assert.deepEqual(search(path('no-such')), { found: [], mayHold: null })
  const { found, mayHold } = search(path('b'))
  assert.equal(found.length, 2)
  assert.equal(mayHold, 'too large to be searched')
})

test('socket search: what is too large may hold some', () => {
  const search = openSocketSearch(none, { ...bounds, entries: 19 })
  assert.deepEqual(search(path('many')), { found: [], mayHold: 'too large to be searched' })
})

test('socket search: a directory is searched once', async () => {
  const search = openSocketSearch(none, bounds)
  const before = search(path('none'))
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path('none/new.sock'), resolve))
  assert.equal(search(path('none')), before)
  assert.deepEqual(openSocketSearch(none, bounds)(path('none')).found, [path('none/new.sock')])
  server.close()
})

test('socket search: places of servers hold some even when there is none', () => {
  const search = openSocketSearch(none, { entries: 10, sockets: 1 })
  for (const place of [
    '/run',
    '/run/no-such',
    '/tmp/no-such',
    '/dev/shm/no-such',
    '/var/tmp/x',
    '/',
  ]) {
    assert.ok(isCleanPath(place))
    assert.match(search(place).mayHold ?? '', /^servers put theirs into \//, place)
  }
  const beside = '/runner/no-such'
  assert.ok(isCleanPath(beside))
  assert.equal(search(beside).mayHold, null)
})

test('socket search: what is in memory may hold some', () => {
  const on = (at: CleanPath, type: string, asked: CleanPath): string | null =>
    openSocketSearch(
      [
        { path: '/', type: 'ext4' },
        { path: at, type },
      ],
      bounds,
    )(asked).mayHold
  assert.equal(on(path('a'), 'tmpfs', path('a')), `${path('a')} is a tmpfs`)
  assert.equal(on(path('a'), 'ramfs', path('a/deep')), `${path('a')} is a ramfs`)
  assert.equal(on(path('a/deep'), 'tmpfs', path('a')), `${path('a/deep')} is a tmpfs`)
  assert.equal(on(path('a'), 'ext4', path('a')), null)
  assert.equal(on(path('b'), 'tmpfs', path('a')), null)
})

test('socket search: of two mounts at one place the later one is on top', () => {
  const mounts = ['tmpfs', 'ext4'].map((type) => ({ path: path('a'), type }))
  assert.equal(
    openSocketSearch(mounts.slice(0, 1), bounds)(path('a/deep')).mayHold,
    `${path('a')} is a tmpfs`,
  )
  assert.equal(openSocketSearch(mounts, bounds)(path('a/deep')).mayHold, null)
})

test('socket search: mountinfo is read with its escapes', () => {
  const text =
    '36 35 98:0 /mnt1 /with\\040space rw,noatime master:1 - ext3 /dev/root rw\n' +
    '37 35 0:5 / /plain rw - tmpfs none rw\n'
  assert.deepEqual(parseMounts(text), [
    { path: '/with space', type: 'ext3' },
    { path: '/plain', type: 'tmpfs' },
  ])
  assert.ok(readMounts().some((mount) => mount.path === '/proc' && mount.type === 'proc'))
})

const host = { uid: process.geteuid?.() ?? 0, architecture: 'x86_64' } as const

test('policy paths: a socket is found by its real path', () => {
  assert.deepEqual(resolvePolicyPath(path('to-b/one'), 'socket', host), {
    kind: 'found',
    real: path('b/one'),
    what: 'socket',
    links: [{ path: path('to-b'), text: path('b') }],
  })
})

test('policy paths: one that is not there is awaited where only root can make it', () => {
  assert.deepEqual(resolvePolicyPath(path('to-b/new/x.sock'), 'socket', host), {
    kind: 'awaited',
    real: path('b/new/x.sock'),
    links: [{ path: path('to-b'), text: path('b') }],
  })
  const shared = '/tmp/belladonna-no-such.sock'
  assert.ok(isCleanPath(shared))
  assert.deepEqual(resolvePolicyPath(shared, 'socket', host), {
    kind: 'refused',
    code: 'path_unsafe',
    message: 'others could make a socket in "/tmp"',
  })
  assert.deepEqual(resolvePolicyPath(path('many/0/x'), 'socket', host), { kind: 'absent' })
  assert.deepEqual(resolvePolicyPath(path('b/new'), 'profile', host), { kind: 'absent' })
})
