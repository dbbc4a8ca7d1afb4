import { BelladonnaError } from '../error.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import type { JsonValue } from '../json/canonical.ts'
import type { Shape } from '../json/shape.ts'
import { maxEntryBytes } from './entry.ts'
import type {
  DenialEntry,
  DeniedSubject,
  Entry,
  IntentEntry,
  MissingFeature,
  OutcomeEntry,
  OutcomeOutput,
  OutputStream,
  PolicyEntry,
  RecoveredEntry,
  Recording,
  StartEntry,
  Usage,
} from './entry.ts'
import { entryShape as shape } from './entry-shape.ts'

const encoder = new TextEncoder()

// DEL, the C1 controls, line and paragraph separators, and the characters that reorder what is shown. RFC 8785 leaves
// them as they are; a terminal obeys some of them. A fixed list: classes of Unicode grow, and entries may not change.
const unprintable = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/**
 * The bytes of one entry: canonical JSON on one line, which is what the log hashes and keeps.
 *
 * Beyond RFC 8785, every control character and every bidirectional one is written as `\u....` (ABUSE C60). The resolved
 * action and the receipt, canonical already, are put in as they are instead of being parsed and written again.
 *
 * @throws {BelladonnaError} `input_invalid` when a member has not its form, or the entry is longer than `maxEntryBytes`
 * @see spec/log.md, "Entries"
 */
export function formatEntry(entry: Entry): Uint8Array {
  const bytes = encoder.encode(escapeUnprintable(formatMembers(entry)))
  if (bytes.length > maxEntryBytes) {
    throw new BelladonnaError(
      'input_invalid',
      `format entry: ${String(bytes.length)} bytes, more than ${String(maxEntryBytes)}`,
    )
  }
  return bytes
}

