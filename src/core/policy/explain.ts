import type { Subject } from '../identity.ts'
import type { JsonValue } from '../json/canonical.ts'
import { anyString, mapOf } from '../json/shape.ts'
import { parseStrictJson } from '../json/strict.ts'
import type { ActionRequest } from '../protocol/request.ts'
import type { CompiledGrant, CompiledPolicy, CompiledPrincipal } from './compiled.ts'
import { describeParameter } from './decide.ts'
import type { Ask, Deny, Permit } from './decide.ts'
import type { IndexedAction, PolicyIndex } from './policy-index.ts'
import { boundOnce, boundPath } from './granted-path.ts'
import type { GrantedPath } from './granted-path.ts'
import { resolveAction } from './resolve.ts'
import { suggestionFor } from '../toml/suggestion.ts'

/** What would help whoever was denied. */
export type Advice = Readonly<{
  /** A near name or word that was probably meant. */
  suggestion: string | null
  /** Parameters of which the request has too few values, and what each takes. */
  missing: readonly Readonly<{ parameter: string; enough: string }>[]
  /** Where a grant is what lacks: those that give the action. */
  grants: readonly CompiledGrant[]
}>

/**
 * Says more about a denial than `decide` may tell a caller: for who may read the whole policy.
 *
 * @param denied what `decide` answered to `request` with the same index
 */
export function adviseOn(
  { grants }: CompiledPolicy,
  index: PolicyIndex,
  request: ActionRequest,
  denied: Deny,
): Advice {
  const entry = index.actions.get(request.action)
  if (entry === undefined) {
    const suggestion = suggestionFor(request.action, index.actions.keys()) ?? null
    return { suggestion, missing: [], grants: [] }
  }
  // Who has no live grant is not helped by the rest.
  if (denied.rule === null || denied.code === 'grant_expired') {
    const isNobody = denied.code === 'subject_unmapped' // whom no grant can name
    const giving = isNobody ? [] : grants.filter(({ may }) => may.includes(request.action))
    return { suggestion: null, missing: [], grants: giving }
  }
  return {
    suggestion: suggestIn(entry, request, denied) ?? null,
    missing: missingIn(entry, request),
    grants: [],
  }
}

function suggestIn(
  { parameters }: IndexedAction,
  request: ActionRequest,
  { code, parameter }: Deny,
): string | undefined {
  if (code === 'parameter_unknown') {
    const wrong = request.parameters.find(({ name }) => !parameters.has(name))
    return wrong && suggestionFor(wrong.name, parameters.keys())
  }
  const known = parameter === null ? undefined : parameters.get(parameter)
  if (code !== 'parameter_invalid' || known?.definition.kind !== 'one_of') return undefined
  const wrong = request.parameters.find(
    ({ name, value }) => name === parameter && !known.accepts(value),
  )
  return wrong && suggestionFor(wrong.value, known.definition.values)
}

function missingIn({ parameters }: IndexedAction, request: ActionRequest): Advice['missing'] {
  return [...parameters]
    .filter(
      ([parameter, { min }]) =>
        request.parameters.filter(({ name }) => name === parameter).length < min,
    )
    .map(([parameter, { definition }]) => ({ parameter, enough: describeParameter(definition) }))
}

/** What is known of a resolved action before its run: all but the host, the nonce and the time until which it may start. */
export type ActionPreview = Readonly<Record<string, JsonValue>>

/**
 * Makes the resolved action as broker and executor do, and leaves out what only the executor knows. Of a secret, of a
 * bound stdin and of a path it says that there is one: what is there is looked at for the run alone.
 *
 * @param digests the executable's, one that the action takes, its interpreter's and its proxy's; null when the caller cannot read it
 * @throws {BelladonnaError} `input_invalid` if it is none that the action pins
 */
export function previewAction(
  permit: Permit | Ask,
  subject: Subject,
  policyDigest: string,
  digests: Readonly<{
    executable: string | null
    interpreter: string | null
    proxy?: string | null
  }>,
): ActionPreview {
  const { text } = resolveAction(permit, subject, {
    ...{ policyDigest, hostId: '', nonce: '', notAfterMs: 0 },
    executableSha256: digests.executable ?? permit.action.sha256[0] ?? '',
    interpreterSha256: digests.interpreter,
    proxySha256: digests.proxy ?? null,
  })
  const whole = mapOf(anyString, (value) => value)(parseStrictJson(text), 'resolved action')
  const executable = { path: permit.action.executable, sha256: digests.executable }
  const left = Object.entries(whole).filter(([name]) => !unknownBefore.has(name))
  const names = permit.action.params.flatMap((item) => (item.kind === 'secret' ? [item.name] : []))
  const secrets = Object.fromEntries(names.map((name) => [name, null]))
  const stdin = permit.profile.stdin === 'bound' ? { sha256: null, size: null } : null
  const inputs = unseenFiles(permit.paths)
  return { ...Object.fromEntries(left), executable, inputs, secrets, stdin }
}

function unseenFiles(paths: readonly GrantedPath[]): JsonValue {
  const unseen = { device: null, inode: null, sha256: null, size: null }
  const bound = boundOnce(paths)
  return Object.fromEntries(
    bound.map((granted) => [boundPath(granted), { kind: granted.what, ...unseen }]),
  )
}

const unknownBefore: ReadonlySet<string> = new Set(['host', 'nonce', 'not_after_ms'])

/** A principal as a policy writes it. */
export function formatPrincipal(principal: CompiledPrincipal): string {
  if (principal.kind === 'unit') return `unit:${principal.name}`
  if (principal.name !== null) return `${principal.kind}:${principal.name}`
  return `${principal.kind === 'user' ? 'uid' : 'gid'}:${String(principal.id)}`
}
