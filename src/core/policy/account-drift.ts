import { compareText } from '../toml/reader.ts'
import type { Accounts } from './compile-facts.ts'
import type { CompiledPolicy } from './compiled.ts'

/** A name that stands for another id now than when the policy was installed. Printed as JSON. */
export type AccountDrift = Readonly<{
  /** `user:NAME` or `group:NAME`. */
  account: string
  /** `uid N` or `gid N`; of a user the gid is that of its primary group, where an action runs with it. */
  installed: string
  /** The same; null: there is no such account any more. */
  now: string | null
}>

/**
 * Looks up again every name of an account in a policy: those of grants and of `run_as`. They were looked up at install and are
 * not at run time, so what the policy permits is as installed. All of them are in the segment `auth`. Sorted, each once.
 */
export function accountDrift(policy: CompiledPolicy, accounts: Accounts): readonly AccountDrift[] {
  const user = (name: string): string | null => textOf('uid', accounts.users.get(name)?.uid)
  const primary = (name: string): string | null => textOf('gid', accounts.users.get(name)?.gid)
  const group = (name: string): string | null => textOf('gid', accounts.groups.get(name))
  const granted = policy.grants.flatMap(({ who }) => {
    return who.flatMap((principal): readonly AccountDrift[] => {
      if (principal.kind === 'unit' || principal.name === null) return []
      const { kind, id, name } = principal
      const account = `${kind}:${name}`
      return kind === 'user'
        ? [{ account, installed: `uid ${String(id)}`, now: user(name) }]
        : [{ account, installed: `gid ${String(id)}`, now: group(name) }]
    })
  })
  const run = policy.actions.flatMap(({ run_as, run_as_names: names }): readonly AccountDrift[] => {
    const account = `user:${names.user}`
    const installed = `gid ${String(run_as.gid)}`
    return [
      { account, installed: `uid ${String(run_as.uid)}`, now: user(names.user) },
      names.group === null
        ? { account, installed, now: primary(names.user) }
        : { account: `group:${names.group}`, installed, now: group(names.group) },
    ]
  })
  const changed = [...granted, ...run].filter(({ installed, now }) => installed !== now)
  const once = new Map(changed.map((item) => [`${item.account} ${item.installed}`, item]))
  return [...once].sort(([a], [b]) => compareText(a, b)).map(([, item]) => item)
}

function textOf(kind: 'uid' | 'gid', id: number | undefined): string | null {
  return id === undefined ? null : `${kind} ${String(id)}`
}
