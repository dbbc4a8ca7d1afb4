import { formatCanonicalJson } from './json/canonical.ts'
import type { Problem, RefusalCode } from './refusal.ts'

const titles: Readonly<Record<RefusalCode, string>> = {
  request_malformed: 'the request could not be read',
  subject_unmapped: 'the caller has no user of this host',
  subject_foreign_namespace: 'the caller is in another user or pid namespace',
  action_unknown: 'there is no such action',
  not_granted: 'no grant permits this',
  grant_expired: 'the grant has expired',
  grant_used_up: 'the grant is used up',
  rate_limited: 'too many requests by this grant',
  parameter_missing: 'a parameter is missing',
  parameter_unknown: 'the action has no such parameter',
  parameter_duplicate: 'a parameter is given too often',
  parameter_invalid: 'a parameter has a value that the policy does not accept',
  reason_required: 'the action needs a reason',
  approval_required: 'the action needs an approval, which this version cannot give yet',
  nonce_unsupported: 'a nonce of the requester is not supported yet',
  stdio_not_accepted: 'a standard descriptor is of a kind that is not accepted',
  input_mismatch: 'the descriptors are not those of the secrets that the action takes',
  input_too_large: 'a secret is over 64 KiB, or a bound stdin over 1 MiB',
  stdin_unbound: 'the action takes its stdin whole, before it is permitted',
  executable_unsafe: 'the executable is not what the policy may run',
  path_refused: 'what a parameter names is not there, or not of the kind that the policy says',
  disagreement: 'broker and executor did not agree',
  not_recorded: 'the request could not be recorded',
  log_full: 'the disk of the log is full',
  busy: 'too many requests',
  unavailable: 'a process of the bridge is away',
}

/** What a problem says besides its code; null as if it was not there. */
export type ProblemDetails = Readonly<{
  action?: string | null
  parameter?: string | null
  detail?: string | null
  enough?: string | null
  entry?: number
}>

/**
 * The problem that a client gets. Nothing in it was written by the requester, but for a path that `detail` quotes.
 *
 * @see RFC 9457
 */
export function problemOf(code: RefusalCode, details: ProblemDetails): Problem {
  return {
    type: `urn:belladonna:problem:${code}`,
    title: titles[code],
    code,
    ...(typeof details.action === 'string' ? { action: details.action } : {}),
    ...(typeof details.parameter === 'string' ? { parameter: details.parameter } : {}),
    ...(typeof details.detail === 'string' ? { detail: details.detail } : {}),
    ...(typeof details.enough === 'string' ? { enough: details.enough } : {}),
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
  return Object.hasOwn(titles, text)
}

/** Exit status of `bell` for a refusal: 127 for an action that does not exist, else 125 (docs/reference/exit-status.md). */
export function exitStatusOf(code: RefusalCode): number {
  return code === 'action_unknown' ? 127 : 125
}
