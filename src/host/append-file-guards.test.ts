import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { BelladonnaError } from '../core/error.ts'
import { openAppendFile } from './append-file.ts'

const isRoot = process.geteuid?.() === 0
const failsWith = (code: string) => (error: unknown) =>
  error instanceof BelladonnaError && error.code === code

function makeDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'append-file-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  return directory
}

test('C61: links, second names, other owners and open rights are refused', (t) => {
  const directory = makeDirectory(t)
  const path = join(directory, 'entries.wal')
  const other = join(directory, 'other')
  const open = (): void => {
    openAppendFile(path, { purpose: 'log' })[Symbol.dispose]()
  }
  const refused = (): void => {
    assert.throws(open, failsWith('path_unsafe'))
  }
  open()
  chmodSync(path, 0o640)
  refused()
  chmodSync(path, 0o602)
  refused()
  chmodSync(path, 0o700)
  refused()
  chmodSync(path, 0o600)
  linkSync(path, other)
  refused()
  rmSync(path)
  symlinkSync(other, path)
  refused()
  rmSync(path)
  mkdirSync(path)
  refused()
  rmSync(path, { recursive: true })
  execFileSync('mkfifo', ['-m', '600', path])
  refused()
  rmSync(path)
  renameSync(other, path)
  if (isRoot) {
    chownSync(path, 1, 1)
    refused()
    chownSync(path, 0, 0)
  }
  chmodSync(directory, 0o770)
  refused()
  chmodSync(directory, 0o700)
  open()
})

test('append file: with mode 0640 a new file is for its directory’s group to read', (t) => {
  const directory = makeDirectory(t)
  const path = join(directory, 'receipts.wal')
  if (isRoot) chownSync(directory, 0, 61_234)
  const open = (): void => {
    openAppendFile(path, { purpose: 'receipts', mode: 0o640 })[Symbol.dispose]()
  }
  open()
  open()
  const { mode, gid } = statSync(path)
  assert.deepEqual([mode & 0o777, gid], [0o640, statSync(directory).gid])
  assert.throws(() => openAppendFile(path, { purpose: 'receipts' }), failsWith('path_unsafe'))
})

const module = JSON.stringify(join(import.meta.dirname, 'append-file.ts'))
const typescript = ['--input-type=module', '-e']

test('C69: a second daemon on one log is refused, until the first is gone, however it went', async (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  const code = `
    const { openAppendFile } = await import(${module})
    const file = openAppendFile(${JSON.stringify(path)}, { purpose: 'log' })
    file.append([new TextEncoder().encode('first')])
    console.log('open')
    setInterval(() => file.count, 1000)`
  const child = spawn(process.execPath, [...typescript, code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  assert.throws(() => openAppendFile(path, { purpose: 'log' }), failsWith('start_failed'))
  child.kill('SIGKILL')
  await once(child, 'exit')
  using file = openAppendFile(path, { purpose: 'log' })
  assert.equal(file.count, 1)
  assert.throws(() => openAppendFile(path, { purpose: 'log' }), failsWith('start_failed'))
})

test('C66: on a full disk what begins is refused first, and the ends of runs still fit', (t) => {
  const directory = makeDirectory(t)
  const probe = spawnSync('unshare', [
    '-m',
    'mount',
    '-t',
    'tmpfs',
    '-o',
    'size=3m',
    'none',
    directory,
  ])
  if (probe.status !== 0) {
    t.skip('no right to mount')
    return
  }
  const code = `
    const { openAppendFile } = await import(${module})
    const path = ${JSON.stringify(join(directory, 'entries.wal'))}
    let file = openAppendFile(path, { purpose: 'log' })
    const record = new Uint8Array(1500).fill(120)
    let begun = 0, ended = 0, code
    while (!file.isShort()) {
      file.append([record])
      begun += 1
      await new Promise((resume) => setTimeout(resume))
    }
    try {
      for (;;) { file.append([record]); ended += 1 }
    } catch (error) { code = error.code }
    file[Symbol.dispose]()
    file = openAppendFile(path, { purpose: 'log' })
    console.log(JSON.stringify({ begun, ended, code, records: file.recovery.records, short: file.isShort() }))`
  const shell = 'mount -t tmpfs -o size=3m,mode=700 none "$0" && exec "$@"'
  const args = ['-m', 'sh', '-c', shell, directory, process.execPath, ...typescript, code]
  const { begun, ended, ...rest }: Record<string, number> = JSON.parse(
    execFileSync('unshare', args, { encoding: 'utf8' }),
  )
  assert.ok(begun !== undefined && ended !== undefined && begun > 1000 && ended > 100)
  assert.deepEqual(rest, { code: 'log_failed', records: begun + ended, short: true })
})
