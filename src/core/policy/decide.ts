import type { Subject } from '../identity.ts'
import type { ActionRequest } from '../protocol/request.ts'
import type { RefusalCode } from '../refusal.ts'
import { argvOf } from './argv.ts'
import type { CompiledAction, CompiledParameter, CompiledProfile } from './compiled.ts'
import { doOverlap, grantedPaths, pathOfValue } from './granted-path.ts'
import type { GrantedPath } from './granted-path.ts'
import { pathOfInput } from './inputs.ts'
import { findGrant, isLive, isUsableId } from './grant-table.ts'
import type { IndexedGrant } from './grant-table.ts'
import type { IndexedAction, PolicyIndex } from './policy-index.ts'
import { applyRate, rateKey } from './rate.ts'

/** What a decision depends on besides policy, subject and request. Null: a bound that the other process judges. */
export type DecideFacts = Readonly<{
  nowMs: number
  /** How often each grant with `uses` has been used; who is not in it, never. */
  uses: ReadonlyMap<string, number> | null
  /** The state of each rate, by `rateKey`. */
  rates: ReadonlyMap<string, number> | null
}>

/** What running this would do to the counters. A dry run changes none. */
export type CounterChanges = Readonly<{
  uses: Readonly<{ grant: string; used: number }> | null
  rate: Readonly<{ key: string; tatUs: number }> | null
  /**
   * Whether a grant of the action has `uses`, which are not everybody's to count. Not this grant alone: which one counts
   * depends on the clock, and broker and executor look at it one after the other.
   */
  isCounted: boolean
}>

