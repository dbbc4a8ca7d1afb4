import { readFileSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { isGid, isUid } from '../core/identity.ts'
import type { Gid, Subject, Uid } from '../core/identity.ts'
import { quote } from '../core/toml/problem.ts'
import { overflowId, parseAccountNumber } from '../core/toml/quantity.ts'
import { suggestionFor } from '../core/toml/suggestion.ts'
import { readAccounts } from '../host/accounts.ts'
import type { HostAccounts } from '../host/accounts.ts'
import { ownUid } from '../host/own-uid.ts'

/**
 * Who asks: the caller, or whoever logged in as `user:NAME` or `uid:N`, with the groups of the local files. Nobody is
 * taken to be in a unit or in namespaces of their own.
 *
 * @throws {BelladonnaError} `usage`
 */
export function readSubject(as: string | undefined): Subject {
  return as === undefined ? ownSubject() : subjectOf(readAccounts(ownUid()), as)
}

function ownSubject(): Subject {
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()]
  if (!isUid(uid) || !isGid(gid)) throw new BelladonnaError('usage', 'the caller has no user')
  return madeOf(uid, gid, ownGroups().filter(isGid))
}

/** As the kernel would tell the launcher: process.getgroups() adds the effective group. */
function ownGroups(): readonly number[] {
  const [, line = ''] =
    /^Groups:\s*([\d ]*)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return line.split(' ').flatMap((word) => (word === '' ? [] : Number(word)))
}

/** @throws {BelladonnaError} `usage` */
export function subjectOf(accounts: HostAccounts, as: string): Subject {
  const [, kind, word = ''] = /^(user|uid):(.+)$/.exec(as) ?? []
  if (kind === 'user') {
    const user = accounts.users.get(word)
    if (user !== undefined) return madeOf(user.uid, user.gid, accounts.groupsOf.get(word) ?? [])
    const near = suggestionFor(word, accounts.users.keys())
    const hint = near === undefined ? '' : ` (did you mean ${quote(near)}?)`
    throw new BelladonnaError('usage', `--as: no user ${quote(word)} in /etc/passwd${hint}`)
  }
  const uid = parseAccountNumber(word)
  // Without an account nothing says which group it would have; this one is in no grant.
  const nobody: number = overflowId
  if (kind === undefined || !isUid(uid) || !isGid(nobody)) {
    throw new BelladonnaError('usage', `--as: expected user:NAME or uid:NUMBER, not ${quote(as)}`)
  }
  const account = [...accounts.users].find(([, user]) => user.uid === uid)
  return account === undefined ? madeOf(uid, nobody, []) : subjectOf(accounts, `user:${account[0]}`)
}

function madeOf(uid: Uid, gid: Gid, groups: readonly Gid[]): Subject {
  const sorted = [...new Set(groups)].sort((a, b) => a - b)
  return { uid, gid, groups: sorted, pid: process.pid, foreign: false, unit: null }
}
