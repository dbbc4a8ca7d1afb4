import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { skipWithoutData } from '../../../test/data.ts'
import { readJson, readSpecVectors } from '../../../test/log-fixture.ts'
import { BelladonnaError } from '../error.ts'
import { parseHex } from '../json/hex.ts'
import { anyBoolean, anyString, integerWithin, listOf, orNull, recordOf } from '../json/shape.ts'
import type { Shape } from '../json/shape.ts'
import { emptyRoot, formatHex, leafHash, rootHash, treeOf } from './merkle.ts'
import {
  consistencyProof,
  growthProof,
  inclusionProof,
  verifyConsistency,
  verifyInclusion,
} from './merkle-proof.ts'

const bytes: Shape<Uint8Array> = (value, where) => Buffer.from(anyString(value, where), 'base64')
const size = integerWithin(0, 2 ** 53)
const proof = orNull(listOf(bytes))
const inclusionVector = recordOf(({ take }) => ({
  name: take('desc', anyString),
  claim: {
    leaf: take('leafHash', bytes),
    index: take('leafIdx', size),
    size: take('treeSize', size),
    root: take('root', bytes),
  },
  proof: take('proof', proof) ?? [],
  isValid: !take('wantErr', anyBoolean),
}))
const consistencyVector = recordOf(({ take }) => ({
  name: take('desc', anyString),
  claim: {
    olderSize: take('size1', size),
    newerSize: take('size2', size),
    olderRoot: take('root1', bytes),
    newerRoot: take('root2', bytes),
  },
  proof: take('proof', proof) ?? [],
  isValid: !take('wantErr', anyBoolean),
}))
const hexes = listOf(anyString)
const specVectors = recordOf(({ take }) => ({
  about: take('about', anyString),
  leaves: take('leaves_hex', hexes),
  leafHashes: take('leaf_hashes', hexes),
  roots: take(
    'roots',
    listOf(recordOf(({ take }) => ({ size: take('size', size), root: take('root', anyString) }))),
  ),
  inclusion: take(
    'inclusion',
    listOf(
      recordOf(({ take }) => ({
        index: take('index', size),
        size: take('size', size),
        proof: take('proof', hexes),
      })),
    ),
  ),
  consistency: take(
    'consistency',
    listOf(
      recordOf(({ take }) => ({
        olderSize: take('older_size', size),
        newerSize: take('newer_size', size),
        proof: take('proof', hexes),
      })),
    ),
  ),
}))

const leaves = Array.from({ length: 130 }, (_, i) => leafHash(Uint8Array.of(i)))
const rootOf = (size: number): Uint8Array => rootHash(treeOf(leaves.slice(0, size)))
const flip = (bytes: Uint8Array, bit: number): Uint8Array =>
  bytes.map((byte, at) => (at === Math.floor(bit / 8) ? byte ^ (1 << (bit % 8)) : byte))
const nothing = new Uint8Array(0)

function vectorsIn<T>(folder: string, shape: Shape<T>): readonly T[] {
  return globSync('**/*.json', { cwd: folder }).map((name) => readJson(join(folder, name), shape))
}

test('verifyInclusion: every vector of transparency-dev/merkle', (t) => {
  const path = skipWithoutData(t, 'merkle-rfc6962/inclusion', 60)
  if (path === undefined) return
  const vectors = vectorsIn(path, inclusionVector)
  for (const { name, claim, proof, isValid } of vectors) {
    assert.equal(verifyInclusion(claim, proof), isValid, name)
  }
  const accepted = vectors.filter(({ isValid }) => isValid)
  assert.deepEqual([vectors.length, accepted.length > 3], [60, true])
})

test('verifyConsistency: every vector of transparency-dev/merkle', (t) => {
  const path = skipWithoutData(t, 'merkle-rfc6962/consistency', 65)
  if (path === undefined) return
  const vectors = vectorsIn(path, consistencyVector)
  for (const { name, claim, proof, isValid } of vectors) {
    assert.equal(verifyConsistency(claim, proof), isValid, name)
  }
  const accepted = vectors.filter(({ isValid }) => isValid)
  assert.deepEqual([vectors.length, accepted.length > 3], [65, true])
})

test('proofs: the vectors of spec/vectors/merkle.json', () => {
  const spec = readSpecVectors('merkle.json', specVectors)
  const hashes = spec.leaves.map((hex) => leafHash(parseHex(hex)))
  const hex = (proof: readonly Uint8Array[]): readonly string[] => proof.map(formatHex)
  assert.deepEqual(hex(hashes), spec.leafHashes)
  for (const { size, root } of spec.roots) {
    assert.equal(formatHex(rootHash(treeOf(hashes.slice(0, size)))), root)
  }
  for (const { index, size, proof } of spec.inclusion) {
    assert.deepEqual(hex(inclusionProof(hashes, index, size)), proof)
  }
  for (const { olderSize, newerSize, proof } of spec.consistency) {
    assert.deepEqual(hex(consistencyProof(hashes, olderSize, newerSize)), proof)
  }
  assert.ok(spec.inclusion.length > 20 && spec.consistency.length > 20)
})

test('inclusionProof: every leaf of every tree up to 130 verifies', () => {
  for (let size = 1; size <= leaves.length; size += 1) {
    for (let index = 0; index < size; index += size > 20 ? 7 : 1) {
      const leaf = leaves[index] ?? nothing
      const claim = { leaf, index, size, root: rootOf(size) }
      assert.equal(verifyInclusion(claim, inclusionProof(leaves, index, size)), true)
    }
  }
})

