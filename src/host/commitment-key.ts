import { BelladonnaError } from '../core/error.ts'
import { readOwnFile, replaceFile } from './durable-file.ts'
import { randomBytes } from './random.ts'

const fileName = 'commitment.key'
const keyBytes = 32

/**
 * The key that the salts of commitments to secrets are made with; at the first start it is drawn.
 *
 * Trusted: who can read the file, root alone, can try values against what the log says of a secret; it is never changed, so
 * that old entries can still be opened.
 *
 * @throws {BelladonnaError} `state_invalid`
 */
export function loadCommitmentKey(stateDirectory: string, uid: number): Uint8Array {
  const stored = readOwnFile(`${stateDirectory}/${fileName}`, uid, keyBytes)
  if (stored?.length === keyBytes) return stored
  if (stored !== undefined) throw new BelladonnaError('state_invalid', 'read the commitment key')
  const key = randomBytes(keyBytes)
  replaceFile(stateDirectory, fileName, key, 0o600)
  return key
}
