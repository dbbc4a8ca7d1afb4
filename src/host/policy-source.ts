import { closeSync, constants, openSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { walkDirectory } from './directory.ts'
import { maxTomlBytes } from './toml-tree.ts'
import { readTrustedText, whyNot } from './trusted-file.ts'
import type { TrustedText } from './trusted-file.ts'

/** A policy file as it was found: `file` is its path as the caller wrote it. */
export type PolicyText = Readonly<{ file: string; reading: TrustedText }>

/** Most files of one policy. */
export const maxPolicyFiles: number = 256

/**
 * Reads a policy: one file, or the `*.toml` of a directory in lexical order. What is wrong with one hides no other.
 *
 * Trusted once read: each directory on the way is walked by descriptor, and each file checked on its own, so nobody but
 * root (and `uid`) can have written what is returned.
 *
 * @param uid the caller's own; null reads anybody's files, for `belladonna policy check`
 * @throws {BelladonnaError} `path_unsafe` for a directory on the way
 */
export function readPolicySource(path: string, uid: number | null): readonly PolicyText[] {
  const directory = isDirectory(path) ? path : dirname(path)
  const descriptor = openDirectory(resolve(directory), uid)
  if (typeof descriptor === 'string') return [unreadable(path, descriptor)]
  try {
    const names = directory === path ? listFiles(descriptor) : [basename(path)]
    if (typeof names === 'string') return [unreadable(path, names)]
    return names.map((name) => {
      const file = directory === path ? `${path.replace(/\/+$/, '')}/${name}` : path
      const through = `/proc/self/fd/${descriptor}/${name}`
      return { file, reading: readTrustedText(through, uid, maxTomlBytes) }
    })
  } finally {
    closeSync(descriptor)
  }
}

/** What is not there is taken for a file, and is reported as one that cannot be opened. */
function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

/** A descriptor, or why there is none. */
function openDirectory(path: string, uid: number | null): number | string {
  if (uid !== null) return walkDirectory(path, uid)
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    return whyNot(error)
  }
}

/** The names of the files of a policy, or why it has none. */
function listFiles(descriptor: number): readonly string[] | string {
  // By UTF-16 code units, as in each locale; hidden files are editors' and ours.
  const names = readdirSync(`/proc/self/fd/${descriptor}`)
    .filter((name) => name.endsWith('.toml') && !name.startsWith('.'))
    .sort()
  if (names.length === 0) return 'no *.toml in it'
  return names.length > maxPolicyFiles ? `more than ${maxPolicyFiles} files` : names
}

function unreadable(file: string, what: string): PolicyText {
  return { file, reading: { kind: 'fault', what } }
}
