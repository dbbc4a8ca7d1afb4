import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { BelladonnaError } from '../core/error.ts'
import type { ConfigurationFacts } from '../core/configuration/configuration.ts'
import { isServiceId } from './broker-identity.ts'
import { cgroupsBelow } from './cgroup.ts'
import { isCode, walkDirectory } from './directory.ts'
import { readTable, systemPlaces } from './reserved-id.ts'
import { maxTomlBytes } from './toml-tree.ts'
import { readTrustedFile } from './trusted-file.ts'

/**
 * The text of a configuration, or undefined when there is no such file.
 *
 * Trusted once read: like a policy's source it is root's (or of `uid`), in directories that nobody else may write, checked on the
 * open descriptors.
 *
 * @param uid the caller's own; null reads anybody's file, for checks that change nothing
 * @throws {BelladonnaError} `configuration_invalid`
 */
export function readConfigurationText(path: string, uid: number | null): string | undefined {
  try {
    const directory = openDirectory(resolve(dirname(path)), uid)
    try {
      const through = `/proc/self/fd/${directory}/${basename(path)}`
      return readTrustedFile(through, uid, maxTomlBytes, path)
    } finally {
      closeSync(directory)
    }
  } catch (error) {
    if (error instanceof Error && isCode(error.cause, 'ENOENT')) return undefined
    if (!(error instanceof BelladonnaError)) throw error
    throw new BelladonnaError('configuration_invalid', 'read the configuration', { cause: error })
  }
}

function openDirectory(path: string, uid: number | null): number {
  if (uid !== null) return walkDirectory(path, uid)
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    throw new BelladonnaError('configuration_invalid', `open ${JSON.stringify(path)}`, { cause })
  }
}

/** What a configuration may name on this host. */
export function readConfigurationFacts(): ConfigurationFacts {
  const users = readTable(systemPlaces.passwd)
    .filter((fields) => isServiceId(Number(fields[2])) && isServiceId(Number(fields[3])))
    .map(([name = '']) => name)
  return {
    users: new Set(users),
    hasCgroup: (path) => {
      const places = Object.values(cgroupsBelow(path)).filter((place) => place !== '')
      return places.length > 0 && places.every((place) => existsSync(place))
    },
  }
}
