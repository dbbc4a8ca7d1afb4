import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadCommitmentKey } from './commitment-key.ts'

const directory = mkdtempSync('/tmp/belladonna-commitment.')
const path = join(directory, 'commitment.key')
const uid = process.geteuid?.() ?? 0
after(() => rmSync(directory, { recursive: true }))

test('commitment key: drawn once, kept for good, for nobody else to read', () => {
  const key = loadCommitmentKey(directory, uid)
  assert.equal(key.length, 32)
  assert.ok(key.some((byte) => byte !== 0))
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.deepEqual(new Uint8Array(readFileSync(path)), new Uint8Array(key))
  assert.deepEqual(new Uint8Array(loadCommitmentKey(directory, uid)), new Uint8Array(key))
})

test('commitment key: half a key, or one that others can write, stops the start', () => {
  chmodSync(path, 0o622)
  assert.throws(() => loadCommitmentKey(directory, uid), { code: 'path_unsafe' })
  chmodSync(path, 0o600)
  writeFileSync(path, new Uint8Array(31))
  assert.throws(() => loadCommitmentKey(directory, uid), { code: 'state_invalid' })
})
