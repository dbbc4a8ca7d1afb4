import { BelladonnaError } from '../error.ts'
import { matches } from './automaton.ts'
import { actionVersion } from './compiled.ts'
import type {
  CompiledAction,
  CompiledGrant,
  CompiledParameter,
  CompiledPolicy,
  CompiledProfile,
} from './compiled.ts'

/** The grant that lasts longest of all that give one action to one id: no other one can decide anything. */
export type IndexedGrant = Readonly<{ id: string; untilMs: number }>

/** A parameter with its test, made once. */
export type IndexedParameter = Readonly<{
  definition: CompiledParameter
  accepts: (value: string) => boolean
}>

/** An action with all that a decision about it needs. */
export type IndexedAction = Readonly<{
  action: CompiledAction
  version: string
  profile: CompiledProfile
  parameters: ReadonlyMap<string, IndexedParameter>
  byUid: ReadonlyMap<number, IndexedGrant>
  byGid: ReadonlyMap<number, IndexedGrant>
}>

/** A policy made ready for `decide`: a lookup costs the same however many actions and grants there are. */
export type PolicyIndex = Readonly<{
  actions: ReadonlyMap<string, IndexedAction>
  /** Every id that some grant names: who is in neither set is a stranger. */
  uids: ReadonlySet<number>
  gids: ReadonlySet<number>
}>

/**
 * Builds the index.
 *
 * @throws {BelladonnaError} `input_invalid` if an action is there twice, or names a profile, set of approvers or
 *   parameter that is not there; a grant of an action that is not there
 */
export function indexPolicy(policy: CompiledPolicy): PolicyIndex {
  const profiles = new Map(policy.profiles.map((profile) => [profile.name, profile]))
  const approvers = new Set(policy.approvers.map(({ name }) => name))
  const actions = new Map<string, GrowingAction>()
  for (const action of policy.actions) {
    const profile = profiles.get(action.profile)
    if (profile === undefined) throw refused(action, 'names no profile of the policy')
    if (action.approval !== null && !approvers.has(action.approval.from)) {
      throw refused(action, 'names no approvers of the policy')
    }
    if (actions.has(action.id)) throw refused(action, 'is there twice')
    actions.set(action.id, {
      action,
      version: actionVersion(action),
      profile,
      parameters: indexParameters(action),
      byUid: new Map(),
      byGid: new Map(),
    })
  }
  for (const grant of policy.grants) addGrant(actions, grant)
  return { actions, ...idsOf(policy.grants) }
}

/** As `IndexedAction`, while `indexPolicy` fills it. */
type GrowingAction = Omit<IndexedAction, 'byUid' | 'byGid'> &
  Readonly<{ byUid: Map<number, IndexedGrant>; byGid: Map<number, IndexedGrant> }>

function indexParameters(action: CompiledAction): ReadonlyMap<string, IndexedParameter> {
  const parameters = new Map(
    action.params.map((definition) => [
      definition.name,
      { definition, accepts: testOf(definition) },
    ]),
  )
  const [program, ...rest] = action.command
  if (program?.kind !== 'literal') throw refused(action, 'has no program')
  for (const element of rest) {
    if (element.kind === 'parameter' && !parameters.has(element.name)) {
      throw refused(action, 'uses a parameter that it does not have')
    }
  }
  return parameters
}

function testOf(definition: CompiledParameter): (value: string) => boolean {
  const accepts = kindTestOf(definition)
  return definition.leading_dash ? accepts : (value) => !value.startsWith('-') && accepts(value)
}

function kindTestOf(definition: CompiledParameter): (value: string) => boolean {
  switch (definition.kind) {
    case 'one_of': {
      const words = new Set(definition.values)
      return (value) => words.has(value)
    }
    case 'integer':
      return (value) => isIntegerWithin(value, definition.min, definition.max)
    case 'match':
      return (value) =>
        // A character is at most two code units; the first test bounds the work of the others.
        value.length <= 2 * definition.max_length &&
        Array.from(value).length <= definition.max_length &&
        matches(definition.table, value)
  }
}

/** Decimal, with no sign but "-", no leading zero, no "-0": one spelling for each number (ABUSE C04). */
function isIntegerWithin(value: string, min: number, max: number): boolean {
  if (!/^(?:0|-?[1-9][0-9]{0,15})$/.test(value)) return false
  const number = Number(value)
  return number >= min && number <= max
}

function addGrant(actions: ReadonlyMap<string, GrowingAction>, grant: CompiledGrant): void {
  for (const id of grant.may) {
    const entry = actions.get(id)
    if (entry === undefined) {
      throw new BelladonnaError('input_invalid', `policy: grant ${grant.id} names no action ${id}`)
    }
    for (const principal of grant.who) {
      const grants = principal.kind === 'user' ? entry.byUid : entry.byGid
      const candidate = { id: grant.id, untilMs: grant.until_ms ?? Infinity }
      grants.set(principal.id, better(grants.get(principal.id), candidate))
    }
  }
}

/** The one that lasts longer; of equal ones that with the smaller id, so that the order of grants has no meaning. */
export function better(known: IndexedGrant | undefined, candidate: IndexedGrant): IndexedGrant {
  if (known === undefined || candidate.untilMs > known.untilMs) return candidate
  return candidate.untilMs === known.untilMs && candidate.id < known.id ? candidate : known
}

function idsOf(grants: readonly CompiledGrant[]): Pick<PolicyIndex, 'uids' | 'gids'> {
  const who = grants.flatMap((grant) => grant.who)
  return {
    uids: new Set(who.filter(({ kind }) => kind === 'user').map(({ id }) => id)),
    gids: new Set(who.filter(({ kind }) => kind === 'group').map(({ id }) => id)),
  }
}

function refused({ id }: CompiledAction, what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `policy: action ${id} ${what}`)
}