test('consistencyProof: every pair of trees up to 40 verifies, and growthProof makes the same', () => {
  for (let newerSize = 0; newerSize <= 40; newerSize += 1) {
    for (let olderSize = 0; olderSize <= newerSize; olderSize += 1) {
      const proof = consistencyProof(leaves, olderSize, newerSize)
      const grown = growthProof(
        treeOf(leaves.slice(0, olderSize)),
        leaves.slice(olderSize, newerSize),
      )
      assert.deepEqual(grown, proof)
      const claim = {
        olderSize,
        newerSize,
        olderRoot: rootOf(olderSize),
        newerRoot: rootOf(newerSize),
      }
      assert.equal(verifyConsistency(claim, proof), true)
    }
  }
})

const treeSize = fc.integer({ min: 1, max: leaves.length })

test('inclusion: no proof with one bit, hash, index, size or root changed verifies', () => {
  fc.assert(
    fc.property(treeSize, fc.nat(), fc.nat(), fc.nat(), (size, pick, bit, where) => {
      const index = pick % size
      const proof = inclusionProof(leaves, index, size)
      const claim = { leaf: leaves[index] ?? nothing, index, size, root: rootOf(size) }
      const bad = (change: Partial<typeof claim>, other = proof): void => {
        assert.equal(verifyInclusion({ ...claim, ...change }, other), false)
      }
      bad({ root: flip(claim.root, bit % 256) })
      bad({ leaf: flip(claim.leaf, bit % 256) })
      bad({}, [...proof, claim.leaf])
      bad({ index: size })
      if (size > 1) {
        const at = where % proof.length
        bad(
          {},
          proof.map((hash, i) => (i === at ? flip(hash, bit % 256) : hash)),
        )
        bad({}, proof.toSpliced(at, 1))
        bad({ index: (index + 1 + (where % (size - 1))) % size })
      }
    }),
  )
})

test('consistency: no proof with one bit, hash, size or root changed verifies', () => {
  fc.assert(
    fc.property(treeSize, fc.nat(), fc.nat(), fc.nat(), (newerSize, pick, bit, where) => {
      const olderSize = 1 + (pick % newerSize)
      const proof = consistencyProof(leaves, olderSize, newerSize)
      const claim = {
        olderSize,
        newerSize,
        olderRoot: rootOf(olderSize),
        newerRoot: rootOf(newerSize),
      }
      const bad = (change: Partial<typeof claim>, other = proof): void => {
        assert.equal(verifyConsistency({ ...claim, ...change }, other), false)
      }
      bad({ olderRoot: flip(claim.olderRoot, bit % 256) })
      bad({ newerRoot: flip(claim.newerRoot, bit % 256) })
      bad({}, [...proof, claim.newerRoot])
      bad({ olderSize: newerSize + 1 })
      if (proof.length > 0) {
        const at = where % proof.length
        bad(
          {},
          proof.map((hash, i) => (i === at ? flip(hash, bit % 256) : hash)),
        )
        bad({}, proof.toSpliced(at, 1))
      }
    }),
  )
})

test('consistency: the empty tree is a prefix of each, by its own root and the empty proof only', () => {
  const claim = { olderSize: 0, newerSize: 3, olderRoot: emptyRoot, newerRoot: rootOf(3) }
  assert.equal(verifyConsistency(claim, []), true)
  assert.equal(verifyConsistency({ ...claim, olderRoot: rootOf(1) }, []), false)
  assert.equal(verifyConsistency(claim, [rootOf(1)]), false)
  assert.equal(verifyConsistency({ ...claim, newerSize: 0 }, []), false)
})

test('verify: what is no size or no hash is false, not an error', () => {
  const inclusion = { leaf: rootOf(1), index: 0, size: 1, root: rootOf(1) }
  for (const index of [-1, 0.5, Number.NaN, 2 ** 53]) {
    assert.equal(verifyInclusion({ ...inclusion, index }, []), false)
    assert.equal(verifyInclusion({ ...inclusion, size: index }, []), false)
  }
  assert.equal(verifyInclusion({ ...inclusion, leaf: nothing }, []), false)
  assert.equal(verifyInclusion({ ...inclusion, size: 2 }, [nothing]), false)
  const consistency = { olderSize: 2, newerSize: 3, olderRoot: rootOf(2), newerRoot: rootOf(3) }
  for (const size of [-1, 0.5, Number.NaN]) {
    assert.equal(verifyConsistency({ ...consistency, olderSize: size }, []), false)
    assert.equal(verifyConsistency({ ...consistency, newerSize: size }, []), false)
  }
  assert.equal(verifyConsistency({ ...consistency, olderSize: 3, newerSize: 5 }, []), false)
})

test('proofs beyond the leaves that there are: an error', () => {
  const cases = [
    () => inclusionProof(leaves, 130),
    () => inclusionProof(leaves, 0, 131),
    () => inclusionProof(leaves, -1),
    () => inclusionProof([], 0),
    () => consistencyProof(leaves, 3, 2),
    () => consistencyProof(leaves, 1, 131),
    () => consistencyProof(leaves, -1),
  ]
  for (const attempt of cases) {
    assert.throws(
      attempt,
      (error) => error instanceof BelladonnaError && error.code === 'input_invalid',
    )
  }
})
