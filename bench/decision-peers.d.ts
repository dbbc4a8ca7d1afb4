/**
 * As much of the peers' types as the benchmark uses: what is checked must not depend on what only `npm run bench` installs.
 */
declare module 'casbin' {
  export type Enforcer = { enforceSync: (...words: readonly string[]) => boolean }
  export type Model = Readonly<{ model: unknown }>
  export function newModelFromString(text: string): Model
  export type Adapter = Readonly<{ policy: unknown }>
  export const StringAdapter: new (policy: string) => Adapter
  export function newEnforcer(model: Model, adapter: Adapter): Promise<Enforcer>
}

declare module '@cedar-policy/cedar-wasm/nodejs' {
  type EntityUid = Readonly<{ type: string; id: string }>
  type Answer =
    | Readonly<{ type: 'failure'; errors: readonly unknown[] }>
    | Readonly<{ type: 'success'; response: Readonly<{ decision: 'allow' | 'deny' }> }>
  export function preparsePolicySet(
    name: string,
    policies: Readonly<{ staticPolicies: string }>,
  ): Readonly<{ type: 'success' | 'failure' }>
  export function statefulIsAuthorized(
    call: Readonly<{
      principal: EntityUid
      action: EntityUid
      resource: EntityUid
      context: Readonly<Record<string, never>>
      preparsedPolicySetId: string
      entities: readonly never[]
    }>,
  ): Answer
}
