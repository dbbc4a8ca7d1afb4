import { readFileSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { isGid, isUid } from '../core/identity.ts'
import type { Gid, Subject, Uid } from '../core/identity.ts'
import { isUnitName } from '../core/policy/names.ts'
import { quote } from '../core/toml/problem.ts'
import { overflowId, parseAccountNumber } from '../core/toml/quantity.ts'
import { suggestionFor } from '../core/toml/suggestion.ts'
import { readAccounts } from '../host/accounts.ts'
import type { HostAccounts } from '../host/accounts.ts'
import { ownUid } from '../host/own-uid.ts'

/**
 * Who asks: the caller, or whoever `user:NAME` or `uid:N` is, with the groups of the local files; with `unit:NAME` as a
 * process of that unit. Otherwise nobody is taken to be in a unit, and never in namespaces of their own.
 *
 * @param as `user:NAME`, `uid:N` or `unit:NAME`, or one of the first two and a unit, joined by a comma
 * @throws {BelladonnaError} `usage`
 */
export function readSubject(as: string | undefined): Subject {
  if (as === undefined) return ownSubject()
  const { account, unit } = splitWords(as)
  const subject = account === null ? ownSubject() : subjectOf(readAccounts(ownUid()), account)
  return { ...subject, unit }
}

const expected = 'user:NAME, uid:NUMBER or unit:NAME'

/** One account and one unit at most. */
function splitWords(as: string): Readonly<{ account: string | null; unit: string | null }> {
  const words = as.split(',')
  const units = words.filter((word) => word.startsWith('unit:')).map((word) => word.slice(5))
  const accounts = words.filter((word) => !word.startsWith('unit:'))
  const [account = null, unit = null] = [accounts[0], units[0]]
  if (accounts.length > 1 || units.length > 1) {
    throw new BelladonnaError('usage', `--as: expected ${expected}, one of each, not ${quote(as)}`)
  }
  if (unit !== null && !isUnitName(unit)) {
    const form = 'expected the name of a .service or .scope'
    throw new BelladonnaError('usage', `--as: unit ${quote(unit)}: ${form}`)
  }
  return { account, unit }
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
    throw new BelladonnaError('usage', `--as: expected ${expected}, not ${quote(as)}`)
  }
  const account = [...accounts.users].find(([, user]) => user.uid === uid)
  return account === undefined ? madeOf(uid, nobody, []) : subjectOf(accounts, `user:${account[0]}`)
}

function madeOf(uid: Uid, gid: Gid, groups: readonly Gid[]): Subject {
  const sorted = [...new Set(groups)].sort((a, b) => a - b)
  return { uid, gid, groups: sorted, pid: process.pid, foreign: false, unit: null }
}
