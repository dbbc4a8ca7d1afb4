import { verifyCheckpoint } from './checkpoint.ts'
import { appendLeaf, emptyTree, equalHashes, leafHash, rootHash } from './merkle.ts'
import type { VerifierKey } from './signed-note.ts'

/**
 * How many of the first entries are exactly those that the key signed, 0 when the entries are not what the checkpoint
 * says.
 *
 * @throws {BelladonnaError} `input_invalid` or `log_corrupt` when the checkpoint is not the key's
 */
export function signedSize(entries: Iterable<Uint8Array>, note: string, key: VerifierKey): number {
  const { size, root } = verifyCheckpoint(note, key)
  let tree = emptyTree
  for (const entry of entries) {
    if (tree.size === size) break
    tree = appendLeaf(tree, leafHash(entry))
  }
  return tree.size === size && equalHashes(rootHash(tree), root) ? size : 0
}
