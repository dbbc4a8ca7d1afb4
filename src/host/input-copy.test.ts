import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { whileLeased } from '../../test/support/while-running.ts'
import { stampOf } from './file-stamp.ts'
import { openInputCopies } from './input-copy.ts'
import type { CopyInput, InputCopy } from './input-copy.ts'
import { openAnew, partsOf, walkBeneath } from './walk-beneath.ts'

const directory = mkdtempSync('/tmp/belladonna-inputs.')
const source = join(directory, 'source')
after(() => rmSync(directory, { recursive: true, force: true }))

function copyOf(copies: CopyInput, text: string, maxBytes: number): InputCopy | null {
  writeFileSync(source, text)
  const descriptor = openSync(source, 'r')
  try {
    return copies(descriptor, maxBytes)
  } finally {
    closeSync(descriptor)
  }
}

test('promise 3: input copy: of its own, read-only, with the digest of its content; gone once released', () => {
  const at = mkdtempSync(join(directory, 'copies.'))
  const copies = openInputCopies(at)
  const made = ['content', 'content', ''].map((text) => copyOf(copies, text, 7))
  assert.equal(new Set(made.map((copy) => copy?.path)).size, 3)
  for (const copy of made) {
    assert.ok(copy !== null)
    const text = readFileSync(copy.path, 'utf8')
    assert.equal(copy.sha256, createHash('sha256').update(text).digest('hex'))
    assert.equal(copy.size, text.length)
    const stat = statSync(copy.path, { bigint: true })
    assert.equal(stat.mode & 0o777n, 0o444n)
    assert.deepEqual(copy.stamp, stampOf(stat))
    copy.release()
    copy.release()
  }
  assert.deepEqual(readdirSync(at), [])
})

test('promise 7: input copy: what is larger than it may be is none, and nothing is left', () => {
  const at = mkdtempSync(join(directory, 'copies.'))
  const copies = openInputCopies(at)
  assert.equal(copyOf(copies, 'content', 6), null)
  assert.equal(copyOf(copies, 'c', 0), null)
  assert.notEqual(copyOf(copies, '', 0), null)
  assert.equal(readdirSync(at).length, 1)
})

test('promise 6: input copy: a place that is gone is an error, which its caller turns into a refusal', () => {
  const at = mkdtempSync(join(directory, 'copies.'))
  const copies = openInputCopies(at)
  rmSync(at, { recursive: true })
  assert.throws(() => copyOf(copies, 'content', 7), { code: 'ENOENT' })
})

test('promise 7: walk: who holds a lease on a file is not waited for', async () => {
  writeFileSync(source, 'x')
  const found = walkBeneath(partsOf(source))
  await whileLeased(source, process.geteuid?.() ?? 0, async () => {
    const refused = { code: 'path_refused', message: /source" cannot be read: .*lease/ }
    assert.throws(() => openAnew(found, source), refused)
    return Promise.resolve()
  })
  closeSync(openAnew(found, source))
  closeSync(found)
})
