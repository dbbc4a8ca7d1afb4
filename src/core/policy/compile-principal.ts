import type { Accounts } from './compile-facts.ts'
import type { CompiledPrincipal, RunAs, RunAsNames } from './compiled.ts'
import { isUnitName } from './names.ts'
import { quote } from '../toml/problem.ts'
import { overflowId, parseAccountNumber } from '../toml/quantity.ts'
import { readText } from '../toml/reader.ts'
import type { Read, Report } from '../toml/reader.ts'
import { suggestionFor, suggestionWithin } from '../toml/suggestion.ts'
import type { TomlNode } from '../toml/tree.ts'

/** Reads `user:NAME`, `group:NAME`, `unit:NAME`, `uid:N` and `gid:N` of a grant. */
export function readPrincipal(accounts: Accounts): Read<CompiledPrincipal> {
  return (report, node) => {
    const text = readText(report, node)
    if (text === null) return null
    const colon = text.indexOf(':')
    const name = text.slice(colon + 1)
    switch (text.slice(0, colon + 1)) {
      case 'user:': {
        const user = lookUp(report, node, 'user', accounts.users, name)
        return user && usable(report, node, { kind: 'user', id: user.uid, name })
      }
      case 'group:': {
        const gid = lookUp(report, node, 'group', accounts.groups, name)
        return gid === null ? null : usable(report, node, { kind: 'group', id: gid, name })
      }
      case 'uid:':
        return readNumber(report, node, 'user', name)
      case 'gid:':
        return readNumber(report, node, 'group', name)
      case 'unit:':
        if (isUnitName(name)) return { kind: 'unit', name }
        return report.add(
          node,
          'value_invalid',
          `expected the name of a service or scope, not ${quote(name)}`,
        )
      default:
        return report.add(
          node,
          'value_invalid',
          `expected "user:NAME", "group:NAME", "unit:NAME", "uid:N" or "gid:N", not ${quote(text)}`,
          suggestionWithin(text, /^[^:]*:/, ['user:', 'group:', 'unit:', 'uid:', 'gid:']),
        )
    }
  }
}

type Account = Exclude<CompiledPrincipal, { kind: 'unit' }>

/** Reads `run_as`: a user, with its primary group unless another one follows after a colon. */
export function readRunAs(
  accounts: Accounts,
): Read<Readonly<{ run_as: RunAs; run_as_names: RunAsNames }>> {
  return (report, node) => {
    const text = readText(report, node)
    if (text === null) return null
    const [userName = '', groupName, ...rest] = text.split(':')
    if (rest.length > 0) {
      return report.add(
        node,
        'value_invalid',
        `expected "user" or "user:group", not ${quote(text)}`,
      )
    }
    const user = lookUp(report, node, 'user', accounts.users, userName)
    const gid =
      groupName === undefined
        ? user?.gid
        : lookUp(report, node, 'group', accounts.groups, groupName)
    if (user === null || gid === undefined || gid === null) return null
    const run_as_names = { user: userName, group: groupName ?? null }
    return { run_as: { uid: user.uid, gid, groups: [] }, run_as_names }
  }
}

function lookUp<T>(
  report: Report,
  node: TomlNode,
  kind: 'user' | 'group',
  names: ReadonlyMap<string, T>,
  name: string,
): T | null {
  const file = kind === 'user' ? '/etc/passwd' : '/etc/group'
  return (
    names.get(name) ??
    report.add(
      node,
      'account_unknown',
      `no ${kind} ${quote(name)} in ${file}`,
      suggestionFor(name, names.keys()),
    )
  )
}

function readNumber(
  report: Report,
  node: TomlNode,
  kind: 'user' | 'group',
  text: string,
): Account | null {
  const id = parseAccountNumber(text)
  if (id !== undefined) return usable(report, node, { kind, id, name: null })
  return report.add(
    node,
    'value_invalid',
    `expected a decimal number up to 4294967294, not ${quote(text)}`,
  )
}

function usable(report: Report, node: TomlNode, principal: Account): Account | null {
  if (principal.id !== overflowId) return principal
  const message = `${String(overflowId)} stands for every id that is not mapped, and cannot be granted anything`
  return report.add(node, 'account_unusable', message)
}
