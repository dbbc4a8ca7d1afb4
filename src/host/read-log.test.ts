import assert from 'node:assert/strict'
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { makeSmallLog, makeTestLog } from '../../test/log-fixture.ts'
import type { TestLog } from '../../test/log-fixture.ts'
import { formatVerifierKey } from '../core/audit/signed-note.ts'
import { BelladonnaError } from '../core/error.ts'
import { openAppendFile } from './append-file.ts'
import { openLogSource, verifyDirectory } from './read-log.ts'

const failsWith = (code: string) => (error: unknown) =>
  error instanceof BelladonnaError && error.code === code

function makeRoot(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'read-log-'))
  t.after(() => {
    rmSync(root, { recursive: true })
  })
  return root
}

/** Writes a log as a bridge below `root` has it, and returns its `var/lib/belladonna`. */
function writeLog(root: string, log: TestLog, note: string | null = log.checkpoint()): string {
  const lib = join(root, 'var/lib/belladonna')
  for (const name of ['log', 'receipts', 'state']) {
    mkdirSync(join(lib, name), { recursive: true, mode: 0o700 })
  }
  for (const [path, purpose, records] of [
    ['log/entries.wal', 'log', log.entries],
    ['receipts/receipts.wal', 'receipts', log.receipts],
  ] as const) {
    using file = openAppendFile(join(lib, path), { purpose, stepBytes: 4096 })
    file.append(records)
  }
  if (note !== null) writeFileSync(join(lib, 'log/checkpoint'), note)
  writeFileSync(join(lib, 'state/host.pub'), `${formatVerifierKey(log.key)}\n`)
  return lib
}

test('verify: a log where it lies, by root or directory, and a copy of it', async (t) => {
  const root = makeRoot(t)
  const lib = writeLog(root, makeSmallLog())
  cpSync(lib, join(root, 'copy'), { recursive: true })
  for (const directory of [root, lib, join(root, 'copy')]) {
    let seen = 0
    const report = await verifyDirectory(directory, {
      onEntry: (count) => {
        seen = count
      },
    })
    assert.deepEqual([report?.ok, report?.entries, seen], [true, 5, 5])
  }
})

test('verify: nothing there is no report', async (t) => {
  const root = makeRoot(t)
  assert.equal(await verifyDirectory(root), undefined)
  assert.equal(openLogSource(join(root, 'none'), undefined), undefined)
})

test('verify: a key from elsewhere is the one that counts', async (t) => {
  const root = makeRoot(t)
  const log = makeSmallLog()
  writeLog(root, log)
  const own = formatVerifierKey(log.key)
  assert.equal((await verifyDirectory(root, { vkey: own }))?.ok, true)
  const other = formatVerifierKey(makeTestLog(9).key)
  assert.equal((await verifyDirectory(root, { vkey: other }))?.ok, false)
})

test('verify: without a key, or with what is none, an error', async (t) => {
  const root = makeRoot(t)
  const lib = writeLog(root, makeSmallLog())
  await assert.rejects(verifyDirectory(root, { vkey: 'x' }), failsWith('input_invalid'))
  rmSync(join(lib, 'state/host.pub'))
  await assert.rejects(verifyDirectory(root), failsWith('state_invalid'))
})

test('verify: a file that is missing counts as empty', async (t) => {
  for (const name of ['log/entries.wal', 'receipts/receipts.wal', 'log/checkpoint']) {
    const root = makeRoot(t)
    const lib = writeLog(root, makeSmallLog())
    rmSync(join(lib, name))
    const report = await verifyDirectory(root)
    assert.equal(report?.ok, false, name)
  }
})

