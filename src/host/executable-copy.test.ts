import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'
import { openMeasure } from './executable.ts'
import type { Measured } from './executable.ts'
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
    return copies.make(descriptor, source)
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
  assert.throws(() => copies.make(descriptor, source), { code: 'path_unsafe' })
  closeSync(descriptor)
  assert.deepEqual(readdirSync(at), [])
})

test('promise 6: executable copy: one that cannot be made is refused', () => {
  const at = place()
  const copies = openCopies(at)
  rmSync(at, { recursive: true })
  assert.throws(() => copyOf(copies, 'x'), { code: 'path_unsafe' })
})

type Counted = Readonly<{ path: CleanPath; measure: (pins: readonly string[]) => Measured }> & {
  readonly made: () => number
}

/** Measures a program that others can change, and counts how often it is copied. */
function measured(): Counted {
  const path = join(mkdtempSync(join(directory, 'theirs.')), 'tool')
  writeFileSync(path, 'content')
  chmodSync(path, 0o777)
  assert.ok(isCleanPath(path))
  const copies = openCopies(place())
  let made = 0
  const measure = openMeasure(process.getuid?.() ?? 0, {
    ...copies,
    make: (descriptor, shownAs) => {
      made += 1
      return copies.make(descriptor, shownAs)
    },
  })
  const of = (sha256: readonly string[]): Measured =>
    measure({ executable: path, interpreter: null, sha256 })
  return { path, measure: of, made: () => made }
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')

test('promise 7: executable copy: a file that stays as it was is read once while a copy is held, and once if it is not pinned', () => {
  const { measure, made } = measured()
  const [pin, other] = [[digestOf('content')], [digestOf('other')]]
  const first = measure(pin)
  const second = measure(pin)
  assert.deepEqual([made(), first.copy], [1, second.copy])
  for (let at = 0; at < 100; at += 1) {
    assert.throws(() => measure(other), { code: 'path_unsafe', message: /is not pinned$/ })
  }
  assert.equal(made(), 1)
  first.release()
  assert.ok(existsSync(first.copy ?? ''))
  second.release()
  assert.ok(!existsSync(first.copy ?? ''))
  measure(pin).release() // nobody holds one: it is made again
  assert.equal(made(), 2)
})

test('promise 7: executable copy: its owner cannot have a large file read again and again by touching it', async () => {
  const { path, measure, made } = measured()
  truncateSync(path, 32 * 1024 * 1024)
  const startMs = performance.now()
  const other = [digestOf('other')]
  measure(other).release()
  const tookMs = performance.now() - startMs
  for (let at = 1; at <= 50; at += 1) {
    utimesSync(path, at, at)
    assert.throws(() => measure(other), { code: 'path_unsafe', message: /changed a moment after/ })
  }
  assert.equal(made(), 1)
  await sleep(11 * tookMs)
  measure(other).release()
  assert.equal(made(), 2)
  truncateSync(path, maxCopyBytes + 1)
  assert.throws(() => measure(other), { code: 'path_unsafe', message: /larger than/ })
  assert.equal(made(), 2)
})
