import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { maxCopies, maxCopyBytes, openCopies } from './executable-copy.ts'
import type { ExecutableCopy } from './executable-copy.ts'

const directory = mkdtempSync('/tmp/belladonna-copies.')
const source = join(directory, 'source')
after(() => rmSync(directory, { recursive: true, force: true }))

/** A place for copies with something left in it from an earlier life. */
function place(): string {
  const copies = mkdtempSync(join(directory, 'copies.'))
  writeFileSync(join(copies, '1'), 'left')
  return copies
}

function copyOf(copies: ReturnType<typeof openCopies>, text: string): ExecutableCopy {
  writeFileSync(source, text)
  const descriptor = openSync(source, 'r')
  try {
    return copies(descriptor, source)
  } finally {
    closeSync(descriptor)
  }
}

test('promise 3: executable copy: it is read-only, has the digest of its content, and what was left is gone', () => {
  const at = place()
  const made = copyOf(openCopies(at), 'content')
  assert.deepEqual(
    readdirSync(at).map((name) => join(at, name)),
    [made.path],
  )
  assert.equal(readFileSync(made.path, 'utf8'), 'content')
  const digest = createHash('sha256').update('content').digest()
  assert.deepEqual(Buffer.from(made.sha256), digest)
  const stat = statSync(made.path, { bigint: true })
  assert.equal(stat.mode & 0o777n, 0o555n)
  assert.deepEqual([made.stamp.inode, made.stamp.ctimeNs], [stat.ino, stat.ctimeNs])
})

test('executable copy: runs of the same bytes share one, which goes with the last of them', () => {
  const at = place()
  const copies = openCopies(at)
  const [first, second] = [copyOf(copies, 'same'), copyOf(copies, 'same')]
  assert.equal(first.path, second.path)
  first.release()
  first.release() // once only
  assert.equal(readdirSync(at).length, 1)
  second.release()
  assert.deepEqual(readdirSync(at), [])
  assert.notEqual(copyOf(copies, 'same').path, first.path)
})

test('promise 7: executable copy: not more than so many at once, none too large; nothing of a refused one stays', () => {
  const at = place()
  const copies = openCopies(at)
  const held = Array.from({ length: maxCopies }, (_, n) => copyOf(copies, `text ${n}`))
  assert.throws(() => copyOf(copies, 'one more'), { code: 'path_unsafe' })
  assert.equal(copyOf(copies, 'text 0').path, held[0]?.path)
  held[1]?.release()
  copyOf(copies, 'one more')
  assert.equal(readdirSync(at).length, maxCopies)
})

test('executable copy: what is too large, and a script, is refused', () => {
  const at = place()
  const copies = openCopies(at)
  assert.throws(() => copyOf(copies, '#!/bin/sh\n'), { code: 'path_unsafe' })
  writeFileSync(source, 'x')
  truncateSync(source, maxCopyBytes + 1)
  const descriptor = openSync(source, 'r')
  assert.throws(() => copies(descriptor, source), { code: 'path_unsafe' })
  closeSync(descriptor)
  assert.deepEqual(readdirSync(at), [])
})

test('promise 6: executable copy: one that cannot be made is refused', () => {
  const at = place()
  const copies = openCopies(at)
  rmSync(at, { recursive: true })
  assert.throws(() => copyOf(copies, 'x'), { code: 'path_unsafe' })
})