/** JSON text with each unprintable character of `formatEntry`'s list as an escape; it still means the same. */
export function escapeUnprintable(json: string): string {
  return json.replace(
    unprintable,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/**
 * Each kind's members are written out in the order of RFC 8785 instead of sorted, because each run waits for its intent;
 * a test compares.
 */
function formatMembers(entry: Entry): string {
  switch (entry.kind) {
    case 'start':
      return formatStart(entry)
    case 'intent':
      return formatIntent(entry)
    case 'denial':
      return formatDenial(entry)
    case 'outcome':
      return formatOutcome(entry)
    case 'recovered':
      return formatRecovered(entry)
    case 'policy':
      return formatPolicy(entry)
    case 'stop': {
      const { kind, policy, rest } = common(entry)
      return `{${kind},${policy},"reason":${put(shape.word, entry.reason)},${rest}}`
    }
  }
}

/** What each entry has; `rest` are its last members, whatever the kind. */
function common(entry: Entry): Readonly<{ kind: string; policy: string; rest: string }> {
  return {
    kind: `"kind":"${entry.kind}"`,
    policy: `"policy":${put(shape.policy, entry.policy)}`,
    rest:
      `"salt":${put(shape.salt, entry.salt)}` +
      (entry.kind === 'recovered' ? `,"state":${put(shape.state, entry.state)}` : '') +
      (entry.kind === 'policy' ? `,"state":${put(shape.reload, entry.state)}` : '') +
      (entry.kind === 'denial' ? `,"subject":${formatSubject(entry.subject)}` : '') +
      `,"time_ms":${put(shape.time, entry.timeMs)},"type":"belladonna/entry/v1"` +
      (entry.kind === 'outcome' ? `,"usage":${formatUsage(entry.usage)}` : '') +
      (entry.kind === 'start' ? `,"versions":${put(shape.versions, entry.versions)}` : ''),
  }
}

function formatStart(entry: StartEntry): string {
  const { kind, policy, rest } = common(entry)
  const { count, head } = entry.receipts
  return (
    `{"features":${put(shape.features, entry.features)},"host":${put(shape.digest, entry.host)},` +
    `${kind},${policy},"policy_digest":${put(shape.digest, entry.policyDigest)},` +
    `"receipts":{"count":${put(shape.count, count)},"head":${put(shape.digest, head)}},${rest}}`
  )
}

function formatIntent(entry: IntentEntry): string {
  const { kind, policy, rest } = common(entry)
  return (
    `{"action":${entry.action},"action_digest":${put(shape.digest, entry.actionDigest)},` +
    `"decision":${put(shape.decision, entry.decision)},"grant":${put(shape.text, entry.grant)},` +
    `${kind},"pid":${put(shape.count, entry.pid)},${policy},` +
    `"requester_text":${put(shape.text, entry.requesterText)},` +
    `"run":${put(shape.count, entry.run)},${rest}}`
  )
}

function formatDenial(entry: DenialEntry): string {
  const { kind, policy, rest } = common(entry)
  return (
    `{"action":${put(shape.action, entry.action)},"code":${put(shape.code, entry.code)},` +
    `"detail":${put(shape.textOrNull, entry.detail)},${kind},` +
    `"parameter":${put(shape.textOrNull, entry.parameter)},${policy},` +
    `"requester_text":${put(shape.textOrNull, entry.requesterText)},` +
    `"rule":${put(shape.textOrNull, entry.rule)},"run":${put(shape.count, entry.run)},${rest}}`
  )
}

function formatSubject({ uid, gid, groups, pid, foreign }: DeniedSubject): string {
  return (
    `{"foreign":${put(shape.boolean, foreign)},"gid":${put(shape.id, gid)},` +
    `"groups":${put(shape.ids, groups)},"pid":${put(shape.count, pid)},"uid":${put(shape.id, uid)}}`
  )
}

function formatOutcome(entry: OutcomeEntry): string {
  const { kind, policy, rest } = common(entry)
  const { end } = entry
  return (
    `{"end":{"kind":${put(shape.endKind, end.kind)},"stage":${put(shape.word, end.stage)},` +
    `"value":${put(shape.count, end.value)}},"features":${put(shape.features, entry.features)},` +
    `"intent":${put(shape.count, entry.intent)},${kind},` +
    `"limits":{"memory":${put(shape.limit, entry.limits.memory)},` +
    `"processes":${put(shape.limit, entry.limits.processes)}},` +
    `"missing":[${entry.missing.map(formatMissing).join(',')}],` +
    `"output":${formatOutput(entry.output)},${policy},` +
    `"receipt":${entry.receipt ?? 'null'},"run":${put(shape.count, entry.run)},${rest}}`
  )
}

function formatMissing({ feature, reason }: MissingFeature): string {
  return `{"feature":${put(shape.feature, feature)},"reason":${put(shape.text, reason)}}`
}

function formatOutput(output: OutcomeOutput): string {
  const kind = `"kind":${put(shape.output, output.kind)}`
  if (output.kind === 'pass') return `{${kind}}`
  if (output.kind === 'unknown') {
    return output.recording === null
      ? `{${kind}}`
      : `{${kind},${formatRecording(output.recording)}}`
  }
  return (
    `{${kind},"limit":${put(shape.count, output.limitBytes)},` +
    (output.kind === 'recorded' ? `${formatRecording(output.recording)},` : '') +
    `"stderr":${formatStream(output.stderr)},"stdout":${formatStream(output.stdout)},` +
    (output.terminal === null ? '' : `"terminal":${formatStream(output.terminal)},`) +
    `"truncated":${put(shape.boolean, output.truncated)},` +
    `"undelivered":${put(shape.boolean, output.undelivered)}}`
  )
}

function formatRecording({ format, name, size, sha256, incomplete }: Recording): string {
  return (
    `"recording":{"format":${put(shape.recordingFormat, format)},` +
    `"incomplete":${put(shape.recordingLack, incomplete)},"name":${put(shape.salt, name)},` +
    `"sha256":${put(shape.digest, sha256)},"size":${put(shape.count, size)}}`
  )
}

function formatStream({ written, delivered, sha256 }: OutputStream): string {
  return (
    `{"delivered":${put(shape.count, delivered)},"sha256":${put(shape.digest, sha256)},` +
    `"written":${put(shape.count, written)}}`
  )
}

function formatUsage({ userUs, systemUs, maxRssKib, wallUs }: Usage): string {
  return (
    `{"max_rss_kib":${put(shape.count, maxRssKib)},"system_us":${put(shape.count, systemUs)},` +
    `"user_us":${put(shape.count, userUs)},"wall_us":${put(shape.count, wallUs)}}`
  )
}

function formatRecovered(entry: RecoveredEntry): string {
  const { kind, policy, rest } = common(entry)
  return (
    `{"action_digest":${put(shape.digest, entry.actionDigest)},` +
    `"intent":${put(shape.index, entry.intent)},${kind},${policy},` +
    `"receipt":${entry.receipt ?? 'null'},` +
    (entry.recording === null ? '' : `${formatRecording(entry.recording)},`) +
    `"run":${put(shape.count, entry.run)},${rest}}`
  )
}

function formatPolicy(entry: PolicyEntry): string {
  const { kind, policy, rest } = common(entry)
  return (
    `{${kind},${policy},"policy_digest":${put(shape.digest, entry.policyDigest)},` +
    `"reason":${put(shape.textOrNull, entry.reason)},${rest}}`
  )
}

function put<T extends JsonValue>(form: Shape<T>, value: T): string {
  return formatCanonicalJson(form(value, 'entry'))
}
