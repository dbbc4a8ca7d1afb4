import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openSpaceAhead } from './space-ahead.ts'

const noFailure = (cause: unknown): void => {
  assert.fail(String(cause))
}

test('space ahead: want of space is a state, not a failure', async () => {
  const descriptor = openSync('/dev/full', 'r+')
  using space = openSpaceAhead(descriptor, 0, 4096, noFailure)
  assert.equal(space.isRefused(), true)
  space.extend()
  space.extend()
  await sleep(20)
  assert.deepEqual([space.isRefused(), space.preparedBytes()], [true, 0])
  closeSync(descriptor)
})

test('space ahead: another failure is reported, in the foreground and in the background', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'space-ahead-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const path = join(directory, 'fifo')
  execFileSync('mkfifo', [path])
  const descriptor = openSync(path, 'r+')
  const failures: unknown[] = []
  using space = openSpaceAhead(descriptor, 0, 512, (cause) => failures.push(cause))
  assert.equal(failures.length, 1)
  space.extend()
  await sleep(20)
  assert.equal(failures.length, 2)
  closeSync(descriptor)
})

test('space ahead: zeros never land on what was written meanwhile', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'space-ahead-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const path = join(directory, 'file')
  const descriptor = openSync(path, 'w+')
  using space = openSpaceAhead(descriptor, 0, 65_536, noFailure)
  const ones = Buffer.alloc(300_000, 1)
  for (let round = 0; round < 30; round += 1) {
    space.extend()
    writeSync(descriptor, ones, 0, ones.length, round * ones.length)
    await sleep(1)
  }
  await sleep(20)
  const size = 30 * ones.length
  assert.ok(statSync(path).size >= size)
  const whole = execFileSync('head', ['-c', String(size), path], { maxBuffer: 2 * size })
  assert.ok(whole.every((byte) => byte === 1))
  closeSync(descriptor)
})
