import { hash, timingSafeEqual } from 'node:crypto'

/**
 * A Merkle tree that only grows: its size, and the roots of its complete subtrees, largest and leftmost first.
 *
 * At most one node per bit of `size`, so that appending and hashing never touch older leaves.
 */
export type TreeState = Readonly<{ size: number; nodes: readonly Uint8Array[] }>

/** Bytes of a SHA-256 hash. */
export const hashBytes: number = 32

/** The tree of no leaves. */
export const emptyTree: TreeState = { size: 0, nodes: [] }

/** Root of the tree of no leaves: the hash of nothing. */
export const emptyRoot: Uint8Array = sha256(new Uint8Array(0))

// 0x01, left, right. Written by nodeHash only, which does not yield while it is in use.
const pair = new Uint8Array(1 + 2 * hashBytes)
pair[0] = 0x01

// 0x00, entry. Written by leafHash only. Longer entries get a buffer of their own.
const leaf = new Uint8Array(8192)

/**
 * SHA-256 of `bytes`, 32 bytes.
 *
 * Node hands out a one-byte string in a third of the time that it takes to make a Buffer (measured on 24.21).
 */
export function sha256(bytes: Uint8Array): Uint8Array {
  const binary = hash('sha256', bytes, 'binary')
  const digest = new Uint8Array(hashBytes)
  for (let at = 0; at < hashBytes; at += 1) digest[at] = binary.charCodeAt(at)
  return digest
}

/**
 * Hash of one log entry: SHA-256(0x00 || entry), 32 bytes.
 *
 * Inner nodes start with 0x01, so no entry can be passed off as a subtree.
 *
 * @param entry the entry's bytes, exactly as stored; any length
 * @see RFC 6962, section 2.1
 */
export function leafHash(entry: Uint8Array): Uint8Array {
  const bytes = entry.length < leaf.length ? leaf : new Uint8Array(1 + entry.length)
  bytes.set(entry, 1)
  return sha256(bytes.subarray(0, 1 + entry.length))
}

/** Hash of an inner node: SHA-256(0x01 || left || right). @see RFC 6962, section 2.1 */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  pair.set(left, 1)
  pair.set(right, 1 + hashBytes)
  return sha256(pair)
}

/** The tree with one more leaf. `state` stays what it was. */
export function appendLeaf(state: TreeState, newLeaf: Uint8Array): TreeState {
  // Each trailing one bit of the size is a complete subtree that the new leaf completes into the next larger one.
  let kept = state.nodes.length
  for (let rest = state.size; rest % 2 === 1; rest = (rest - 1) / 2) kept -= 1
  const node = state.nodes.slice(kept).reduceRight((right, left) => nodeHash(left, right), newLeaf)
  return { size: state.size + 1, nodes: [...state.nodes.slice(0, kept), node] }
}

/** The tree over `leafHashes`. */
export function treeOf(leafHashes: Iterable<Uint8Array>): TreeState {
  let state = emptyTree
  for (const next of leafHashes) state = appendLeaf(state, next)
  return state
}

/** Merkle tree hash, 32 bytes. @see RFC 6962, section 2.1 */
export function rootHash(state: TreeState): Uint8Array {
  if (state.size === 0) return emptyRoot
  return state.nodes.reduceRight((right, left) => nodeHash(left, right))
}

/** Whether two hashes are the same bytes. */
export function equalHashes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** The digits of all bytes, one behind the other: a slice of it costs less than a conversion. */
const hexOfBytes = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, '0'),
).join('')

/** Lower-case hexadecimal. */
export function formatHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += hexOfBytes.slice(2 * byte, 2 * byte + 2)
  return text
}
