import type { Subject } from '../identity.ts'
import type { ActionRequest } from '../protocol/request.ts'
import type { RefusalCode } from '../refusal.ts'
import type { CompiledAction, CompiledParameter, CompiledProfile } from './compiled.ts'
import { better } from './policy-index.ts'
import type { IndexedAction, IndexedGrant, PolicyIndex } from './policy-index.ts'
import { overflowId } from './quantity.ts'
import { renderElement } from './template.ts'

/** What a decision depends on besides policy, subject and request. */
export type DecideFacts = Readonly<{ nowMs: number }>

/** An action with its arguments filled in, by a grant. */
export type Permit = Readonly<{
  kind: 'permit'
  grant: string
  action: CompiledAction
  /** SHA-256 of the action's compiled definition. */
  version: string
  profile: CompiledProfile
  argv: readonly string[]
}>

/** The same, once `need` approvers out of `from` agree. */
export type Ask = Omit<Permit, 'kind'> & Readonly<{ kind: 'ask'; need: number; from: string }>

/** Why not. Members that would tell a stranger what the policy names are null. */
export type Deny = Readonly<{
  kind: 'deny'
  code: RefusalCode
  /** The grant that would have been it. */
  rule: string | null
  action: string | null
  parameter: string | null
  /** What would be enough, in our words. */
  enough: string | null
}>

export type Decision = Permit | Ask | Deny

/**
 * Decides about a request: pure, total, default deny, and as fast with 10,000 actions and grants as with ten.
 *
 * There is no rule that denies: a request is permitted if and only if some live grant names the action and the subject,
 * and each argument is one that the action takes. Broker and executor both call this, each with its own index.
 *
 * @see DESIGN "The way of a request", step 3; docs/reference/policy.md
 */
export function decide(
  index: PolicyIndex,
  subject: Subject,
  request: ActionRequest,
  facts: DecideFacts,
): Decision {
  if (subject.foreign) return deny('subject_foreign_namespace')
  if (!isUsableId(subject.uid)) return deny('subject_unmapped')
  const entry = index.actions.get(request.action)
  const grant = entry && findGrant(entry, subject)
  if (entry === undefined || grant === undefined) return denyUngranted(index, subject, entry)
  const about = { rule: grant.id, action: entry.action.id }
  if (facts.nowMs >= grant.untilMs) {
    return deny('grant_expired', { ...about, enough: 'a grant that has not expired' })
  }
  if (request.nonce !== null) {
    return deny('nonce_unsupported', { ...about, enough: 'the same request without a nonce' })
  }
  const values = bindParameters(entry, request, about)
  if ('kind' in values) return values
  if (entry.action.reason === 'required' && request.reason.trim() === '') {
    return deny('reason_required', { ...about, enough: 'a reason' })
  }
  const argv = entry.action.command.map((element) => renderElement(element, values.bound))
  const { action, version, profile } = entry
  const permit: Permit = { kind: 'permit', grant: grant.id, action, version, profile, argv }
  if (action.approval === null) return permit
  return { ...permit, kind: 'ask', need: action.approval.need, from: action.approval.from }
}

/** What is enough for a value of this parameter. */
export function describeParameter(parameter: CompiledParameter): string {
  const dash = parameter.leading_dash ? '' : ', not beginning with "-"'
  switch (parameter.kind) {
    case 'one_of': {
      const shown = parameter.values.slice(0, 8).join(', ')
      return `one of: ${shown}${parameter.values.length > 8 ? ', …' : ''}`
    }
    case 'integer':
      return `an integer from ${String(parameter.min)} to ${String(parameter.max)}`
    case 'match': {
      const length = String(parameter.max_length)
      return `text of the form ${parameter.pattern}, at most ${length} characters${dash}`
    }
  }
}

/** 65534 is whoever has no id here, and 4294967295 is "leave unchanged": nobody (ABUSE C04, CVE-2019-14287). */
function isUsableId(id: number): boolean {
  return id !== overflowId && id !== 0xffff_ffff
}

/** The best grant by the subject's uid or one of its groups: at most 258 lookups, whatever the policy's size. */
function findGrant(entry: IndexedAction, subject: Subject): IndexedGrant | undefined {
  let best = entry.byUid.get(subject.uid)
  for (const gid of [subject.gid, ...subject.groups]) {
    const grant = isUsableId(gid) ? entry.byGid.get(gid) : undefined
    if (grant !== undefined) best = better(best, grant)
  }
  return best
}

/** Whom no grant names at all does not learn which actions exist. */
function denyUngranted(
  index: PolicyIndex,
  subject: Subject,
  entry: IndexedAction | undefined,
): Decision {
  const isKnown =
    index.uids.has(subject.uid) ||
    [subject.gid, ...subject.groups].some((gid) => isUsableId(gid) && index.gids.has(gid))
  if (entry === undefined || !isKnown) return deny('action_unknown')
  return deny('not_granted', { action: entry.action.id, enough: 'a grant of this action' })
}

/** The values by name, or the first thing that is wrong with them. */
function bindParameters(
  { parameters }: IndexedAction,
  request: ActionRequest,
  about: Readonly<{ rule: string; action: string }>,
): Deny | Readonly<{ bound: ReadonlyMap<string, string> }> {
  const bound = new Map<string, string>()
  for (const { name, value } of request.parameters) {
    const known = parameters.get(name)
    if (known === undefined) {
      const names = [...parameters.keys()].join(', ')
      const enough = names === '' ? 'no parameter at all' : `only these parameters: ${names}`
      return deny('parameter_unknown', { ...about, enough })
    }
    if (bound.has(name)) {
      return deny('parameter_duplicate', { ...about, parameter: name, enough: 'one value' })
    }
    if (!known.accepts(value)) {
      const enough = describeParameter(known.definition)
      return deny('parameter_invalid', { ...about, parameter: name, enough })
    }
    bound.set(name, value)
  }
  if (bound.size < parameters.size) {
    for (const [name, { definition }] of parameters) {
      if (bound.has(name)) continue
      const enough = describeParameter(definition)
      return deny('parameter_missing', { ...about, parameter: name, enough })
    }
  }
  return { bound }
}

function deny(code: RefusalCode, detail: Partial<Omit<Deny, 'kind' | 'code'>> = {}): Deny {
  return { kind: 'deny', code, rule: null, action: null, parameter: null, enough: null, ...detail }
}
