import { closeSync, constants, openSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { isCode } from './directory.ts'

// fcntl.h; Node has no name for it. Opens neither a device nor a pipe: the descriptor only says what is there.
const pathOnly = 0o10_000_000
const walkFlags = pathOnly | constants.O_NOFOLLOW
const directoryFlags = walkFlags | constants.O_DIRECTORY

/**
 * Walks from `/` by descriptor, follows no link, and returns an O_PATH descriptor of what is at the end, which may be a
 * link itself; the caller closes it. Nothing of it is opened, whoever put it there.
 *
 * @param parts the components of a clean path
 * @param passing is called with each directory before something is looked for in it
 * @throws {BelladonnaError} `path_refused`: something on the way is a link, is no directory, or is not there
 */
export function walkBeneath(
  parts: readonly string[],
  passing: (directory: number) => void = () => undefined,
): number {
  let descriptor = openSync('/', directoryFlags)
  let walked = ''
  for (const [index, part] of parts.entries()) {
    walked += `/${part}`
    const flags = index < parts.length - 1 ? directoryFlags : walkFlags
    try {
      passing(descriptor)
      const next = openSync(`/proc/self/fd/${descriptor}/${part}`, flags)
      closeSync(descriptor)
      descriptor = next
    } catch (cause) {
      closeSync(descriptor)
      throw new BelladonnaError('path_refused', `${JSON.stringify(walked)} ${whyNot(cause)}`, {
        cause,
      })
    }
  }
  return descriptor
}

/**
 * Opens for reading what a descriptor of `walkBeneath` stands for, a regular file: the same one, whatever is at its path.
 *
 * Never waits: whoever owns a file can hold a lease on it (fcntl(2), F_SETLEASE), which keeps an open(2) for 45 s.
 *
 * @param shownAs its path
 * @throws {BelladonnaError} `path_refused`
 */
export function openAnew(descriptor: number, shownAs: string): number {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  try {
    return openSync(`/proc/self/fd/${descriptor}`, flags)
  } catch (cause) {
    const held = isCode(cause, 'EAGAIN') ? ': somebody holds a lease on it' : ''
    const message = `${JSON.stringify(shownAs)} cannot be read${held}`
    throw new BelladonnaError('path_refused', message, { cause })
  }
}

/** The components of a clean path. */
export function partsOf(path: string): readonly string[] {
  return path.split('/').filter((part) => part !== '')
}

function whyNot(cause: unknown): string {
  if (isCode(cause, 'ENOENT')) return 'is not there'
  if (isCode(cause, 'ELOOP') || isCode(cause, 'ENOTDIR')) return 'is a link, or no directory'
  return 'cannot be opened'
}
