import { isGid, isUid } from '../core/identity.ts'
import type { Gid, Uid } from '../core/identity.ts'
import { BelladonnaError } from '../core/error.ts'
import type { Accounts } from '../core/policy/compile-facts.ts'
import { quote } from '../core/toml/problem.ts'
import { parseAccountNumber } from '../core/toml/quantity.ts'
import { readTrustedFile } from './trusted-file.ts'

/** Largest account file that is read. */
const maxAccountBytes = 16 * 1024 * 1024

/** Where local accounts are; other paths are for tests. */
export type AccountFiles = Readonly<{ passwd: string; group: string }>

/** The accounts, and in which groups each user is listed: what a login would give, ascending. */
export type HostAccounts = Accounts & Readonly<{ groupsOf: ReadonlyMap<string, readonly Gid[]> }>

const systemFiles: AccountFiles = { passwd: '/etc/passwd', group: '/etc/group' }

/**
 * Reads the local users and groups from the files themselves: no NSS, so no library of somebody else's choice is loaded
 * and no name is asked of the network (ABUSE C07).
 *
 * Trusted: root alone can change these files, and root could change the policy too.
 *
 * @param uid the caller's; the files must belong to it or to root
 * @throws {BelladonnaError} `policy_unreadable` if a file cannot be trusted; `input_invalid`, naming the line, if it
 *   cannot be read without a doubt
 */
export function readAccounts(uid: number, files: AccountFiles = systemFiles): HostAccounts {
  const users = new Map<string, { uid: Uid; gid: Gid }>()
  for (const { fields, place } of readLines(files.passwd, uid, 7)) {
    const [name = '', , userId = '', groupId = ''] = fields
    const user = { uid: parseId(place, userId, isUid), gid: parseId(place, groupId, isGid) }
    addOnce(users, place, name, user)
  }
  const groups = new Map<string, Gid>()
  const groupsOf = new Map<string, readonly Gid[]>()
  for (const { fields, place } of readLines(files.group, uid, 4)) {
    const [name = '', , groupId = '', members = ''] = fields
    const gid = parseId(place, groupId, isGid)
    addOnce(groups, place, name, gid)
    for (const member of new Set(members.split(',').filter((word) => word !== ''))) {
      groupsOf.set(member, [...(groupsOf.get(member) ?? []), gid].sort(ascending))
    }
  }
  return { users, groups, groupsOf }
}

function ascending(a: number, b: number): number {
  return a - b
}

type Line = Readonly<{ fields: readonly string[]; place: string }>

/** The lines that define an account. Those that begin with "+" or "-" ask NIS, which we never do. */
function readLines(file: string, uid: number, fieldCount: number): readonly Line[] {
  const text = readTrustedFile(file, uid, maxAccountBytes)
  return text.split('\n').flatMap((line, index) => {
    if (line === '' || /^[#+-]/.test(line)) return []
    const place = `${file}:${index + 1}`
    const fields = line.split(':')
    if (fields.length === fieldCount) return [{ fields, place }]
    throw invalid(place, `expected ${fieldCount} fields`)
  })
}

function parseId<T extends number>(
  place: string,
  text: string,
  isId: (value: unknown) => value is T,
): T {
  const id = parseAccountNumber(text)
  if (isId(id)) return id
  throw invalid(place, `expected an id, not ${quote(text)}`)
}

/** Which of two lines counts would depend on who reads them. */
function addOnce<T>(accounts: Map<string, T>, place: string, name: string, account: T): void {
  if (!/^[^\s\p{Cc}]{1,256}$/u.test(name)) throw invalid(place, 'expected a name')
  if (accounts.has(name)) throw invalid(place, `${quote(name)} is there twice`)
  accounts.set(name, account)
}

function invalid(place: string, what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `${place}: ${what}`)
}
