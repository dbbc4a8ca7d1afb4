import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sealGrant } from './compiled.ts'
import type { CompiledAction, CompiledPolicy } from './compiled.ts'
import { indexPolicy } from './policy-index.ts'
import { fullPolicy, policyOf } from './policy.test-support.ts'

const policy = policyOf(fullPolicy)

function actionOf(id: string): CompiledAction {
  const action = policy.actions.find((candidate) => candidate.id === id)
  assert.ok(action !== undefined)
  return action
}
const [restart, look, tidy] = [actionOf('app.restart'), actionOf('look'), actionOf('tidy')]

/** The full policy with `app.restart` changed. */
function changed(change: Partial<CompiledAction>): CompiledPolicy {
  return { ...policy, actions: [{ ...restart, ...change }, look, tidy] }
}

const parameter = { kind: 'parameter', before: '', name: 'nothing', after: '' } as const

// A policy is compiled by us and read strictly, so none of these comes from a compiler: it was changed on the way.
const refusals: readonly (readonly [name: string, policy: CompiledPolicy, message: RegExp])[] = [
  [
    'an action twice',
    { ...policy, actions: [restart, look, look, tidy] },
    /action look is there twice$/,
  ],
  [
    'a profile twice',
    { ...policy, profiles: [...policy.profiles, ...policy.profiles.slice(0, 1)] },
    /two profiles of one name$/,
  ],
  [
    'a parameter twice',
    changed({ params: [...restart.params, ...restart.params.slice(0, 1)] }),
    /app\.restart has a parameter twice$/,
  ],
  ['a profile that is not there', changed({ profile: 'none' }), /app\.restart names no profile/],
  ['no profile at all', { ...policy, profiles: [] }, /app\.restart names no profile/],
  ['approvers that are not there', { ...policy, approvers: [] }, /names no approvers/],
  ['a command without elements', changed({ command: [] }), /app\.restart has no program$/],
  ['a program that the caller chooses', changed({ command: [parameter] }), /has no program$/],
  [
    'a parameter that is not there',
    changed({ command: [{ kind: 'literal', text: 'x' }, parameter] }),
    /uses a parameter that it does not have$/,
  ],
  [
    'a grant of an action that is not there',
    { ...policy, actions: [restart, tidy] },
    /grant g-[0-9a-f]{16} names no action look$/,
  ],
]

for (const [name, broken, message] of refusals) {
  test(`policy index: promise 6: ${name} is refused, and with it the whole policy`, () => {
    assert.throws(() => indexPolicy(broken), { code: 'input_invalid', message })
  })
}

test('policy index: C100: names of every object are no names of actions, profiles or parameters', () => {
  const { actions } = indexPolicy(policy)
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.equal(actions.get(name), undefined)
    assert.equal(actions.get('app.restart')?.parameters.get(name), undefined)
    assert.throws(() => indexPolicy(changed({ profile: name })), /names no profile/)
    const approval = { need: 1, from: name, within_ms: 1000 }
    assert.throws(() => indexPolicy(changed({ approval })), /names no approvers/)
  }
})

test('policy index: an action without a grant is there, and nobody is in its tables', () => {
  const index = indexPolicy({ ...policy, grants: [] })
  assert.deepEqual([...index.actions.keys()], ['app.restart', 'look', 'tidy'])
  const nobody = { byUid: null, byGid: null, byUnit: null }
  assert.deepEqual(index.actions.get('look')?.own, nobody)
  assert.equal(index.uids.size + index.gids.size + index.units.size, 0)
})

test('policy index: only grants with namespace "any" are for peers in other namespaces', () => {
  const who = [{ kind: 'user', id: 7, name: null }] as const
  const rest = { who, may: ['look'], until_ms: null, uses: null, limit: null }
  const grants = [sealGrant({ ...rest, namespace: 'own' })]
  const own = indexPolicy({ ...policy, grants }).actions.get('look')
  assert.deepEqual([own?.own.byUid !== null, own?.foreign.byUid !== null], [true, false])
  const any = indexPolicy({ ...policy, grants: [sealGrant({ ...rest, namespace: 'any' })] })
  const looked = any.actions.get('look')
  assert.deepEqual([looked?.own.byUid !== null, looked?.foreign.byUid !== null], [true, true])
})
