import {
  anyBoolean,
  anyString,
  guarded,
  integerWithin,
  listOf,
  mapOf,
  oneOf,
  orNull,
  stringWhere,
} from '../json/shape.ts'
import type { Shape } from '../json/shape.ts'
import { hexDigits } from './hex-shape.ts'
import type { RefusalCode } from '../refusal.ts'
import type {
  End,
  LimitState,
  OutcomeOutput,
  PolicyEntry,
  PolicyTrust,
  RecoveredEntry,
  Recording,
} from './entry.ts'

// A record, so that the compiler misses none of the union.
const refusalCodes: Readonly<Record<RefusalCode, true>> = {
  request_malformed: true,
  subject_unmapped: true,
  subject_foreign_namespace: true,
  action_unknown: true,
  not_granted: true,
  grant_expired: true,
  grant_used_up: true,
  rate_limited: true,
  parameter_missing: true,
  parameter_unknown: true,
  parameter_duplicate: true,
  parameter_invalid: true,
  reason_required: true,
  approval_required: true,
  nonce_unsupported: true,
  stdio_not_accepted: true,
  input_mismatch: true,
  input_too_large: true,
  stdin_unbound: true,
  executable_unsafe: true,
  path_refused: true,
  disagreement: true,
  not_recorded: true,
  log_full: true,
  busy: true,
  unavailable: true,
}

/** Whether `value` is a code with which a request can be refused. */
export function isRefusalCode(value: unknown): value is RefusalCode {
  return typeof value === 'string' && Object.hasOwn(refusalCodes, value)
}

/** The last instant that a calendar date can show, in milliseconds since 1970. @see ECMA-262, "Time Values" */
const maxTimeMs = 8_640_000_000_000_000
const feature = stringWhere((text) => /^[a-z][a-z0-9_]{0,63}$/.test(text), 'a feature')
const id: Shape<number> = integerWithin(0, 0xffff_ffff)

/**
 * The form of each scalar and list of an entry. Reading and writing check with the same ones, so that nothing is written
 * that could not be read.
 */
export const entryShape: Readonly<{
  action: Shape<string | null>
  boolean: Shape<boolean>
  code: Shape<RefusalCode>
  count: Shape<number>
  decision: Shape<'permit'>
  digest: Shape<string>
  endKind: Shape<End['kind']>
  feature: Shape<string>
  features: Shape<readonly string[]>
  id: Shape<number>
  ids: Shape<readonly number[]>
  index: Shape<number | null>
  limit: Shape<LimitState>
  output: Shape<OutcomeOutput['kind']>
  policy: Shape<PolicyTrust>
  recordingFormat: Shape<Recording['format']>
  recordingLack: Shape<Recording['incomplete']>
  reload: Shape<PolicyEntry['state']>
  salt: Shape<string>
  state: Shape<RecoveredEntry['state']>
  text: Shape<string>
  textOrNull: Shape<string | null>
  type: Shape<string>
  time: Shape<number>
  versions: Shape<Readonly<Record<string, string>>>
  word: Shape<string>
}> = {
  action: orNull(stringWhere((text) => /^[\x21-\x7e]{1,256}$/.test(text), 'an action id')),
  boolean: anyBoolean,
  code: guarded(isRefusalCode, 'a refusal code'),
  count: integerWithin(0, Number.MAX_SAFE_INTEGER),
  decision: oneOf(['permit']),
  digest: hexDigits(64),
  endKind: oneOf(['exited', 'signalled', 'timed_out', 'failed', 'gone', 'lost']),
  feature,
  features: listOf(feature),
  id,
  ids: listOf(id),
  limit: oneOf(['kept', 'hit', 'unknown']),
  index: orNull(integerWithin(0, Number.MAX_SAFE_INTEGER)),
  output: oneOf(['pass', 'capped', 'recorded', 'unknown']),
  policy: oneOf(['unsigned', 'signed']),
  recordingFormat: oneOf(['belladonna/recording/v1']),
  recordingLack: orNull(oneOf(['no_space', 'failed', 'not_durable', 'relay_lost', 'crash'])),
  reload: oneOf(['adopted', 'refused']),
  salt: hexDigits(32),
  state: oneOf(['unknown', 'never_started']),
  text: anyString,
  textOrNull: orNull(anyString),
  type: oneOf(['belladonna/entry/v1']),
  time: integerWithin(0, maxTimeMs),
  versions: mapOf(
    stringWhere((text) => /^[a-z][a-z0-9_]{0,31}$/.test(text), 'a name'),
    anyString,
  ),
  word: stringWhere((text) => /^[a-z][a-z0-9_]{0,31}$/.test(text), 'a word'),
}
