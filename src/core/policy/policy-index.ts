import { BelladonnaError } from '../error.ts'
import { matches } from './automaton.ts'
import { actionVersion } from './compiled.ts'
import type {
  CompiledAction,
  CompiledFlag,
  CompiledGrant,
  CompiledParameter,
  CompiledPolicy,
  CompiledProfile,
  CompiledRepeat,
  CompiledSecret,
} from './compiled.ts'
import { isPathBelow } from './granted-path.ts'
import { isInputName } from './inputs.ts'
import { tableOf } from './grant-table.ts'
import { argvOf } from './argv.ts'
import type { GrantTable } from './grant-table.ts'

/** A parameter with its test, made once, and how many values it takes. */
export type IndexedParameter = Readonly<{
  definition: CompiledParameter
  accepts: (value: string) => boolean
  min: number
  max: number
}>

/** An action with all that a decision about it needs. */
export type IndexedAction = Readonly<{
  action: CompiledAction
  version: string
  profile: CompiledProfile
  approval: CompiledAction['approval']
  needsReason: boolean
  parameters: ReadonlyMap<string, IndexedParameter>
  /** As it is run, where no parameter changes it. */
  argv: readonly string[] | null
  /** For peers in the bridge's own namespaces: all grants of the action. */
  own: GrantTable
  /** For peers in others: those with `namespace = "any"`. */
  foreign: GrantTable
  /** Whether one of its grants has `uses`. */
  isCounted: boolean
}>

/** A policy made ready for `decide`: a lookup costs the same however many actions and grants there are. */
export type PolicyIndex = Readonly<{
  actions: ReadonlyMap<string, IndexedAction>
  /** Everybody whom some grant names: who is in no set is a stranger. */
  uids: ReadonlySet<number>
  gids: ReadonlySet<number>
  units: ReadonlySet<string>
}>

/**
 * Builds the index.
 *
 * @throws {BelladonnaError} `input_invalid` if an action, a profile or a parameter is there twice, or an action names a profile, set of approvers or
 *   parameter that is not there; a grant of an action that is not there
 */
export function indexPolicy(policy: CompiledPolicy): PolicyIndex {
  const profiles = new Map(policy.profiles.map((profile) => [profile.name, profile]))
  if (profiles.size < policy.profiles.length) {
    throw new BelladonnaError('input_invalid', 'policy: two profiles of one name')
  }
  const approvers = new Set(policy.approvers.map(({ name }) => name))
  const grants = grantsByAction(policy)
  const actions = new Map<string, IndexedAction>()
  // One behind the other in memory: a lookup that compares one of them costs half as much as where they lie between all the rest.
  const named = policy.actions.map((action) => ({ action, id: copyOf(action.id) }))
  for (const { action, id } of named) {
    const profile = profiles.get(action.profile)
    if (profile === undefined) throw refused(action, 'names no profile of the policy')
    if (action.approval !== null && !approvers.has(action.approval.from)) {
      throw refused(action, 'names no approvers of the policy')
    }
    if (actions.has(action.id)) throw refused(action, 'is there twice')
    const own = grants.get(action.id) ?? []
    const parameters = indexParameters(action)
    actions.set(id, {
      action,
      version: actionVersion(action),
      profile,
      approval: action.approval,
      needsReason: action.reason === 'required',
      parameters,
      argv: parameters.size === 0 ? argvOf(action, new Map()) : null,
      own: tableOf(own),
      foreign: tableOf(own.filter(({ namespace }) => namespace === 'any')),
      isCounted: own.some(({ uses }) => uses !== null),
    })
  }
  return { actions, ...namedIn(policy.grants) }
}

/** The same text in a place of its own. */
function copyOf(text: string): string {
  return String(JSON.parse(JSON.stringify(text)))
}

/** The grants of each action that has any. */
function grantsByAction({
  actions,
  grants,
}: CompiledPolicy): ReadonlyMap<string, readonly CompiledGrant[]> {
  const known = new Set(actions.map(({ id }) => id))
  const byAction = new Map<string, CompiledGrant[]>()
  for (const grant of grants) {
    for (const id of grant.may) {
      if (!known.has(id)) {
        throw new BelladonnaError(
          'input_invalid',
          `policy: grant ${grant.id} names no action ${id}`,
        )
      }
      const list = byAction.get(id)
      if (list === undefined) byAction.set(id, [grant])
      else list.push(grant)
    }
  }
  return byAction
}

const noParameters: ReadonlyMap<string, IndexedParameter> = new Map()

function indexParameters(action: CompiledAction): ReadonlyMap<string, IndexedParameter> {
  const parameters = new Map(
    action.params.map((definition) => [
      definition.name,
      { definition, accepts: testOf(definition), ...countsOf(definition) },
    ]),
  )
  if (parameters.size < action.params.length) throw refused(action, 'has a parameter twice')
  const [program, ...rest] = action.command
  if (program?.kind !== 'literal') throw refused(action, 'has no program')
  for (const element of rest) {
    if (element.kind === 'parameter' && !parameters.has(element.name)) {
      throw refused(action, 'uses a parameter that it does not have')
    }
  }
  return parameters.size === 0 ? noParameters : parameters
}

/** A flag may be left out; anything else is given once unless it repeats. */
function countsOf(definition: CompiledParameter): CompiledRepeat {
  if (definition.kind === 'flag') return { min: 0, max: 1 }
  if (definition.kind === 'secret') return { min: 1, max: 1 }
  return definition.repeat ?? { min: 1, max: 1 }
}

function testOf(definition: CompiledParameter): (value: string) => boolean {
  if (definition.kind === 'flag') return (value) => value === 'true' || value === 'false'
  if (definition.kind === 'secret') return isInputName
  const accepts = kindTestOf(definition)
  return definition.leading_dash ? accepts : (value) => !value.startsWith('-') && accepts(value)
}

function kindTestOf(
  definition: Exclude<CompiledParameter, CompiledFlag | CompiledSecret>,
): (value: string) => boolean {
  switch (definition.kind) {
    case 'one_of': {
      const words = new Set(definition.values)
      return (value) => words.has(value)
    }
    case 'path':
      return isPathBelow
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

function namedIn(grants: readonly CompiledGrant[]): Pick<PolicyIndex, 'uids' | 'gids' | 'units'> {
  const uids = new Set<number>()
  const gids = new Set<number>()
  const units = new Set<string>()
  for (const principal of grants.flatMap(({ who }) => who)) {
    if (principal.kind === 'unit') units.add(principal.name)
    else (principal.kind === 'user' ? uids : gids).add(principal.id)
  }
  return { uids, gids, units }
}

function refused({ id }: CompiledAction, what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `policy: action ${id} ${what}`)
}
