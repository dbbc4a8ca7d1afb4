declare const brand: unique symbol
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** A user id, 0..2^32-2. The value 2^32-1 tells setresuid(2) "leave unchanged", so it is never a user. */
export type Uid = Brand<number, 'Uid'>
/** A group id, 0..2^32-2, for the same reason. */
export type Gid = Brand<number, 'Gid'>
/** An absolute path without NUL and without empty, `.` or `..` segments; `/` itself counts. */
export type CleanPath = Brand<string, 'CleanPath'>

const maxId = 0xffff_fffe

export function isUid(value: unknown): value is Uid {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxId
}

export function isGid(value: unknown): value is Gid {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxId
}

export function isCleanPath(value: unknown): value is CleanPath {
  if (typeof value !== 'string' || !value.startsWith('/') || value.includes('\0')) return false
  if (value === '/') return true
  return value
    .slice(1)
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..')
}

/**
 * Who asks, as the kernel told the launcher on the connection that it accepted itself.
 *
 * `foreign` is true when the peer lives in another user or pid namespace, or when that could not be found out.
 */
export type Subject = Readonly<{
  uid: Uid
  gid: Gid
  /** Supplementary groups at connect(2), as SO_PEERGROUPS gave them, ascending, without duplicates. */
  groups: readonly Gid[]
  pid: number
  foreign: boolean
  /** The system manager's unit that the peer runs in, where the launcher could vouch for it; otherwise null. */
  unit: string | null
}>
