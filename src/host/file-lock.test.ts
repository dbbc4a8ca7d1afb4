import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BelladonnaError } from '../core/error.ts'
import { holdFileLock } from './file-lock.ts'

test('C69: a lock is held by one, leaves an empty file only, and can be had again', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'file-lock-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const path = join(directory, 'file')
  const isHeld = (error: unknown): boolean =>
    error instanceof BelladonnaError && error.code === 'start_failed'
  for (let round = 0; round < 3; round += 1) {
    const lock = holdFileLock(path)
    assert.throws(() => holdFileLock(path), isHeld)
    assert.deepEqual(readdirSync(directory), ['file.lock'])
    lock[Symbol.dispose]()
  }
  const { size, mode } = statSync(`${path}.lock`)
  assert.deepEqual([size, mode & 0o777], [0, 0o600])
  rmSync(`${path}.lock`)
  writeFileSync(join(directory, 'other'), '')
  symlinkSync(join(directory, 'other'), `${path}.lock`)
  assert.throws(() => holdFileLock(path), { code: 'ELOOP' })
})
