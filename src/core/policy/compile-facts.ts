import type { CleanPath, Gid, Uid } from '../identity.ts'
import type { Architecture } from '../sandbox/syscalls.ts'
import type { CompiledInterpreter } from './compiled.ts'
import type { PathKind, PathLink, ProfileSource } from './profile-source.ts'
import type { PolicyProblemCode } from '../toml/problem.ts'

/** The local accounts when the policy is installed: never NSS, never at run time. */
export type Accounts = Readonly<{
  users: ReadonlyMap<string, Readonly<{ uid: Uid; gid: Gid }>>
  groups: ReadonlyMap<string, Gid>
}>

/** What a path was found to be. `links` are those on the way to `real`, each with its own real path. */
export type PathFact =
  | Readonly<{
      kind: 'found'
      real: CleanPath
      what: PathKind
      links: readonly PathLink[]
      /** Of a command that is a script; `links` holds those on the way to it too. */
      interpreter?: CompiledInterpreter
      /** Control groups are at it or below. */
      holdsCgroups?: true
      /** Of a command: why somebody else could change it, so that a copy is run. */
      changeable?: string
    }>
  | Readonly<{ kind: 'absent' }>
  /** A socket that is not there, where only root (or the caller) can make one. */
  | Readonly<{ kind: 'awaited'; real: CleanPath; links: readonly PathLink[] }>
  | Readonly<{ kind: 'refused'; code: PolicyProblemCode; message: string }>

/**
 * Whether a path is to be run, to be seen in a sandbox, or to be connected to: a command is a program or a script, an
 * interpreter a program that only root may change, and a socket may be absent.
 */
export type PathUse = 'command' | 'interpreter' | 'profile' | 'socket'

/** Which Unix sockets a path of a profile holds, or may come to hold. */
export type SocketFinding = Readonly<{
  /** Sorted; the first few of them. */
  found: readonly string[]
  /** Why there may be others, or null: a place where servers put theirs, or a tree too large to be searched. */
  mayHold: string | null
}>

/** All that the compiler knows of the host. */
export type CompileFacts = Readonly<{
  accounts: Accounts
  architecture: Architecture
  resolvePath: (path: CleanPath, use: PathUse) => PathFact
  findSockets: (path: CleanPath) => SocketFinding
  /** PLAN bytes, with an empty place at each of the roots; a BelladonnaError that it throws becomes a problem at the profile. */
  compilePlan: (profile: ProfileSource, roots: readonly CleanPath[]) => Uint8Array
  /** PLAN bytes of the proxy of a profile, which is described like one. */
  compileProxyPlan: (profile: ProfileSource) => Uint8Array
}>
