import { BelladonnaError } from '../core/error.ts'
import { formatPrintable } from '../core/audit/printable.ts'
import { signedSize } from '../core/audit/signed-size.ts'
import { findStories } from '../core/audit/story.ts'
import type { StorySelector } from '../core/audit/story.ts'
import type { VerifyReport } from '../core/audit/verify-report.ts'
import { openLogSource, verifyDirectory } from '../host/read-log.ts'
import type { LogSource, OnEntry } from '../host/read-log.ts'
import { describeStory, storyJson } from './audit-story.ts'

/** What both commands take. */
export type AuditOptions = Readonly<{
  /** A bridge's root, its `var/lib/belladonna`, or a copy of that. */
  directory: string
  /** The directory was named, so it may be a copy; otherwise it is the bridge's own. */
  isCopy?: boolean
  json: boolean
  /** A verifier key from elsewhere. Without it the one in the directory is believed. */
  key?: string
  /** Called while a long log is read, for a progress bar. */
  onEntry?: OnEntry
}>

const nothingThere = 75

/**
 * `belladonna audit verify`: verifies log, receipts and checkpoint.
 *
 * @returns the exit status: 0 verified, 1 something is wrong, 75 nothing is there
 */
export async function auditVerify(
  options: AuditOptions,
  print: (line: string) => void,
): Promise<number> {
  const { directory, key, isCopy = false, onEntry } = options
  const report = await verifyDirectory(directory, { vkey: key, isCopy, onEntry })
  if (report === undefined) return printNothing(options, print)
  if (options.json) print(formatPrintable(JSON.stringify(report)))
  else for (const line of describeReport(report, key !== undefined)) print(line)
  return report.ok ? 0 : 1
}

/**
 * `belladonna audit show`: tells what the log has of one request, or of the last ones.
 *
 * @param wanted an entry's index, the beginning of an action digest, or `{ last: N }`
 * @returns the exit status: 0 shown, 1 no such request, 75 nothing is there
 */
export function auditShow(
  options: AuditOptions,
  wanted: string | Readonly<{ last: number }>,
  print: (line: string) => void,
): number {
  const selector = parseSelector(wanted)
  const source = openLogSource(options.directory, options.key)
  if (source === undefined) return printNothing(options, print)
  const signed = signedSizeOf(source)
  const stories = findStories(source.entries, selector)
  if (options.json) {
    const shown = stories.map((story) => storyJson(story, signed, source.key))
    print(formatPrintable(JSON.stringify({ signed_size: signed, stories: shown })))
  } else {
    stories.forEach((story, at) => {
      if (at > 0) print('')
      for (const line of describeStory(story, signed, source.key)) print(line)
    })
    if (stories.length === 0) print('no such request in the log')
  }
  return stories.length === 0 ? 1 : 0
}

/**
 * What `audit show` was asked for: digits are an index, other hexadecimal digits (or any after `sha256:`) the beginning
 * of an action digest.
 *
 * @throws {BelladonnaError} `usage`
 */
export function parseSelector(wanted: string | Readonly<{ last: number }>): StorySelector {
  if (typeof wanted !== 'string') {
    if (Number.isSafeInteger(wanted.last) && wanted.last > 0 && wanted.last <= 10_000) {
      return { kind: 'last', count: wanted.last }
    }
    throw new BelladonnaError('usage', '--last: expected a number from 1 to 10000')
  }
  if (/^[0-9]{1,15}$/.test(wanted)) return { kind: 'index', index: Number(wanted) }
  const digest = /^(?:sha256:)?([0-9a-f]{6,64})$/.exec(wanted)?.[1]
  if (digest !== undefined) return { kind: 'digest', prefix: digest }
  throw new BelladonnaError(
    'usage',
    `${formatPrintable(JSON.stringify(wanted))}: expected an entry's index or at least six digits of an action digest`,
  )
}

function signedSizeOf({ checkpoint, entries, key }: LogSource): number {
  try {
    return checkpoint === null ? 0 : signedSize(entries(), checkpoint, key)
  } catch (error) {
    // Shown as unsigned; what is wrong with the checkpoint is for `audit verify` to say.
    if (error instanceof BelladonnaError) return 0
    throw error
  }
}

function describeReport(report: VerifyReport, hasOwnKey: boolean): readonly string[] {
  const { entries, signed_size, receipts, signed_receipts, pending, problem_count } = report
  const from = hasOwnKey
    ? 'as given'
    : 'from the same directory: compare it with one from elsewhere'
  return [
    `entries   ${entries}, of them ${signed_size} signed`,
    `receipts  ${receipts}, of them ${signed_receipts} signed`,
    `running   ${pending}`,
    ...describeRecordings(report),
    `key       ${formatPrintable(report.key)} (${from})`,
    ...describeTail(report),
    ...report.problems.map(({ code, index, message }) => {
      const place = index === null ? '' : `entry ${index}: `
      return `problem   ${place}${formatPrintable(message)} (${code})`
    }),
    problem_count === 0
      ? 'verified'
      : `FAILED: ${problem_count} problem${problem_count > 1 ? 's' : ''}`,
  ]
}

function describeRecordings({
  recordings,
  recordings_missing: missing,
}: VerifyReport): readonly string[] {
  if (recordings === 0) return []
  return [`recorded  ${recordings}${missing === 0 ? '' : `, of them ${missing} not here`}`]
}

/** What lies behind the signed part and does not fit together, without being wrong. */
function describeTail(report: VerifyReport): readonly string[] {
  const { unentered_receipts: unentered, receipts_ahead: ahead, tail_damage: damage } = report
  return [
    ...(unentered === 0
      ? []
      : [`tail      ${unentered} of the last receipts without an entry yet`]),
    ...(ahead === 0
      ? []
      : [`tail      ${ahead} of the last entries with a receipt that only they have`]),
    ...(damage === null
      ? []
      : [`tail      ends where it cannot be read: ${formatPrintable(damage)}`]),
  ]
}

function printNothing({ directory, json }: AuditOptions, print: (line: string) => void): number {
  const message = `no log below ${formatPrintable(JSON.stringify(directory))}`
  print(json ? JSON.stringify({ ok: false, error: message }) : message)
  return nothingThere
}
