import { closeSync } from 'node:fs'
import { maxCompiledBytes } from '../core/policy/compiled-parse.ts'
import { walkDirectory } from './directory.ts'
import { replaceFile } from './durable-file.ts'
import { readTrustedFile } from './trusted-file.ts'

/** The installed policy's name in its directory. */
export const policyFileName: string = 'policy.json'

/** An installed policy: canonical JSON for `parseCompiledPolicy`, which is to be called before anything is believed. */
export type InstalledPolicy = Readonly<{ text: string }>

/**
 * Puts a compiled policy in place, so that after a crash either the old or the new one is there, whole.
 *
 * Trusted: the directory is walked by descriptor, so only root (or `uid`) can have put it there.
 *
 * @param directory `var/lib/belladonna/policy`
 * @throws {BelladonnaError} `path_unsafe`
 */
export function installPolicy(directory: string, text: string, uid: number = ownUid()): void {
  const descriptor = walkDirectory(directory, uid)
  try {
    replaceFile(
      `/proc/self/fd/${descriptor}`,
      policyFileName,
      new TextEncoder().encode(text),
      0o644,
    )
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Reads the installed policy: a file of root (or of `uid`) in a directory where only they can have put it.
 *
 * @throws {BelladonnaError} `policy_unreadable`, also when there is none; `path_unsafe`
 */
export function loadInstalledPolicy(directory: string, uid: number = ownUid()): InstalledPolicy {
  const descriptor = walkDirectory(directory, uid)
  try {
    const through = `/proc/self/fd/${descriptor}/${policyFileName}`
    const shownAs = `${directory}/${policyFileName}`
    return { text: readTrustedFile(through, uid, maxCompiledBytes, shownAs) }
  } finally {
    closeSync(descriptor)
  }
}

function ownUid(): number {
  return process.geteuid?.() ?? 0
}
