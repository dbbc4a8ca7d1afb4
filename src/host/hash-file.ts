import { createHash } from 'node:crypto'
import { readSync } from 'node:fs'

const blockBytes = 1 << 20

/**
 * SHA-256 of all that a descriptor holds from its first byte on, wherever its offset stands.
 *
 * @param onBlock sees each block before it is hashed, and where it begins; it keeps none, for the next one takes its place. What
 *   it throws ends the reading.
 */
export function hashDescriptor(
  descriptor: number,
  onBlock: (block: Uint8Array, at: number) => void,
): Uint8Array {
  const hash = createHash('sha256')
  const buffer = new Uint8Array(blockBytes)
  for (let at = 0; ;) {
    const size = readSync(descriptor, buffer, 0, blockBytes, at)
    if (size === 0) return new Uint8Array(hash.digest())
    const block = buffer.subarray(0, size)
    onBlock(block, at)
    hash.update(block)
    at += size
  }
}
