import assert from 'node:assert/strict'
import test from 'node:test'
import { cleanPath, deviceMounts, procMounts } from './fixed-mounts.ts'

test('fixed mounts: /proc is covered by itself, read-only', () => {
  const [proc, cover] = procMounts()
  assert.deepEqual(proc, { kind: 'proc', target: '/proc' })
  assert.ok(cover?.kind === 'bind' && cover.source === '/proc/' && cover.target === '/proc')
  assert.ok(!cover.writable && !cover.executable && !cover.optional)
})

test('fixed mounts: devices are those asked for, and links to the own descriptors', () => {
  const mounts = deviceMounts(['null'])
  assert.deepEqual(
    mounts.map(({ target }) => target),
    ['/dev/null', '/dev/fd', '/dev/stdin', '/dev/stdout', '/dev/stderr'],
  )
})

test('fixed mounts: a path of our own must be clean too', () => {
  assert.equal(cleanPath('/a/b'), '/a/b')
  assert.throws(() => cleanPath('/a/../b'), { code: 'input_invalid' })
})
