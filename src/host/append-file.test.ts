import assert from 'node:assert/strict'
import {
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { BelladonnaError } from '../core/error.ts'
import { openAppendFile } from './append-file.ts'
import type { AppendFile, AppendFileOptions, FileCalls } from './append-file.ts'
import { maxRecordBytes } from './record-frame.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const failsWith = (code: string) => (error: unknown) =>
  error instanceof BelladonnaError && error.code === code

function makeDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'append-file-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  return directory
}

/** Opens, hands the texts of all records to `use` with the file, and closes. */
function withFile<T>(
  path: string,
  use: (file: AppendFile, records: readonly string[]) => T,
  options: Partial<AppendFileOptions> = {},
): T {
  const records: string[] = []
  using file = openAppendFile(path, {
    purpose: 'log',
    stepBytes: 65_536,
    onRecord: (record, index) => {
      assert.equal(index, records.push(decode(record)) - 1)
    },
    ...options,
  })
  return use(file, records)
}

test('append file: what was appended is there after it was opened again, in order', (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  const all: string[] = []
  for (let round = 0; round < 5; round += 1) {
    withFile(path, (file, records) => {
      assert.deepEqual(records, all)
      assert.deepEqual(file.recovery, { created: round === 0, records: all.length, cutBytes: 0 })
      file.append([])
      file.append([encode(`one ${round}`)])
      file.append(['two', 'three', 'x'.repeat(5000)].map(encode))
      all.push(`one ${round}`, 'two', 'three', 'x'.repeat(5000))
      assert.equal(file.count, all.length)
      assert.deepEqual(Array.from(file.records(), decode), all)
    })
  }
})

test('append file: more than one frame holds is split, and comes back whole', (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  const records = Array.from({ length: 40 }, (_, i) => new Uint8Array(maxRecordBytes).fill(1 + i))
  withFile(path, (file) => {
    file.append(records)
  })
  let seen = 0
  const onRecord = (record: Uint8Array, index: number): void => {
    assert.ok(record.length === maxRecordBytes && record.every((byte) => byte === 1 + index))
    seen += 1
  }
  openAppendFile(path, { purpose: 'log', onRecord })[Symbol.dispose]()
  assert.equal(seen, 40)
})

test('append file: a record that is empty or too long is refused, and nothing of its batch written', (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  withFile(path, (file) => {
    for (const bad of [new Uint8Array(0), new Uint8Array(maxRecordBytes + 1)]) {
      assert.throws(() => {
        file.append([encode('before'), bad])
      }, failsWith('input_invalid'))
    }
    file.append([encode('good')])
  })
  withFile(path, (_, records) => {
    assert.deepEqual(records, ['good'])
  })
})

test('append file: space is prepared ahead, and an append that needs more still works', async (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  const file = openAppendFile(path, { purpose: 'log', stepBytes: 65_536 })
  const size = statSync(path).size
  assert.ok(size >= 4096 + 65_536)
  file.append([encode('x')])
  assert.equal(statSync(path).size, size)
  // Without a turn of the event loop nothing is prepared: the file grows by the appends themselves.
  for (let i = 0; i < 100; i += 1) file.append([new Uint8Array(4000).fill(1)])
  assert.ok(statSync(path).size >= 400_000)
  for (let i = 0; i < 100; i += 1) {
    file.append([new Uint8Array(4000).fill(2)])
    if (i % 10 === 0) await sleep(1)
  }
  let more = 0
  for (; more < 4000 && statSync(path).size < 803_200 + 65_536; more += 1) {
    file.append([encode('x')])
    await sleep(5)
  }
  assert.ok(statSync(path).size >= 803_200 + 65_536)
  assert.equal(file.isShort(), false)
  file.append([encode('last')])
  file[Symbol.dispose]() // while the next step is being written
  withFile(path, (again, records) => {
    assert.equal(again.recovery.cutBytes, 0)
    assert.equal(records.length, 202 + more)
    assert.ok(records.slice(1, 101).every((record) => record === '\u0001'.repeat(4000)))
    assert.ok(records.slice(101, 201).every((record) => record === '\u0002'.repeat(4000)))
  })
})

const realCalls: FileCalls = { write: writeSync, datasync: fdatasyncSync }
const systemError = (code: string): Error => Object.assign(new Error(code), { code })

test('C64: after a failed fdatasync every append fails, and it is never tried again', (t) => {
  for (let failing = 1; failing <= 5; failing += 1) {
    const path = join(makeDirectory(t), 'entries.wal')
    let syncs = 0
    const calls: FileCalls = {
      ...realCalls,
      datasync: (descriptor) => {
        syncs += 1
        if (syncs === failing) throw systemError('EIO')
        fdatasyncSync(descriptor)
      },
    }
    const acknowledged: string[] = []
    withFile(
      path,
      (file) => {
        for (let i = 0; i < 10; i += 1) {
          try {
            file.append([encode(`record ${i}`)])
            acknowledged.push(`record ${i}`)
          } catch (error) {
            assert.ok(failsWith('log_failed')(error))
          }
        }
      },
      { calls },
    )
    assert.deepEqual([acknowledged.length, syncs], [failing - 1, failing])
    withFile(path, (_, records) => {
      assert.deepEqual(records.slice(0, failing - 1), acknowledged)
    })
  }
})

