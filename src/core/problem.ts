import { formatCanonicalJson } from './json/canonical.ts'
import type { Problem, RefusalCode } from './refusal.ts'

type Kind = Readonly<{
  title: string
  /** The key of the policy that refused, in the policy's own words; `action.params` gets the parameter's name. */
  rule?: string
  /** Who or what would help, where no other request does. */
  ask?: string
}>

const policyKeeper = 'whoever keeps the policy'
const hostKeeper = 'whoever runs this host'
const later = 'again later'

/**
 * What a code says. The rule is a key and not a grant: a grant's id is a hash over whom it names, by which a client could try out
 * who else is in it, and so is known to the log alone (ADR 0030).
 */
const kinds: Readonly<Record<RefusalCode, Kind>> = {
  request_malformed: { title: 'the request could not be read' },
  subject_unmapped: { title: 'the caller has no user of this host', ask: hostKeeper },
  subject_foreign_namespace: {
    ...{ title: 'the caller is in another user or pid namespace' },
    ...{ rule: 'grant.namespace', ask: policyKeeper },
  },
  // The same for what is not there and for what a stranger may not know of.
  action_unknown: { title: 'there is no such action', ask: policyKeeper },
  not_granted: { title: 'no grant permits this', rule: 'grant', ask: policyKeeper },
  grant_expired: { title: 'the grant has expired', rule: 'grant.until', ask: policyKeeper },
  grant_used_up: { title: 'the grant is used up', rule: 'grant.uses', ask: policyKeeper },
  rate_limited: { title: 'too many requests by this grant', rule: 'grant.limit', ask: later },
  parameter_missing: { title: 'a parameter is missing', rule: 'action.params' },
  parameter_unknown: { title: 'the action has no such parameter', rule: 'action.params' },
  parameter_duplicate: { title: 'a parameter is given too often', rule: 'action.params' },
  parameter_invalid: {
    title: 'a parameter has a value that the policy does not accept',
    rule: 'action.params',
  },
  reason_required: { title: 'the action needs a reason', rule: 'action.reason' },
  approval_required: {
    title: 'the action needs an approval, which this version cannot give yet',
    ...{ rule: 'action.approval', ask: policyKeeper },
  },
  nonce_unsupported: { title: 'a nonce of the requester is not supported yet' },
  stdio_not_accepted: { title: 'a standard descriptor is of a kind that is not accepted' },
  input_mismatch: {
    title: 'the descriptors are not those of the secrets that the action takes',
    rule: 'action.params',
  },
  input_too_large: { title: 'a secret is over 64 KiB, or a bound stdin over 1 MiB' },
  stdin_unbound: {
    title: 'the action takes its stdin whole, before it is permitted',
    rule: 'profile.stdin',
  },
  executable_unsafe: {
    title: 'the executable is not what the policy may run',
    ...{ rule: 'action.command', ask: hostKeeper },
  },
  path_refused: {
    title: 'what a parameter names is not there, or not of the kind that the policy says',
    rule: 'action.params',
  },
  disagreement: { title: 'broker and executor did not agree', ask: hostKeeper },
  not_recorded: { title: 'the request could not be recorded' },
  log_full: { title: 'the disk of the log is full', ask: hostKeeper },
  busy: { title: 'too many requests', ask: later },
  unavailable: { title: 'a process of the bridge is away', ask: later },
}

/** What a problem says besides its code; null as if it was not there. */
export type ProblemDetails = Readonly<{
  action?: string | null
  parameter?: string | null
  detail?: string | null
  enough?: string | null
  entry?: number | undefined
}>

/**
 * The problem that a client gets. Nothing in it was written by the requester, but for a path that `detail` quotes.
 *
 * @see RFC 9457
 */
export function problemOf(code: RefusalCode, details: ProblemDetails): Problem {
  const { title, rule, ask } = kinds[code]
  const { parameter } = details
  const isNamed = rule === 'action.params' && typeof parameter === 'string'
  return {
    type: `urn:belladonna:problem:${code}`,
    title,
    code,
    ...(rule === undefined ? {} : { rule: isNamed ? `${rule}.${parameter}` : rule }),
    ...(typeof details.action === 'string' ? { action: details.action } : {}),
    ...(typeof parameter === 'string' ? { parameter } : {}),
    ...(typeof details.detail === 'string' ? { detail: details.detail } : {}),
    ...(typeof details.enough === 'string' ? { enough: details.enough } : {}),
    ...(ask === undefined ? {} : { ask }),
    ...(details.entry === undefined ? {} : { entry: details.entry }),
  }
}

/** Longest problem on the wire, in bytes: the launcher takes a longer one for a broken broker. */
export const maxProblemBytes: number = 4096

const encoder = new TextEncoder()

/**
 * The same as canonical JSON: what is on the wire. What makes it too long is left out: the detail, which the log has, and then
 * what of `enough` does not fit; a policy may have much to say.
 */
export function formatProblem(code: RefusalCode, details: ProblemDetails): string {
  const text = formatCanonicalJson(problemOf(code, details))
  const { detail, ...rest } = details
  const { enough } = rest
  if (encoder.encode(text).length <= maxProblemBytes) return text
  if (typeof detail === 'string') return formatProblem(code, rest)
  if (typeof enough !== 'string') return text
  const shown = Array.from(enough.replace(/…$/, ''))
  const half = shown.slice(0, Math.floor(shown.length / 2)).join('')
  return formatProblem(code, { ...rest, enough: `${half}…` })
}

/** Whether `text` is a refusal code: a guard for what another process sent. */
export function isRefusalCode(text: string): text is RefusalCode {
  return Object.hasOwn(kinds, text)
}

/** Exit status of `bell` for a refusal, as a shell's where it has one (docs/reference/exit-status.md). */
export function exitStatusOf(code: RefusalCode): number {
  if (code === 'action_unknown') return 127
  return code === 'executable_unsafe' ? 126 : 125
}
