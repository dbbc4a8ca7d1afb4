import { closeSync, constants, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { BelladonnaError } from '../core/error.ts'

/**
 * Holds the lock of a file until the scope ends or the process does, however it ends.
 *
 * Node has neither flock(2) nor fcntl(2). A file made with O_EXCL outlives a killed owner, and whoever takes over a stale
 * one races with others; an abstract socket can be bound first by anybody on the host. SQLite, which is part of Node,
 * takes a POSIX lock that the kernel drops with the process. The lock is all that we use it for: nothing is ever written,
 * the file beside the locked one stays empty.
 *
 * Trust: whoever can open the lock file can keep the daemon from starting; it lies in a directory of its owner's.
 *
 * @throws {BelladonnaError} `start_failed` when somebody else holds it (ABUSE C69)
 */
export function holdFileLock(path: string): Disposable {
  const lockPath = `${path}.lock`
  const { O_CREAT, O_RDWR, O_NOFOLLOW } = constants
  closeSync(openSync(lockPath, O_CREAT | O_RDWR | O_NOFOLLOW, 0o600))
  const database = new DatabaseSync(lockPath, { timeout: 0 })
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    const message = `lock ${JSON.stringify(path)}: another process holds it`
    throw new BelladonnaError('start_failed', message, { cause })
  }
  return {
    [Symbol.dispose]() {
      database.close()
    },
  }
}
