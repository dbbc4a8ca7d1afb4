import { hash } from 'node:crypto'

/**
 * A key for maps and sets that live longer than the text in which `digest` was read.
 *
 * V8 keeps a substring as a view of its parent: a set of a million digests would hold a million entries. What comes out
 * of a hash is a string of its own.
 */
export function digestKey(digest: string): string {
  return hash('sha256', digest, 'binary')
}
