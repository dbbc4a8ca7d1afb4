import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashDescriptor } from './hash-file.ts'

test('hash file: each byte is seen once and in order, from the first one, wherever the offset stands', () => {
  const directory = mkdtempSync('/tmp/belladonna-hash.')
  const path = join(directory, 'file')
  const content = Buffer.alloc((1 << 20) + 17, 'pattern of a length that divides nothing')
  writeFileSync(path, content)
  const descriptor = openSync(path, 'r')
  try {
    readSync(descriptor, new Uint8Array(100))
    const seen: Uint8Array[] = []
    const begins: number[] = []
    const sha256 = hashDescriptor(descriptor, (block, at) => {
      seen.push(block.slice())
      begins.push(at)
    })
    assert.deepEqual(Buffer.concat(seen), content)
    assert.deepEqual(begins, [0, 1 << 20])
    assert.deepEqual(Buffer.from(sha256), createHash('sha256').update(content).digest())
  } finally {
    closeSync(descriptor)
    rmSync(directory, { recursive: true })
  }
})
