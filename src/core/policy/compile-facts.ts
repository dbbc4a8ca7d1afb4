import type { CleanPath, Gid, Uid } from '../identity.ts'
import type { Architecture } from '../sandbox/syscalls.ts'
import type { PathKind, PathLink, ProfileSource } from './profile-source.ts'
import type { PolicyProblemCode } from './problem.ts'

/** The local accounts when the policy is installed: never NSS, never at run time. */
export type Accounts = Readonly<{
  users: ReadonlyMap<string, Readonly<{ uid: Uid; gid: Gid }>>
  groups: ReadonlyMap<string, Gid>
}>

/** What a path was found to be. `links` are those on the way to `real`, each with its own real path. */
export type PathFact =
  | Readonly<{ kind: 'found'; real: CleanPath; what: PathKind; links: readonly PathLink[] }>
  | Readonly<{ kind: 'absent' }>
  | Readonly<{ kind: 'refused'; code: PolicyProblemCode; message: string }>

/** Whether a path is to be run, or to be seen in a sandbox: what is run must be a program that only root may change. */
export type PathUse = 'command' | 'profile'

/** All that the compiler knows of the host. */
export type CompileFacts = Readonly<{
  accounts: Accounts
  architecture: Architecture
  resolvePath: (path: CleanPath, use: PathUse) => PathFact
  /** PLAN bytes; a BelladonnaError that it throws becomes a problem at the profile. */
  compilePlan: (profile: ProfileSource) => Uint8Array
}>