/** An action with its arguments filled in, by a grant. */
export type Permit = Readonly<{
  kind: 'permit'
  grant: string
  action: CompiledAction
  /** SHA-256 of the action's compiled definition. */
  version: string
  profile: CompiledProfile
  argv: readonly string[]
  /** What parameters name of the host: the run sees it, and nothing else below the same root. */
  paths: readonly GrantedPath[]
  changes: CounterChanges
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
 * its bounds are not used up, and each argument is one that the action takes. Broker and executor both call this, each with its own index.
 *
 * @see DESIGN "The way of a request", step 3; docs/reference/policy.md
 */
export function decide(
  index: PolicyIndex,
  subject: Subject,
  request: ActionRequest,
  facts: DecideFacts,
): Decision {
  if (!isUsableId(subject.uid)) return deny('subject_unmapped')
  const entry = index.actions.get(request.action)
  const table = subject.foreign ? entry?.foreign : entry?.own
  const grant = table && findGrant(table, subject, facts.nowMs)
  if (entry === undefined || grant === undefined) return denyUngranted(index, subject, entry)
  const about = { rule: grant.id, action: request.action }
  if (!isLive(grant, facts.nowMs)) {
    return deny('grant_expired', { ...about, enough: 'a grant that has not expired' })
  }
  if (request.nonce !== null) {
    return deny('nonce_unsupported', { ...about, enough: 'the same request without a nonce' })
  }
  const values = bindParameters(entry, request, about)
  if ('kind' in values) return values
  if (entry.needsReason && !visible.test(request.reason)) {
    return deny('reason_required', { ...about, enough: 'a reason' })
  }
  const counted = count(grant, subject, facts, about)
  if ('kind' in counted) return counted
  const changes = { ...counted, isCounted: entry.isCounted }
  const argv = entry.argv ?? argvOf(entry.action, values.bound)
  const { action, version, profile, approval } = entry
  const permit: Permit = {
    kind: 'permit',
    grant: grant.id,
    action,
    version,
    profile,
    argv,
    paths: values.paths,
    changes,
  }
  if (approval === null) return permit
  return { ...permit, kind: 'ask', need: approval.need, from: approval.from }
}

/** A letter, digit, mark of punctuation or symbol that is not blank: what an auditor can read (U+2800 is an empty cell). */
const visible = /(?![\p{Default_Ignorable_Code_Point}\u2800])[\p{L}\p{N}\p{P}\p{S}]/u

type Counted = Omit<CounterChanges, 'isCounted'>
const unchanged: Counted = { uses: null, rate: null }

/** What the request does to the counters of its grant, or which of them is exhausted. */
function count(
  grant: IndexedGrant,
  subject: Subject,
  facts: DecideFacts,
  about: About,
): Deny | Counted {
  const { id, uses, limit } = grant
  if (uses === null && limit === null) return unchanged
  const used = (facts.uses?.get(id) ?? 0) + 1
  if (uses !== null && facts.uses !== null && used > uses) {
    return deny('grant_used_up', { ...about, enough: 'a grant that is not used up' })
  }
  const key = rateKey(grant, subject)
  const answer =
    limit === null || facts.rates === null
      ? null
      : applyRate(limit, facts.rates.get(key), facts.nowMs)
  if (answer?.kind === 'exceeds') {
    const seconds = String(Math.ceil(answer.waitUs / 1_000_000))
    return deny('rate_limited', { ...about, enough: `the same request in ${seconds} s` })
  }
  return {
    uses: uses === null || facts.uses === null ? null : { grant: id, used },
    rate: answer === null ? null : { key, tatUs: answer.tatUs },
  }
}

const pathWords = { file: 'a file', directory: 'a directory', new: 'a new file' } as const

/** What is enough for a value of this parameter. */
export function describeParameter(parameter: CompiledParameter): string {
  switch (parameter.kind) {
    case 'one_of': {
      const shown = parameter.values.slice(0, 8).join(', ')
      return `one of: ${shown}${parameter.values.length > 8 ? ', …' : ''}`
    }
    case 'integer':
      return `an integer from ${String(parameter.min)} to ${String(parameter.max)}`
    case 'match': {
      const length = String(parameter.max_length)
      const dash = parameter.leading_dash ? '' : ', not beginning with "-"'
      return `text of the form ${parameter.pattern}, at most ${length} characters${dash}`
    }
    case 'path':
      return `${pathWords[parameter.what]}, as a path below ${parameter.root} without ".." or a leading "-"`
    case 'flag':
      return 'true or false'
    case 'secret':
      return 'a secret by descriptor: bell NAME@FILE'
  }
}

/** Whom no grant names at all does not learn which actions exist. */
function denyUngranted(
  index: PolicyIndex,
  subject: Subject,
  entry: IndexedAction | undefined,
): Decision {
  if (subject.foreign) return deny('subject_foreign_namespace')
  if (entry === undefined || !isNamed(index, subject)) return deny('action_unknown')
  return deny('not_granted', { action: entry.action.id, enough: 'a grant of this action' })
}

/** Whether some grant names the subject; whoever is in another namespace is a stranger. */
export function isNamed(index: PolicyIndex, { uid, gid, groups, unit, foreign }: Subject): boolean {
  if (foreign || !isUsableId(uid)) return false
  const isOfGroup = (id: number): boolean => isUsableId(id) && index.gids.has(id)
  return (
    index.uids.has(uid) ||
    [gid, ...groups].some(isOfGroup) ||
    (unit !== null && index.units.has(unit))
  )
}

type About = Readonly<{ rule: string; action: string }>

type Bound = Readonly<{
  bound: ReadonlyMap<string, readonly string[]>
  paths: readonly GrantedPath[]
}>

const noValues: Bound = { bound: new Map(), paths: [] }

/** The arguments by parameter, or the first thing that is wrong with the values. */
function bindParameters(
  { parameters }: IndexedAction,
  request: ActionRequest,
  about: About,
): Deny | Bound {
  if (parameters.size === 0 && request.parameters.length === 0) return noValues
  const given = new Map<string, string[]>()
  const paths: GrantedPath[] = []
  for (const { name, value } of request.parameters) {
    const known = parameters.get(name)
    if (known === undefined) {
      const names = [...parameters.keys()].join(', ')
      const enough = names === '' ? 'no parameter at all' : `only these parameters: ${names}`
      return deny('parameter_unknown', { ...about, enough })
    }
    const values = given.get(name) ?? []
    given.set(name, values)
    if (values.push(value) > known.max) {
      const enough = known.max === 1 ? 'one value' : `at most ${String(known.max)} values`
      return deny('parameter_duplicate', { ...about, parameter: name, enough })
    }
    if (!known.accepts(value)) {
      const enough = describeParameter(known.definition)
      return deny('parameter_invalid', { ...about, parameter: name, enough })
    }
  }
  for (const [name, { definition, min }] of parameters) {
    const values = given.get(name) ?? []
    if (values.length < min) {
      const times = min === 1 ? '' : `at least ${String(min)} values, each `
      const enough = `${times}${describeParameter(definition)}`
      return deny('parameter_missing', { ...about, parameter: name, enough })
    }
    given.set(name, argumentsOf(definition, values))
    if (definition.kind !== 'path') continue
    const named = values.map((value) => pathOfValue(definition, value))
    given.set(name, named)
    paths.push(...grantedPaths(definition, named))
    if (doOverlap(paths)) {
      const enough = 'paths of which none lies in another'
      return deny('parameter_invalid', { ...about, parameter: name, enough })
    }
  }
  return { bound: given, paths }
}

/** What the values become in an argument. */
function argumentsOf(definition: CompiledParameter, values: string[]): string[] {
  if (definition.kind === 'secret') return values.map(pathOfInput)
  if (definition.kind !== 'flag') return values
  return values[0] === 'true' ? [definition.argument] : []
}

function deny(code: RefusalCode, detail: Partial<Omit<Deny, 'kind' | 'code'>> = {}): Deny {
  return { kind: 'deny', code, rule: null, action: null, parameter: null, enough: null, ...detail }
}
