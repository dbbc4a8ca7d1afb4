import { closeSync, constants, openSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { BelladonnaError } from '../core/error.ts'
import { quote } from '../core/toml/problem.ts'
import { walkDirectory } from './directory.ts'
import { maxTomlBytes } from './toml-tree.ts'
import { readTrustedFile } from './trusted-file.ts'

/** A policy file as it was found: `file` is its path as the caller wrote it. */
export type PolicyText = Readonly<{ file: string; text: string }>

/** Most files of one policy. */
export const maxPolicyFiles: number = 256

/**
 * Reads a policy: one file, or the `*.toml` of a directory in lexical order. All of them or none.
 *
 * Trusted once read: each directory on the way is walked by descriptor, and each file checked on its own, so nobody but
 * root (and `uid`) can have written what is returned.
 *
 * @param uid the caller's own; null reads anybody's files, for `belladonna policy check`
 * @throws {BelladonnaError} `policy_unreadable`, or `path_unsafe` for a directory
 */
export function readPolicySource(path: string, uid: number | null): readonly PolicyText[] {
  const directory = isDirectory(path) ? path : dirname(path)
  const descriptor = openDirectory(resolve(directory), uid)
  try {
    const names = directory === path ? listFiles(descriptor, path) : [basename(path)]
    return names.map((name) => {
      const file = directory === path ? `${path.replace(/\/+$/, '')}/${name}` : path
      const through = `/proc/self/fd/${descriptor}/${name}`
      return { file, text: readTrustedFile(through, uid, maxTomlBytes, file) }
    })
  } finally {
    closeSync(descriptor)
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (cause) {
    throw new BelladonnaError('policy_unreadable', `open ${quote(path)}`, { cause })
  }
}

function openDirectory(path: string, uid: number | null): number {
  if (uid !== null) return walkDirectory(path, uid)
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    throw new BelladonnaError('policy_unreadable', `open ${quote(path)}`, { cause })
  }
}

function listFiles(descriptor: number, path: string): readonly string[] {
  // By UTF-16 code units, as in each locale; hidden files are editors' and ours.
  const names = readdirSync(`/proc/self/fd/${descriptor}`)
    .filter((name) => name.endsWith('.toml') && !name.startsWith('.'))
    .sort()
  if (names.length === 0) throw unreadable(path, 'no *.toml in it')
  if (names.length > maxPolicyFiles) throw unreadable(path, `more than ${maxPolicyFiles} files`)
  return names
}

function unreadable(path: string, what: string): BelladonnaError {
  return new BelladonnaError('policy_unreadable', `${quote(path)}: ${what}`)
}
