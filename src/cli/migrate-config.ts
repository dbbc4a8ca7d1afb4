import { escapeUnprintable } from '../core/audit/entry-format.ts'
import { applyEdits, formatDifference } from '../core/configuration/edits.ts'
import { planMigration } from '../core/configuration/migration.ts'
import { BelladonnaError } from '../core/error.ts'
import type { PolicyProblem } from '../core/toml/problem.ts'
import { readConfigurationText } from '../host/configuration-file.ts'
import { bridgePaths } from '../host/layout.ts'
import { ownUid } from '../host/own-uid.ts'
import { rewriteFile } from '../host/rewrite-file.ts'
import { findTomlSpans } from '../host/toml-spans.ts'
import { readTomlTree } from '../host/toml-tree.ts'
import { checkConfiguration } from './configuration.ts'
import { exitStatuses } from './exit.ts'
import { printProblems } from './output.ts'
import type { Output } from './output.ts'

/** Without `file` it is `etc/belladonna/belladonna.toml` below `root`. */
export type MigrateOptions = Readonly<{
  root: string
  file: string | undefined
  write: boolean
  json: boolean
}>

/** What came of it; printed as JSON. `difference` is null where there is nothing to migrate. */
type Migration = Readonly<{
  kind: 'shown' | 'written' | 'unchanged' | 'invalid'
  file: string
  difference: string | null
  removed: readonly string[]
  backup: string | null
  problems: readonly PolicyProblem[]
}>

/**
 * `belladonna dev migrate-config`: shows how an old configuration becomes one of this version, as a unified difference, and with
 * `write` makes it so. What would still not be valid is shown and not written. Returns the exit status.
 *
 * @throws {BelladonnaError} `configuration_invalid`, `path_unsafe`
 */
export function migrateConfig(options: MigrateOptions, output: Output): number {
  const file = options.file ?? bridgePaths(options.root).configuration
  const migration = migrate(file, options.write)
  if (options.json) output.print(JSON.stringify(migration))
  else describe(migration, output)
  return migration.kind === 'invalid' ? exitStatuses.configuration_invalid : 0
}

function migrate(file: string, write: boolean): Migration {
  const uid = ownUid()
  const whole = readConfigurationText(file, write ? uid : null)
  if (whole === undefined) {
    throw new BelladonnaError('configuration_invalid', `no file ${JSON.stringify(file)}`)
  }
  const mark = /^\ufeff/.exec(whole)?.[0] ?? ''
  const text = whole.slice(mark.length)
  const nothing: Migration = {
    ...{ kind: 'unchanged', file, difference: null },
    ...{ removed: [], backup: null, problems: [] },
  }
  const reading = readTomlTree(file, text)
  if (reading.kind === 'invalid')
    return { ...nothing, kind: 'invalid', problems: [reading.problem] }
  const { edits, reasons: removed } = planMigration(text, findTomlSpans(text))
  if (edits.length === 0) return nothing
  const difference = formatDifference({ old: file, new: file }, text, edits)
  const migrated = applyEdits(text, edits)
  const result = checkConfiguration(`${file} (migrated)`, migrated)
  const found = { ...nothing, difference, removed }
  if (result.kind === 'invalid') return { ...found, kind: 'invalid', problems: result.problems }
  if (!write) return { ...found, kind: 'shown' }
  return { ...found, kind: 'written', backup: rewriteFile(file, mark + migrated, uid) }
}

function describe(migration: Migration, { print, complain }: Output): void {
  const { kind, file, difference, removed, backup, problems } = migration
  if (kind === 'unchanged') complain(`belladonna: ${file} has nothing to migrate`)
  if (difference !== null) print(escapeUnprintable(difference).trimEnd())
  for (const reason of removed) complain(`belladonna: removed ${reason}`)
  printProblems(problems, complain)
  if (kind === 'invalid' && difference !== null) {
    complain(`belladonna: ${problems.length} problem(s) are left for you; nothing was written`)
  }
  if (backup !== null) complain(`belladonna: written; the old one is ${backup}`)
}