test('append file: a write that fails kills the file, before and after it took hold', (t) => {
  const failures: readonly (readonly [string, FileCalls['write']])[] = [
    ['EIO before', () => assert.fail(systemError('EIO'))],
    ['ENOSPC before', () => assert.fail(systemError('ENOSPC'))],
    [
      'EIO after',
      (...args) => {
        writeSync(...args)
        throw systemError('EIO')
      },
    ],
    [
      'EIO after a part',
      (descriptor, bytes, offset, _, position) => {
        writeSync(descriptor, bytes, offset, 20, position)
        throw systemError('EIO')
      },
    ],
    ['no progress', () => 0],
  ]
  for (const [name, failing] of failures) {
    const path = join(makeDirectory(t), 'entries.wal')
    let broken = false
    const write: FileCalls['write'] = (...args) => (broken ? failing(...args) : writeSync(...args))
    withFile(
      path,
      (file) => {
        file.append([encode('first')])
        broken = true
        const attempt = (): void => {
          file.append([encode('second')])
        }
        assert.throws(attempt, failsWith('log_failed'), name)
        broken = false
        assert.throws(attempt, failsWith('log_failed'), name)
      },
      { calls: { ...realCalls, write } },
    )
    withFile(path, (file, records) => {
      assert.equal(records[0], 'first')
      assert.ok(records.length === 1 || (name === 'EIO after' && records[1] === 'second'))
      file.append([encode('third')])
    })
    withFile(path, (_, records) => {
      assert.equal(records.at(-1), 'third')
    })
  }
})

test('append file: short writes and EINTR are carried on from where they stopped', (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  let turn = 0
  const write: FileCalls['write'] = (descriptor, bytes, offset, length, position) => {
    turn += 1
    if (turn % 3 === 0) throw systemError('EINTR')
    return writeSync(descriptor, bytes, offset, Math.min(length, 7), position)
  }
  const want = Array.from({ length: 20 }, (_, i) => `record ${i}`.repeat(i + 1))
  withFile(path, (file) => want.forEach((text) => file.append([encode(text)])), {
    calls: { ...realCalls, write },
  })
  withFile(path, (_, records) => {
    assert.deepEqual(records, want)
  })
})

test('append file: a closed file takes nothing more', (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  const file = openAppendFile(path, { purpose: 'log' })
  file[Symbol.dispose]()
  file[Symbol.dispose]()
  assert.throws(() => {
    file.append([encode('x')])
  }, failsWith('log_failed'))
})

test('C65: a torn append is cut off, kept beside the file, and what follows is appended in its place', (t) => {
  const directory = makeDirectory(t)
  const path = join(directory, 'entries.wal')
  withFile(path, (file) => {
    file.append(['a', 'b'].map(encode))
  })
  const before = readFileSync(path)
  withFile(path, (file) => {
    file.append([encode('x'.repeat(9000)), encode('y')])
  })
  const torn = readFileSync(path)
  const end = before.findLastIndex((byte) => byte !== 0) + 1
  torn.fill(0, end + 5000)
  writeFileSync(path, torn)
  withFile(path, (file, records) => {
    assert.deepEqual(records, ['a', 'b'])
    assert.ok(file.recovery.cutBytes > 4900)
    file.append([encode('c')])
  })
  withFile(path, (file, records) => {
    assert.deepEqual([records, file.recovery.cutBytes], [['a', 'b', 'c'], 0])
  })
  const kept = readdirSync(directory).filter((name) => name.includes('.cut-'))
  assert.equal(kept.length, 1)
  assert.match(readFileSync(join(directory, kept[0] ?? ''), 'latin1'), /x{4000}/)
})

test('append file: a torn append that cannot be kept beside the file stays where it is', (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  withFile(path, () => undefined)
  const bytes = readFileSync(path)
  bytes[4096] = 1
  writeFileSync(path, bytes)
  mkdirSync(`${path}.cut-4096`)
  assert.throws(() => openAppendFile(path, { purpose: 'log' }), failsWith('log_failed'))
  assert.deepEqual(readFileSync(path), bytes)
})

test('append file: the file of another purpose, or none at all, is refused', (t) => {
  const path = join(makeDirectory(t), 'entries.wal')
  withFile(path, () => undefined)
  assert.throws(() => openAppendFile(path, { purpose: 'receipts' }), failsWith('log_corrupt'))
  writeFileSync(path, '')
  assert.throws(() => openAppendFile(path, { purpose: 'log' }), failsWith('log_corrupt'))
  writeFileSync(path, 'x'.repeat(5000))
  assert.throws(() => openAppendFile(path, { purpose: 'log' }), failsWith('log_corrupt'))
})
