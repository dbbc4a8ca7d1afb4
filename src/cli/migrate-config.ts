import { escapeUnprintable } from '../core/audit/entry-format.ts'
import { applyEdits, formatDifference } from '../core/configuration/edits.ts'
import { planMigration } from '../core/configuration/migration.ts'
import { BelladonnaError } from '../core/error.ts'
import { readConfigurationText } from '../host/configuration-file.ts'
import { ownUid } from '../host/own-uid.ts'
import { rewriteFile } from '../host/rewrite-file.ts'
import { findTomlSpans } from '../host/toml-spans.ts'
import { readTomlTree } from '../host/toml-tree.ts'
import { checkConfiguration } from './configuration.ts'
import { exitStatuses } from './exit.ts'
import { printProblems } from './output.ts'
import type { Output } from './output.ts'

/**
 * `belladonna dev migrate-config`: shows how an old configuration becomes one of this version, as a unified difference, and with
 * `write` makes it so. What would still not be valid is shown and not written. Returns the exit status.
 *
 * @throws {BelladonnaError} `configuration_invalid`, `path_unsafe`
 */
export function migrateConfig(
  { file, write }: Readonly<{ file: string; write: boolean }>,
  { print, complain }: Output,
): number {
  const uid = ownUid()
  const whole = readConfigurationText(file, write ? uid : null)
  if (whole === undefined) {
    throw new BelladonnaError('configuration_invalid', `no file ${JSON.stringify(file)}`)
  }
  const mark = /^\ufeff/.exec(whole)?.[0] ?? ''
  const text = whole.slice(mark.length)
  const reading = readTomlTree(file, text)
  if (reading.kind === 'invalid') {
    printProblems([reading.problem], complain)
    return exitStatuses.configuration_invalid
  }
  const { edits, reasons } = planMigration(text, findTomlSpans(text))
  if (edits.length === 0) {
    complain(`belladonna: ${file} has nothing to migrate`)
    return 0
  }
  const difference = formatDifference({ old: file, new: file }, text, edits)
  print(escapeUnprintable(difference).trimEnd())
  for (const reason of reasons) complain(`belladonna: removed ${reason}`)
  const migrated = applyEdits(text, edits)
  const result = checkConfiguration(`${file} (migrated)`, migrated)
  if (result.kind === 'invalid') {
    printProblems(result.problems, complain)
    complain(
      `belladonna: ${result.problems.length} problem(s) are left for you; nothing was written`,
    )
    return exitStatuses.configuration_invalid
  }
  if (write)
    complain(`belladonna: written; the old one is ${rewriteFile(file, mark + migrated, uid)}`)
  return 0
}
