import { verifyCheckpoint } from '../../core/audit/checkpoint.ts'
import type { VerifierKey } from '../../core/audit/signed-note.ts'
import { readOwnFile, replaceFileOnceItFits } from '../../host/durable-file.ts'
import { nothingSigned } from './checkpoints.ts'
import type { SignedTree } from './checkpoints.ts'

const noteFile = 'checkpoint'
const maxNoteBytes = 65_536

/**
 * The tree that this executor signed last, from its own state.
 *
 * Trusted: the state directory is root's. Who puts an old note back makes us sign a fork of what came after it; that takes
 * root, and is what anchors outside the host are for (SECURITY.md).
 */
export function loadSignedTree(stateDirectory: string, uid: number, key: VerifierKey): SignedTree {
  const note = readOwnFile(`${stateDirectory}/${noteFile}`, uid, maxNoteBytes)
  if (note === undefined) return nothingSigned
  const { size, root } = verifyCheckpoint(new TextDecoder().decode(note), key)
  return { size, root }
}

/** Keeps the note before it is given away: what was promised to the outside must not be forgotten in here. */
export async function keepSignedTree(stateDirectory: string, note: string): Promise<void> {
  await replaceFileOnceItFits(stateDirectory, noteFile, new TextEncoder().encode(note), 0o644)
}
