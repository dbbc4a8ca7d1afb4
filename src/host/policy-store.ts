import { closeSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { checkPlans } from '../core/policy/check-plans.ts'
import { maxCompiledBytes, parseCompiledPolicy } from '../core/policy/compiled-parse.ts'
import { policyDigest } from '../core/policy/compiled.ts'
import { indexPolicy } from '../core/policy/policy-index.ts'
import type { UnusablePolicy, UsablePolicy } from '../core/policy/reload.ts'
import { isCode, walkDirectory } from './directory.ts'
import { replaceFile } from './durable-file.ts'
import { ownUid } from './own-uid.ts'
import { readTrustedFile } from './trusted-file.ts'

/** The installed policy's name in its directory. */
const policyFileName = 'policy.json'

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
  try {
    return { text: readInstalledText(directory, uid) }
  } catch (error) {
    if (!(error instanceof BelladonnaError && isCode(error.cause, 'ENOENT'))) throw error
    const what = 'no policy is installed: `belladonna policy install`'
    throw new BelladonnaError('policy_unreadable', what)
  }
}

function readInstalledText(directory: string, uid: number): string {
  const descriptor = walkDirectory(directory, uid)
  try {
    const through = `/proc/self/fd/${descriptor}/${policyFileName}`
    const shownAs = `${directory}/${policyFileName}`
    return readTrustedFile(through, uid, maxCompiledBytes, shownAs)
  } finally {
    closeSync(descriptor)
  }
}

/**
 * The installed policy, read and checked as a whole.
 *
 * @throws {BelladonnaError} `policy_unreadable`, `path_unsafe`, `input_invalid`
 */
export function openInstalledPolicy(directory: string): UsablePolicy {
  const policy = parseCompiledPolicy(loadInstalledPolicy(directory).text)
  checkPlans(policy)
  return { kind: 'policy', digest: policyDigest(policy), policy, index: indexPolicy(policy) }
}

/** The same while another one is in force: whatever is wrong with it, that one stays. */
export function tryInstalledPolicy(directory: string): UsablePolicy | UnusablePolicy {
  try {
    return openInstalledPolicy(directory)
  } catch (error) {
    return { kind: 'unusable', why: whyOf(error).slice(0, maxWhyLength) }
  }
}

const maxWhyLength = 500

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const text = error.cause === undefined ? error.message : `${error.message}: ${whyOf(error.cause)}`
  return text.replace(/[\p{Cc}\p{Cs}]/gu, ' ') || error.name
}
