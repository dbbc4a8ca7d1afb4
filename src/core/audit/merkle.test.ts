import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { skipWithoutData } from '../../../test/data.ts'
import { readJson } from '../../../test/log-fixture.ts'
import { parseHex } from '../json/hex.ts'
import { anyString, listOf, recordOf } from '../json/shape.ts'
import {
  appendLeaf,
  emptyTree,
  equalHashes,
  formatHex,
  leafHash,
  rootHash,
  treeOf,
} from './merkle.ts'

const referenceTree = recordOf(({ take }) => ({
  source: take('source', anyString),
  leaves: take('leaves_hex', listOf(anyString)),
  roots: take('roots_hex', listOf(anyString)),
}))
const hexOf = (bytes: Uint8Array): string => formatHex(bytes)

test('rootHash: the reference roots of RFC 6962 implementations', (t) => {
  const path = skipWithoutData(t, 'rfc-vectors/rfc6962-roots.json', 9)
  if (path === undefined) return
  const { leaves, roots } = readJson(path, referenceTree)
  const hashes = leaves.map((hex) => leafHash(parseHex(hex)))
  assert.equal(roots.length, 9)
  roots.forEach((root, size) => {
    assert.equal(hexOf(rootHash(treeOf(hashes.slice(0, size)))), root)
  })
})

test('leafHash: 0x00 and the entry, for entries of any length', () => {
  for (const length of [0, 1, 63, 8190, 8191, 8192, 8193, 65_535]) {
    const entry = new Uint8Array(length).fill(length % 251)
    const want = createHash('sha256').update(Uint8Array.of(0)).update(entry).digest('hex')
    assert.equal(hexOf(leafHash(entry)), want)
  }
})

test('leafHash: a long entry before it does not show in a short one', () => {
  leafHash(new Uint8Array(5000).fill(9))
  assert.equal(hexOf(leafHash(Uint8Array.of(1))), hexOf(leafHash(new Uint8Array([1]))))
})

test('appendLeaf: the old tree stays what it was', () => {
  const one = appendLeaf(emptyTree, leafHash(Uint8Array.of(1)))
  const root = hexOf(rootHash(one))
  const two = appendLeaf(one, leafHash(Uint8Array.of(2)))
  assert.equal(hexOf(rootHash(one)), root)
  assert.equal(two.size, 2)
  assert.notEqual(hexOf(rootHash(two)), root)
})

test('appendLeaf: keeps one node per bit of the size', () => {
  let tree = emptyTree
  for (let size = 1; size <= 300; size += 1) {
    tree = appendLeaf(tree, leafHash(Uint8Array.of(size % 256)))
    assert.equal(tree.nodes.length, size.toString(2).replaceAll('0', '').length)
  }
})

test('equalHashes: other bytes and other lengths differ', () => {
  assert.equal(equalHashes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true)
  assert.equal(equalHashes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false)
  assert.equal(equalHashes(Uint8Array.of(1, 2), Uint8Array.of(1)), false)
})
