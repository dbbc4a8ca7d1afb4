import { readConfiguration, defaultConfiguration } from '../core/configuration/configuration.ts'
import type { Configuration, ConfigurationResult } from '../core/configuration/configuration.ts'
import { BelladonnaError } from '../core/error.ts'
import type { PolicyProblem } from '../core/toml/problem.ts'
import { readConfigurationFacts, readConfigurationText } from '../host/configuration-file.ts'
import { bridgePaths } from '../host/layout.ts'
import { ownUid } from '../host/own-uid.ts'
import { parseTomlTree, readTomlTree } from '../host/toml-tree.ts'
import { exitStatuses } from './exit.ts'
import { printProblems } from './output.ts'
import type { Output } from './output.ts'

/** Options of `config check`. Without `file` it is `etc/belladonna/belladonna.toml` below `root`. */
export type ConfigCheckOptions = Readonly<{
  root: string
  file: string | undefined
  json: boolean
}>

/** Checks one text. `file` is its name in messages. */
export function checkConfiguration(file: string, text: string): ConfigurationResult {
  const reading = readTomlTree(file, text)
  if (reading.kind === 'invalid') return { kind: 'invalid', problems: [reading.problem] }
  return readConfiguration(reading.tree, readConfigurationFacts())
}

/**
 * The configuration that a bridge below `root` starts with; defaults where there is no file.
 *
 * @throws {BelladonnaError} `configuration_invalid`, after all problems were shown
 */
export function loadConfiguration(root: string, complain: (line: string) => void): Configuration {
  const file = bridgePaths(root).configuration
  const text = readConfigurationText(file, ownUid())
  if (text === undefined) return defaultConfiguration
  const result = checkConfiguration(file, text)
  if (result.kind === 'valid') return result.configuration
  printProblems(result.problems, complain)
  throw new BelladonnaError('configuration_invalid', countOf(result.problems))
}

/**
 * `belladonna config check`: every error of a configuration, or what each key comes to. A file that is named may be anybody's;
 * the host's own must be as `up` wants it. Returns the exit status.
 *
 * @throws {BelladonnaError} `configuration_invalid`
 */
export function configCheck(
  { root, file, json }: ConfigCheckOptions,
  { print, complain }: Output,
): number {
  const path = file ?? bridgePaths(root).configuration
  const uid = file === undefined ? ownUid() : null
  const text = readConfigurationText(path, uid)
  if (text === undefined && file !== undefined) {
    throw new BelladonnaError('configuration_invalid', `no file ${JSON.stringify(file)}`)
  }
  const result =
    text === undefined
      ? readConfiguration(parseTomlTree(path, 'schema = 1\n'), readConfigurationFacts())
      : checkConfiguration(path, text)
  if (json) print(JSON.stringify(jsonOf(result, text === undefined ? null : path)))
  else if (result.kind === 'invalid') {
    printProblems(result.problems, complain)
    complain(`belladonna: ${countOf(result.problems)}`)
  } else {
    print(text === undefined ? `no file ${path}, so all is as without one` : `valid: ${path}`)
    for (const { key, value, isDefault } of result.settings) {
      print(`${key} = ${value}${isDefault ? ' (default)' : ''}`)
    }
  }
  return result.kind === 'valid' ? 0 : exitStatuses.configuration_invalid
}

function jsonOf(result: ConfigurationResult, file: string | null): object {
  if (result.kind === 'invalid') return { ...result, file }
  const settings = result.settings.map(({ key, value, isDefault }) => ({
    ...{ key, value },
    default: isDefault,
  }))
  return { kind: 'valid', file, settings }
}

function countOf(problems: readonly PolicyProblem[]): string {
  return `${problems.length} problem(s) in the configuration, so nothing of it is used`
}
