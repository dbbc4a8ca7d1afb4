import { formatCanonicalJson } from '../json/canonical.ts'
import { integerWithin, recordOf } from '../json/shape.ts'
import type { Shape } from '../json/shape.ts'
import { parseStrictJson } from '../json/strict.ts'
import type { Configuration } from './configuration.ts'

/** What broker and executor obey of the configuration: numbers, given to both as one argument. Neither reads TOML. */
export type DaemonSettings = Pick<
  Configuration,
  | 'prepared'
  | 'recordWithinMs'
  | 'statusClients'
  | 'outcomeDelayMs'
  | 'signEveryMs'
  | 'spaceAheadBytes'
>

const number = integerWithin(0, Number.MAX_SAFE_INTEGER)
const settings: Shape<DaemonSettings> = recordOf(({ take }) => ({
  prepared: take('prepared', number),
  recordWithinMs: take('record_within_ms', number),
  statusClients: take('status_clients', number),
  outcomeDelayMs: take('outcome_delay_ms', number),
  signEveryMs: take('sign_every_ms', number),
  spaceAheadBytes: take('space_ahead_bytes', number),
}))

export function formatDaemonSettings(of: DaemonSettings): string {
  return formatCanonicalJson({
    prepared: of.prepared,
    record_within_ms: of.recordWithinMs,
    status_clients: of.statusClients,
    outcome_delay_ms: of.outcomeDelayMs,
    sign_every_ms: of.signEveryMs,
    space_ahead_bytes: of.spaceAheadBytes,
  })
}

/**
 * Trusted: who starts a service wrote it.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseDaemonSettings(text: string): DaemonSettings {
  return settings(parseStrictJson(text), 'settings')
}
