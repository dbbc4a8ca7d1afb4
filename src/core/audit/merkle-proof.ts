import { BelladonnaError } from '../error.ts'
import { emptyRoot, equalHashes, hashBytes, nodeHash, rootHash, treeOf } from './merkle.ts'
import type { TreeState } from './merkle.ts'

/** That the leaf with this hash stands at `index` in the tree of `size` leaves with this root. */
export type InclusionClaim = Readonly<{
  leaf: Uint8Array
  index: number
  size: number
  root: Uint8Array
}>

/** That the first `olderSize` leaves of the newer tree are the older tree. */
export type ConsistencyClaim = Readonly<{
  olderSize: number
  newerSize: number
  olderRoot: Uint8Array
  newerRoot: Uint8Array
}>

/** Hash of the subtree over the leaves from `low` up to, not including, `high`. */
type SubtreeHash = (low: number, high: number) => Uint8Array

/**
 * The hashes that lead from a leaf to the root of the tree of the first `size` leaves, lowest first.
 *
 * @throws {BelladonnaError} `input_invalid` when there is no such leaf or tree
 * @see RFC 6962, section 2.1.1
 */
export function inclusionProof(
  leafHashes: readonly Uint8Array[],
  index: number,
  size: number = leafHashes.length,
): readonly Uint8Array[] {
  if (!(index >= 0 && index < size && size <= leafHashes.length)) {
    throw outOfRange(`prove leaf ${String(index)} of ${String(size)}`)
  }
  const hashOf = hashesOf(leafHashes)
  const path = (low: number, high: number): readonly Uint8Array[] => {
    if (high - low === 1) return []
    const middle = low + split(high - low)
    return index < middle
      ? [...path(low, middle), hashOf(middle, high)]
      : [...path(middle, high), hashOf(low, middle)]
  }
  return path(0, size)
}

/**
 * Whether `proof` proves the claim. False for anything malformed.
 *
 * @see RFC 9162, section 2.1.3.2
 */
export function verifyInclusion(claim: InclusionClaim, proof: readonly Uint8Array[]): boolean {
  const { leaf, index, size, root } = claim
  if (!isSize(index) || !isSize(size) || index >= size) return false
  if (leaf.length !== hashBytes || !proof.every(isHash)) return false
  let at = index
  let last = size - 1
  let node = leaf
  for (const sibling of proof) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      node = nodeHash(sibling, node)
      // At the right edge the node moves up alone until it is a right child.
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)]
    } else {
      node = nodeHash(node, sibling)
    }
    ;[at, last] = [half(at), half(last)]
  }
  return last === 0 && equalHashes(node, root)
}

/**
 * The hashes that show that the tree of the first `olderSize` leaves is a prefix of that of the first `newerSize`.
 *
 * @throws {BelladonnaError} `input_invalid` when there are no such trees
 * @see RFC 6962, section 2.1.2
 */
export function consistencyProof(
  leafHashes: readonly Uint8Array[],
  olderSize: number,
  newerSize: number = leafHashes.length,
): readonly Uint8Array[] {
  if (!(olderSize >= 0 && olderSize <= newerSize && newerSize <= leafHashes.length)) {
    throw outOfRange(`prove tree ${String(olderSize)} within ${String(newerSize)}`)
  }
  return growth(olderSize, newerSize, hashesOf(leafHashes))
}

/**
 * The same proof from what a log has in memory: the older tree's state and the leaves that came after it.
 *
 * A proof names no other subtree of the older tree than its largest complete ones, which the state holds. The cost is
 * that of the new leaves, however long the log is.
 */
export function growthProof(
  older: TreeState,
  addedLeafHashes: readonly Uint8Array[],
): readonly Uint8Array[] {
  let start = 0
  const starts = older.nodes.map(() => {
    const own = start
    start += largestPower(older.size - start)
    return own
  })
  const added = hashesOf(addedLeafHashes)
  return growth(older.size, older.size + addedLeafHashes.length, (low, high) =>
    high <= older.size
      ? rootHash({ size: high - low, nodes: older.nodes.filter((_, at) => starts[at] === low) })
      : added(low - older.size, high - older.size),
  )
}

/**
 * Whether `proof` proves the claim. False for anything malformed.
 *
 * The tree of no leaves is a prefix of each tree, by the empty proof.
 *
 * @see RFC 9162, section 2.1.4.2
 */
export function verifyConsistency(claim: ConsistencyClaim, proof: readonly Uint8Array[]): boolean {
  const { olderSize, newerSize, olderRoot, newerRoot } = claim
  if (!isSize(olderSize) || !isSize(newerSize) || olderSize > newerSize) return false
  if (![olderRoot, newerRoot, ...proof].every(isHash)) return false
  if (olderSize === 0 && !equalHashes(olderRoot, emptyRoot)) return false
  if (olderSize === newerSize) return proof.length === 0 && equalHashes(olderRoot, newerRoot)
  if (olderSize === 0) return proof.length === 0
  const [first, ...rest] = largestPower(olderSize) === olderSize ? [olderRoot, ...proof] : proof
  return first !== undefined && climb(claim, first, rest)
}

function climb(claim: ConsistencyClaim, first: Uint8Array, rest: readonly Uint8Array[]): boolean {
  let at = claim.olderSize - 1
  let last = claim.newerSize - 1
  while (at % 2 === 1) [at, last] = [half(at), half(last)]
  let older = first
  let newer = first
  for (const sibling of rest) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      older = nodeHash(sibling, older)
      newer = nodeHash(sibling, newer)
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)]
    } else {
      newer = nodeHash(newer, sibling)
    }
    ;[at, last] = [half(at), half(last)]
  }
  return last === 0 && equalHashes(older, claim.olderRoot) && equalHashes(newer, claim.newerRoot)
}

/** PROOF(m, D[n]) of RFC 6962, with absolute positions instead of shifted lists. */
function growth(olderSize: number, newerSize: number, hashOf: SubtreeHash): readonly Uint8Array[] {
  const proof = (low: number, high: number, whole: boolean): readonly Uint8Array[] => {
    if (olderSize === high) return whole ? [] : [hashOf(low, high)]
    const middle = low + split(high - low)
    return olderSize <= middle
      ? [...proof(low, middle, whole), hashOf(middle, high)]
      : [...proof(middle, high, false), hashOf(low, middle)]
  }
  return olderSize === 0 ? [] : proof(0, newerSize, true)
}

function hashesOf(leafHashes: readonly Uint8Array[]): SubtreeHash {
  return (low, high) => rootHash(treeOf(leafHashes.slice(low, high)))
}

/** The largest power of two below `size`, which is at least 2. */
function split(size: number): number {
  return largestPower(size - 1)
}

/** The largest power of two up to `size`, which is at least 1. No bit operators: they end at 2^31. */
function largestPower(size: number): number {
  let power = 1
  while (power * 2 <= size) power *= 2
  return power
}

function half(value: number): number {
  return Math.floor(value / 2)
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function isHash(value: Uint8Array): boolean {
  return value.length === hashBytes
}

function outOfRange(what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `${what}: out of range`)
}
