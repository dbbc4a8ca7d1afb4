import { timingSafeEqual } from 'node:crypto'
import { BelladonnaError } from '../error.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import { listOf, mapOf, recordOf } from '../json/shape.ts'
import type { Members, Shape } from '../json/shape.ts'
import { parseStrictJson } from '../json/strict.ts'
import { maxEntryBytes } from './entry.ts'
import type {
  DeniedSubject,
  End,
  Entry,
  EntryCommon,
  MissingFeature,
  OutcomeLimits,
  OutcomeOutput,
  OutputStream,
  Recording,
  StartEntry,
  Usage,
} from './entry.ts'
import { formatEntry } from './entry-format.ts'
import { entryShape as shape } from './entry-shape.ts'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads one entry, and only the bytes that `formatEntry` writes: an unknown member, another order or another spelling is
 * an error.
 *
 * Whether the digests within are right is for `verifyLog`.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseEntry(bytes: Uint8Array): Entry {
  if (bytes.length > maxEntryBytes) throw refused('too long')
  const entry = entryObject(parseStrictJson(decode(bytes)), 'entry')
  if (!sameBytes(formatEntry(entry), bytes)) throw refused('not canonical')
  return entry
}

const entryObject: Shape<Entry> = recordOf((members) => {
  const { take } = members
  take('type', shape.type)
  const common: EntryCommon = {
    salt: take('salt', shape.salt),
    timeMs: take('time_ms', shape.time),
    policy: take('policy', shape.policy),
  }
  return parseOwn(take('kind', shape.text), common, members)
})

function parseOwn(kind: string, common: EntryCommon, members: Members): Entry {
  const { take } = members
  switch (kind) {
    case 'start':
      return {
        ...common,
        kind,
        host: take('host', shape.digest),
        policyDigest: take('policy_digest', shape.digest),
        features: take('features', shape.features),
        versions: take('versions', shape.versions),
        receipts: take('receipts', receiptsShape),
      }
    case 'intent':
      return {
        ...common,
        kind,
        run: take('run', shape.count),
        pid: take('pid', shape.count),
        action: take('action', objectText),
        actionDigest: take('action_digest', shape.digest),
        decision: take('decision', shape.decision),
        grant: take('grant', shape.text),
        requesterText: take('requester_text', shape.text),
      }
    case 'denial':
      return {
        ...common,
        kind,
        run: take('run', shape.count),
        subject: take('subject', subjectShape),
        action: take('action', shape.action),
        code: take('code', shape.code),
        rule: take('rule', shape.textOrNull),
        parameter: take('parameter', shape.textOrNull),
        detail: take('detail', shape.textOrNull),
        requesterText: take('requester_text', shape.textOrNull),
      }
    default:
      return parseClosing(kind, common, members)
  }
}

function parseClosing(kind: string, common: EntryCommon, { take, takeIfThere }: Members): Entry {
  switch (kind) {
    case 'outcome':
      return {
        ...common,
        kind,
        run: take('run', shape.count),
        intent: take('intent', shape.count),
        end: take('end', endShape),
        usage: take('usage', usageShape),
        features: take('features', shape.features),
        limits: take('limits', limitsShape),
        missing: take('missing', listOf(missingShape)),
        output: take('output', outputShape),
        receipt: take('receipt', objectTextOrNull),
      }
    case 'recovered':
      return {
        ...common,
        kind,
        run: take('run', shape.count),
        actionDigest: take('action_digest', shape.digest),
        intent: take('intent', shape.index),
        receipt: take('receipt', objectTextOrNull),
        state: take('state', shape.state),
        recording: takeIfThere('recording', recordingShape),
      }
    case 'policy':
      return {
        ...common,
        kind,
        state: take('state', shape.reload),
        policyDigest: take('policy_digest', shape.digest),
        reason: take('reason', shape.textOrNull),
      }
    case 'stop':
      return { ...common, kind, reason: take('reason', shape.word) }
    default:
      throw refused(`unknown kind ${JSON.stringify(kind)}`)
  }
}

const anyObject = mapOf(shape.text, (member) => member)

const objectText: Shape<string> = (value, where) => formatCanonicalJson(anyObject(value, where))

const objectTextOrNull: Shape<string | null> = (value, where) =>
  value === null ? null : objectText(value, where)

const receiptsShape: Shape<StartEntry['receipts']> = recordOf(({ take }) => ({
  count: take('count', shape.count),
  head: take('head', shape.digest),
}))

const subjectShape: Shape<DeniedSubject> = recordOf(({ take }) => ({
  uid: take('uid', shape.id),
  gid: take('gid', shape.id),
  groups: take('groups', shape.ids),
  pid: take('pid', shape.count),
  foreign: take('foreign', shape.boolean),
}))

const endShape: Shape<End> = recordOf(({ take }) => ({
  kind: take('kind', shape.endKind),
  value: take('value', shape.count),
  stage: take('stage', shape.word),
}))

const usageShape: Shape<Usage> = recordOf(({ take }) => ({
  userUs: take('user_us', shape.count),
  systemUs: take('system_us', shape.count),
  maxRssKib: take('max_rss_kib', shape.count),
  wallUs: take('wall_us', shape.count),
}))

const missingShape: Shape<MissingFeature> = recordOf(({ take }) => ({
  feature: take('feature', shape.feature),
  reason: take('reason', shape.text),
}))

const limitsShape: Shape<OutcomeLimits> = recordOf(({ take }) => ({
  memory: take('memory', shape.limit),
  processes: take('processes', shape.limit),
}))

const streamShape: Shape<OutputStream> = recordOf(({ take }) => ({
  written: take('written', shape.count),
  delivered: take('delivered', shape.count),
  sha256: take('sha256', shape.digest),
}))

const recordingShape: Shape<Recording> = recordOf(({ take }) => ({
  format: take('format', shape.recordingFormat),
  name: take('name', shape.salt),
  size: take('size', shape.count),
  sha256: take('sha256', shape.digest),
  incomplete: take('incomplete', shape.recordingLack),
}))

const outputShape: Shape<OutcomeOutput> = recordOf(({ take, takeIfThere }) => {
  const kind = take('kind', shape.output)
  if (kind === 'pass') return { kind }
  if (kind === 'unknown') return { kind, recording: takeIfThere('recording', recordingShape) }
  const counted = {
    limitBytes: take('limit', shape.count),
    truncated: take('truncated', shape.boolean),
    undelivered: take('undelivered', shape.boolean),
    stdout: take('stdout', streamShape),
    stderr: take('stderr', streamShape),
    terminal: takeIfThere('terminal', streamShape),
  }
  if (kind === 'capped') return { kind, ...counted }
  return { kind, ...counted, recording: take('recording', recordingShape) }
})

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new BelladonnaError('input_invalid', 'parse entry: not UTF-8', { cause })
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function refused(what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `parse entry: ${what}`)
}
