import { BelladonnaError } from '../error.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import type { JsonValue } from '../json/canonical.ts'
import type { Shape } from '../json/shape.ts'
import { maxEntryBytes } from './entry.ts'
import type {
  DenialEntry,
  Entry,
  IntentEntry,
  OutcomeEntry,
  RecoveredEntry,
  StartEntry,
} from './entry.ts'
import { entryShape as shape } from './entry-shape.ts'

/** Members of an object: name to JSON text. */
type MemberTexts = Readonly<Record<string, string>>

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
  const text = formatObject({
    type: '"belladonna/entry/v1"',
    kind: JSON.stringify(entry.kind),
    salt: put(shape.salt, entry.salt),
    time_ms: put(shape.time, entry.timeMs),
    policy: put(shape.policy, entry.policy),
    ...ownMembers(entry),
  })
  const bytes = encoder.encode(escapeUnprintable(text))
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

function ownMembers(entry: Entry): MemberTexts {
  switch (entry.kind) {
    case 'start':
      return startMembers(entry)
    case 'intent':
      return intentMembers(entry)
    case 'denial':
      return denialMembers(entry)
    case 'outcome':
      return outcomeMembers(entry)
    case 'recovered':
      return recoveredMembers(entry)
    case 'stop':
      return { reason: put(shape.word, entry.reason) }
  }
}

function startMembers(entry: StartEntry): MemberTexts {
  return {
    host: put(shape.digest, entry.host),
    policy_digest: put(shape.digest, entry.policyDigest),
    features: put(shape.features, entry.features),
    versions: put(shape.versions, entry.versions),
    receipts: formatObject({
      count: put(shape.count, entry.receipts.count),
      head: put(shape.digest, entry.receipts.head),
    }),
  }
}

function intentMembers(entry: IntentEntry): MemberTexts {
  return {
    run: put(shape.count, entry.run),
    pid: put(shape.count, entry.pid),
    action: entry.action,
    action_digest: put(shape.digest, entry.actionDigest),
    decision: put(shape.decision, entry.decision),
    grant: put(shape.text, entry.grant),
    requester_text: put(shape.text, entry.requesterText),
  }
}

function denialMembers(entry: DenialEntry): MemberTexts {
  const { subject } = entry
  return {
    run: put(shape.count, entry.run),
    subject: formatObject({
      uid: put(shape.id, subject.uid),
      gid: put(shape.id, subject.gid),
      groups: put(shape.ids, subject.groups),
      pid: put(shape.count, subject.pid),
      foreign: put(shape.boolean, subject.foreign),
    }),
    action: put(shape.action, entry.action),
    code: put(shape.code, entry.code),
    rule: put(shape.textOrNull, entry.rule),
    parameter: put(shape.textOrNull, entry.parameter),
    requester_text: put(shape.textOrNull, entry.requesterText),
  }
}

function outcomeMembers(entry: OutcomeEntry): MemberTexts {
  const { end, usage } = entry
  return {
    run: put(shape.count, entry.run),
    intent: put(shape.count, entry.intent),
    end: formatObject({
      kind: put(shape.endKind, end.kind),
      value: put(shape.count, end.value),
      stage: put(shape.word, end.stage),
    }),
    usage: formatObject({
      user_us: put(shape.count, usage.userUs),
      system_us: put(shape.count, usage.systemUs),
      max_rss_kib: put(shape.count, usage.maxRssKib),
      wall_us: put(shape.count, usage.wallUs),
    }),
    features: put(shape.features, entry.features),
    output: formatObject({ kind: put(shape.output, entry.output.kind) }),
    receipt: entry.receipt ?? 'null',
  }
}

function recoveredMembers(entry: RecoveredEntry): MemberTexts {
  return {
    run: put(shape.count, entry.run),
    action_digest: put(shape.digest, entry.actionDigest),
    intent: put(shape.index, entry.intent),
    receipt: entry.receipt ?? 'null',
    state: put(shape.state, entry.state),
  }
}

function put<T extends JsonValue>(form: Shape<T>, value: T): string {
  return formatCanonicalJson(form(value, 'entry'))
}

function formatObject(members: MemberTexts): string {
  const sorted = Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${sorted.map(([name, text]) => `"${name}":${text}`).join(',')}}`
}
