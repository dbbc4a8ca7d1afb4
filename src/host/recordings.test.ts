import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openRecordings, recordingFile } from './recordings.ts'

const directory = mkdtempSync(join(tmpdir(), 'belladonna-recordings.'))
after(() => rmSync(directory, { recursive: true }))
const recordings = openRecordings(directory)
const name = '0f'.repeat(16)
const bytes = Buffer.alloc(2_500_000, 7)
const sha256 = createHash('sha256').update(bytes).digest('hex')
writeFileSync(recordingFile(directory, name), bytes)
const format = 'belladonna/recording/v1'
const size = bytes.length

test('recordings: what a relay says of its own stands, once it is on the disk', async () => {
  const told = { size: 1, sha256: 'ab'.repeat(32), error: null }
  const kept = { format, name, size: 1, sha256: 'ab'.repeat(32) }
  assert.deepEqual(await recordings.settle(name, told), { ...kept, incomplete: null })
  for (const [error, incomplete] of [
    [28, 'no_space'],
    [122, 'no_space'],
    [5, 'failed'],
  ] as const) {
    assert.deepEqual(await recordings.settle(name, { ...told, error }), { ...kept, incomplete })
  }
})

test('recordings: of one whose relay said nothing, what is there', async () => {
  const want = { format, name, size, sha256, incomplete: 'relay_lost' }
  assert.deepEqual(await recordings.settle(name, null), want)
  assert.deepEqual(recordings.left(name), { ...want, incomplete: 'crash' })
})

test('recordings: where there is none there is none, whoever says so', async () => {
  const none = '1f'.repeat(16)
  assert.equal(await recordings.settle(none, null), null)
  assert.equal(recordings.left(none), null)
  const told = { size: 1, sha256, error: null }
  const want = { format, name: none, size: 1, sha256, incomplete: 'failed' }
  assert.deepEqual(await recordings.settle(none, told), want)
})

test('C64: recordings: a link in the place of a file is followed by nobody, and keeps no bridge from a start', async () => {
  const [link, other] = ['2f'.repeat(16), '3f'.repeat(16)]
  symlinkSync(recordingFile(directory, name), recordingFile(directory, link))
  mkdirSync(recordingFile(directory, other))
  const unread = { format, name: link, size: 0, sha256: createHash('sha256').digest('hex') }
  assert.deepEqual(await recordings.settle(link, null), { ...unread, incomplete: 'relay_lost' })
  assert.deepEqual(recordings.left(link), { ...unread, incomplete: 'crash' })
  assert.equal(recordings.left(other), null)
})

test('C64: recordings: of one whose disk is broken the entry names what could be read', (t) => {
  const broken = '6f'.repeat(16)
  writeFileSync(recordingFile(directory, broken), 'here')
  const code = `
    const { openRecordings } = await import(${JSON.stringify(join(import.meta.dirname, 'recordings.ts'))})
    const recordings = openRecordings(${JSON.stringify(directory)})
    console.log(JSON.stringify([await recordings.settle('${broken}', null), recordings.left('${broken}')]))`
  // The memory of a process is a file that cannot be read at its beginning: EIO.
  const script = 'mount --bind /proc/$$/mem "$1" && exec "$2" --input-type=module -e "$3"'
  const words = ['sh', recordingFile(directory, broken), process.execPath, code]
  const child = spawnSync('unshare', ['-m', '/bin/sh', '-c', script, ...words], {
    encoding: 'utf8',
  })
  if (/unshare failed|permission denied/.test(child.stderr)) {
    t.skip('no right to mount')
    return
  }
  const want = { format, name: broken, size: 0, sha256: createHash('sha256').digest('hex') }
  const found: unknown = JSON.parse(child.stdout)
  const incomplete = 'not_durable'
  assert.deepEqual(found, [
    { ...want, incomplete },
    { ...want, incomplete },
  ])
})

test('C64: recordings: of what cannot be synced the entry says that it may not be on the disk', async () => {
  const pipe = '4f'.repeat(16)
  execFileSync('mkfifo', [recordingFile(directory, pipe)]) // fdatasync(2): EINVAL
  const told = { size: 1, sha256, error: null }
  const want = { format, name: pipe, size: 1, sha256, incomplete: 'not_durable' }
  assert.deepEqual(await recordings.settle(pipe, told), want)
})

test('recordings: promise 7: C89: a hole of eight terabytes in one is not read', async () => {
  const hollow = '5f'.repeat(16)
  writeFileSync(recordingFile(directory, hollow), 'here')
  truncateSync(recordingFile(directory, hollow), 8 * 2 ** 40)
  const startMs = performance.now()
  const found = [await recordings.settle(hollow, null), recordings.left(hollow)]
  assert.ok(performance.now() - startMs < 10_000)
  const first = Buffer.alloc(64 * 1024 * 1024)
  first.write('here')
  const digest = createHash('sha256').update(first).digest('hex')
  for (const each of found) assert.deepEqual([each?.size, each?.sha256], [first.length, digest])
})
