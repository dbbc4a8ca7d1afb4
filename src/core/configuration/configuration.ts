import type { PolicyProblem } from '../toml/problem.ts'
import { openFields, openReport, readInteger } from '../toml/reader.ts'
import type { Fields, Read, Report } from '../toml/reader.ts'
import type { TomlTable } from '../toml/tree.ts'
import { quote } from '../toml/problem.ts'
import { suggestionFor } from '../toml/suggestion.ts'
import { configurationKeys as keys } from './keys.ts'
import type { ConfigurationKey } from './keys.ts'
import { withoutRemovedKeys } from './removed-keys.ts'

/** What a bridge is started with. */
export type Configuration = Readonly<{
  /** null: the user belladonna, else the reserved id. */
  brokerUser: string | null
  /** null: the caller's own. */
  cgroupParent: string | null
  perUser: number
  prepared: number
  recordWithinMs: number
  statusClients: number
  outcomeDelayMs: number
  signEveryMs: number
  spaceAheadBytes: number
  /** null: `etc/belladonna/policy.d` below the root. */
  policySource: string | null
}>

/** What a host says of names in its configuration. */
export type ConfigurationFacts = Readonly<{
  /** Users of /etc/passwd that a service can run as. */
  users: ReadonlySet<string>
  hasCgroup: (path: string) => boolean
}>

/** A setting as `config check` shows it. */
export type ShownSetting = Readonly<{ key: string; value: string; isDefault: boolean }>

export type ConfigurationResult =
  | Readonly<{
      kind: 'valid'
      configuration: Configuration
      settings: readonly ShownSetting[]
    }>
  | Readonly<{ kind: 'invalid'; problems: readonly PolicyProblem[] }>

/** What holds without a file. */
export const defaultConfiguration: Configuration = {
  brokerUser: keys.brokerUser.fallback,
  cgroupParent: keys.cgroupParent.fallback,
  perUser: keys.perUser.fallback,
  prepared: keys.prepared.fallback,
  recordWithinMs: keys.recordWithinMs.fallback,
  statusClients: keys.statusClients.fallback,
  outcomeDelayMs: keys.outcomeDelayMs.fallback,
  signEveryMs: keys.signEveryMs.fallback,
  spaceAheadBytes: keys.spaceAheadBytes.fallback,
  policySource: keys.policySource.fallback,
}

/**
 * Reads a configuration, or everything that is wrong with it: unknown keys, removed ones, and values that this host does not
 * have (ABUSE C17).
 */
export function readConfiguration(tree: TomlTable, facts: ConfigurationFacts): ConfigurationResult {
  const report = openReport()
  const tables = openTables(report, withoutRemovedKeys(report, tree))
  if (tables === null) return { kind: 'invalid', problems: report.list() }
  const settings: ShownSetting[] = []
  const take = <T>(key: ConfigurationKey<T>, read: Read<T> = key.read): T => {
    const fields = tables.get(key.table)
    const value = fields === undefined ? key.fallback : fields.read(key.name, read, key.fallback)
    const isDefault = fields?.has(key.name) !== true
    settings.push({ key: `${key.table}.${key.name}`, value: key.show(value), isDefault })
    return value
  }
  const configuration: Configuration = {
    brokerUser: take(keys.brokerUser, readUser(facts)),
    cgroupParent: take(keys.cgroupParent, readCgroup(facts)),
    perUser: take(keys.perUser),
    prepared: take(keys.prepared),
    recordWithinMs: take(keys.recordWithinMs),
    statusClients: take(keys.statusClients),
    outcomeDelayMs: take(keys.outcomeDelayMs),
    signEveryMs: take(keys.signEveryMs),
    spaceAheadBytes: take(keys.spaceAheadBytes),
    policySource: take(keys.policySource),
  }
  const problems = report.list()
  return problems.length > 0
    ? { kind: 'invalid', problems }
    : { kind: 'valid', configuration, settings }
}

const tableNames = [...new Set(Object.values(keys).map(({ table }) => table))]

/** The tables that are there, by name; null for a file of another schema, which may mean anything. */
function openTables(report: Report, tree: TomlTable): ReadonlyMap<string, Fields> | null {
  const ours = openFields(openReport(), tree, { required: [], optional: ['schema'] })
  if (ours.read('schema', readInteger(0, Number.MAX_SAFE_INTEGER), 0) !== 1) {
    report.add(ours.place('schema'), 'schema_unsupported', 'expected `schema = 1`')
    return null
  }
  openFields(report, tree, { required: [], optional: ['schema', ...tableNames] })
  return new Map(
    tree.value
      .filter(({ key }) => tableNames.includes(key.value))
      .map(({ key, node }) => {
        const names = Object.values(keys).filter(({ table }) => table === key.value)
        const optional = names.map(({ name }) => name)
        return [key.value, openFields(report, node, { required: [], optional })]
      }),
  )
}

function readUser({ users }: ConfigurationFacts): Read<string | null> {
  return (report, node) => {
    const name = keys.brokerUser.read(report, node)
    if (name === null || users.has(name)) return name
    const message = `no user ${quote(name)} that a service can run as`
    return report.add(node, 'account_unknown', message, suggestionFor(name, users))
  }
}

function readCgroup({ hasCgroup }: ConfigurationFacts): Read<string | null> {
  return (report, node) => {
    const path = keys.cgroupParent.read(report, node)
    if (path === null || hasCgroup(path)) return path
    const message = `no cgroup ${quote(path)} in each hierarchy that the bridge uses`
    return report.add(node, 'path_missing', message)
  }
}