test('promise 5: verify: an older checkpoint beside a shorter log is held against what the executor keeps', async (t) => {
  const root = makeRoot(t)
  const log = makeSmallLog()
  const older = log.checkpoint()
  const whole = makeSmallLog()
  for (let run = 10; run < 20; run += 1) whole.denial(run)
  const kept = whole.checkpoint()
  const lib = writeLog(root, log, older)
  writeFileSync(join(lib, 'state/checkpoint'), kept)
  const report = await verifyDirectory(root)
  assert.deepEqual(
    report?.problems.map(({ code }) => code),
    ['log_shorter_than_signed'],
  )
  assert.equal((await verifyDirectory(root, { isCopy: true }))?.ok, true)
  const honest = makeRoot(t)
  writeFileSync(join(writeLog(honest, whole, older), 'state/checkpoint'), kept)
  const { ok, signed_size } = (await verifyDirectory(honest)) ?? {}
  assert.deepEqual([ok, signed_size], [true, whole.entries.length])
})

test('verify: a receipt whose intent comes a moment later is waited for, one that has none is found', async (t) => {
  const root = makeRoot(t)
  const log = makeSmallLog()
  log.receipt(5)
  const lib = writeLog(root, log)
  const missing = await verifyDirectory(root)
  assert.deepEqual(
    missing?.problems.map(({ code }) => code),
    ['receipt_unrecorded'],
  )
  const coming = verifyDirectory(root)
  log.entries.length = 0
  log.intent(5)
  using file = openAppendFile(join(lib, 'log/entries.wal'), { purpose: 'log' })
  file.append(log.entries)
  assert.equal((await coming)?.ok, true)
})

test('verify: what comes while it reads is left for the next time', async (t) => {
  const root = makeRoot(t)
  const log = makeSmallLog()
  const lib = writeLog(root, log)
  const before = log.entries.length
  const report = await verifyDirectory(root, {
    onEntry: (count) => {
      if (count !== 1) return
      log.outcome(7, log.intent(7), log.receipt(7))
      using entries = openAppendFile(join(lib, 'log/entries.wal'), { purpose: 'log' })
      entries.append(log.entries.slice(before))
      using receipts = openAppendFile(join(lib, 'receipts/receipts.wal'), { purpose: 'receipts' })
      receipts.append(log.receipts.slice(-1))
    },
  })
  assert.deepEqual([report?.ok, report?.entries], [true, before])
})

test('C67: a copy may end in the middle of an append behind what was signed, and nowhere before', async (t) => {
  const root = makeRoot(t)
  const log = makeSmallLog()
  const note = log.checkpoint()
  const lib = writeLog(root, log, note)
  const path = join(lib, 'log/entries.wal')
  {
    using file = openAppendFile(path, { purpose: 'log' })
    for (const run of [5, 6]) {
      log.intent(run)
      file.append(log.entries.slice(-1))
    }
  }
  const bytes = readFileSync(path)
  const isCopy = true
  const at = (text: string): number => bytes.indexOf(text)
  const tail = at('"run":5')
  assert.ok(at('"run":3') > 0 && tail > at('"run":3') && at('"run":6') > tail)
  assert.equal((await verifyDirectory(lib, { isCopy }))?.entries, 7)
  writeFileSync(path, Buffer.from(bytes).fill(0, tail, tail + 8))
  const report = await verifyDirectory(lib, { isCopy })
  assert.deepEqual([report?.ok, report?.entries, report?.signed_size], [true, 5, 5])
  assert.match(report?.tail_damage ?? '', /the frame at \d+ is bad/)
  // The same is damage in the bridge's own directory, and in the signed part of any.
  await assert.rejects(verifyDirectory(lib), failsWith('log_corrupt'))
  writeFileSync(path, Buffer.from(bytes).fill(0, at('"run":3'), at('"run":3') + 8))
  await assert.rejects(verifyDirectory(lib, { isCopy }), failsWith('log_corrupt'))
})

test('C61: what is read is never a link, a directory, or a file without end', async (t) => {
  const root = makeRoot(t)
  const lib = writeLog(root, makeSmallLog())
  const path = join(lib, 'log/checkpoint')
  appendFileSync(path, 'x'.repeat(300_000))
  await assert.rejects(verifyDirectory(root), failsWith('path_unsafe'))
  rmSync(path)
  mkdirSync(path)
  await assert.rejects(verifyDirectory(root), failsWith('path_unsafe'))
  rmSync(path, { recursive: true })
  symlinkSync('/etc/passwd', path)
  await assert.rejects(verifyDirectory(root), failsWith('path_unsafe'))
})
