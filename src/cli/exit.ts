import { formatPrintable } from '../core/audit/printable.ts'
import { BelladonnaError } from '../core/error.ts'
import type { ErrorCode } from '../core/error.ts'

/** Exit status of `belladonna` for each error, after sysexits.h where it has a word for it (docs/reference/exit-status.md). */
export const exitStatuses: Readonly<Record<ErrorCode, number>> = {
  input_invalid: 1,
  usage: 2,
  policy_invalid: 78,
  configuration_invalid: 78,
  policy_unreadable: 78,
  frame_invalid: 1,
  path_unsafe: 77,
  path_refused: 77,
  log_corrupt: 1,
  log_failed: 1,
  state_invalid: 1,
  host_unsupported: 1,
  start_failed: 1,
  daemon_away: 75,
  output_failed: 1,
}

/** Exit status of `check` for each decision. */
export const decisionStatuses = { permit: 0, ask: 3, deny: 4 } as const

/** Prints what went wrong, with the chain of causes, and returns the exit status. An error that is not ours is a bug. */
export function reportError(error: unknown, print: (line: string) => void): number {
  if (!(error instanceof BelladonnaError)) throw error
  // The system's own words hold names of files as they are.
  print(formatPrintable(`belladonna: ${error.message}${causesOf(error)} (${error.code})`))
  return exitStatuses[error.code]
}

/** The same for a program: one JSON object, for standard output. */
export function formatError(error: BelladonnaError): string {
  const status = exitStatuses[error.code]
  const message = `${error.message}${causesOf(error)}`
  return JSON.stringify({ kind: 'error', code: error.code, status, message })
}

function causesOf(error: Error): string {
  const { cause } = error
  return cause instanceof Error ? `: ${cause.message}${causesOf(cause)}` : ''
}
