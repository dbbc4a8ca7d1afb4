import type { CleanPath, Gid, Uid } from '../identity.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import { digestOfJson, sha256Hex } from '../json/digest.ts'
import type { TcpPorts } from '../sandbox/landlock.ts'
import type { SyscallSet } from '../sandbox/syscall-sets.ts'
import type { Architecture } from '../sandbox/syscalls.ts'
import type { Automaton } from './automaton.ts'
import type { PathLink, ProfilePath, ProfileSocket } from './profile-source.ts'
import type { TemplateElement } from './template.ts'

// The members below are those of the installed JSON, hence their spelling. Every list is sorted unless its order has a
// meaning (`command`, `transitions`), so that policies of one meaning are one text.

/** How bad it is if the action was a mistake. */
export const risks = ['read-only', 'reversible', 'externally-reversible', 'irreversible'] as const
export type Risk = (typeof risks)[number]

/** The machines that a plan's seccomp program may be for. */
export const architectures = ['x86_64', 'aarch64'] as const

/** What a `path` parameter may name: `new` is a file that is not there yet. */
export const pathWhats = ['file', 'directory', 'new'] as const
export const pathAccesses = ['read', 'write'] as const
/** What a run gets of a file that it reads: the file itself, or a copy of which the resolved action has the hash. */
export const pathContents = ['live', 'bound'] as const

/** How often a parameter may be given; each value becomes an argument of its own. */
export type CompiledRepeat = Readonly<{ min: number; max: number }>

/** What a value of a parameter may be. `repeat` is null where exactly one value must be given. */
export type CompiledParameter =
  | (Readonly<{ name: string; leading_dash: boolean; repeat: CompiledRepeat | null }> &
      (
        | Readonly<{ kind: 'one_of'; values: readonly string[] }>
        | Readonly<{ kind: 'integer'; min: number; max: number }>
        | Readonly<{ kind: 'match'; pattern: string; max_length: number; table: Automaton }>
      ))
  | CompiledPath
  | CompiledFlag
  | CompiledSecret

/** A file or directory below a root of the host, which the run sees at its path, and nothing else below that root. */
export type CompiledPath = Readonly<{
  name: string
  leading_dash: false
  repeat: CompiledRepeat | null
  kind: 'path'
  root: CleanPath
  what: (typeof pathWhats)[number]
  access: (typeof pathAccesses)[number]
  hard_links: boolean
  content: (typeof pathContents)[number]
}>

/** `true` yields the argument, `false` or nothing none. */
export type CompiledFlag = Readonly<{ name: string; kind: 'flag'; argument: string }>

/** What comes by a descriptor: the argument is a path of it, and the value stands nowhere. */
export type CompiledSecret = Readonly<{ name: string; kind: 'secret' }>

/** Whose approval an action needs. */
export type CompiledApproval = Readonly<{ need: number; from: string; within_ms: number }>

/** As whom an action runs; `groups` are the supplementary ones, of which there are none yet. */
export type RunAs = Readonly<{ uid: Uid; gid: Gid; groups: readonly Gid[] }>

/** What the file said of it: the user, and the group where it named one; null is the user's primary one. */
export type RunAsNames = Readonly<{ user: string; group: string | null }>

/** Who reads a script: what its first line says, and the program that this is on this host. */
export type CompiledInterpreter = Readonly<{
  /** As it stands in the script: argv[0]. */
  path: CleanPath
  argument: string | null
  /** The same, no component of it a link. */
  executable: CleanPath
}>

/** A named command with everything about it that a caller cannot change. */
export type CompiledAction = Readonly<{
  id: string
  about: string
  command: readonly TemplateElement[]
  executable: CleanPath
  /** Null for a program; a script is never left to the kernel. */
  interpreter: CompiledInterpreter | null
  /** SHA-256 digests of which the executable must have one; none means any. */
  sha256: readonly string[]
  run_as: RunAs
  run_as_names: RunAsNames
  env: Readonly<Record<string, string>>
  cwd: CleanPath
  profile: string
  risk: Risk
  reason: 'required' | 'optional'
  approval: CompiledApproval | null
  approve_unseen_input: boolean
  /** A run goes on when its client is gone, until its end or its time limit. */
  detach: boolean
  params: readonly CompiledParameter[]
}>

/** What stands between a run and the sockets of its profile that are filtered. */
export type CompiledProxy = Readonly<{
  executable: CleanPath
  argv: readonly string[]
  /** PLAN bytes of its own sandbox, in base64. */
  plan: string
}>

/** A checked profile with its plan. */
export type CompiledProfile = Readonly<{
  name: string
  network: 'none' | 'loopback' | 'host'
  /** TCP ports that may be used there; null: all. */
  tcp: TcpPorts
  read: readonly ProfilePath[]
  write: readonly ProfilePath[]
  sockets: readonly ProfileSocket[]
  /** The run can do what the servers of Unix sockets do for it (DESIGN.md section 6). */
  escapable: boolean
  /** Null: no socket is filtered. */
  proxy: CompiledProxy | null
  links: readonly PathLink[]
  stdin: 'none' | 'bound' | 'stream'
  output: 'pass' | 'capped' | 'recorded'
  caps: readonly Readonly<{ name: string; number: number }>[]
  syscalls: SyscallSet | readonly string[]
  limits: Readonly<{
    time_ms: number
    memory_bytes: number
    processes: number
    /** 0 where output is passed. */
    output_bytes: number
  }>
  observe: 'off' | 'prefer'
  /** PLAN bytes (native/plan.h) in base64. */
  plan: string
  /** SHA-256 over the canonical JSON of all other members. */
  digest: string
}>

/** Whom a grant names; `name` is what the file said, null where it gave a number. */
export type CompiledPrincipal =
  | Readonly<{ kind: 'user' | 'group'; id: number; name: string | null }>
  | Readonly<{ kind: 'unit'; name: string }>

/** A rate: on average one request in `interval_us` microseconds, and up to `burst` at once. */
export type CompiledLimit = Readonly<{ interval_us: number; burst: number }>

/** Who may run what, until when, and how often. */
export type CompiledGrant = Readonly<{
  /** `g-` and 16 digits of the digest of the other members: the same wherever it stands in the files. */
  id: string
  who: readonly CompiledPrincipal[]
  may: readonly string[]
  /** Unix milliseconds from which it is void. */
  until_ms: number | null
  /** `any`: also for peers in other user or pid namespaces. */
  namespace: 'own' | 'any'
  /** How often it may be used, by all whom it names together; null is no bound. */
  uses: number | null
  /** For each unit that it names, and else for each uid, by itself; null is no bound. */
  limit: CompiledLimit | null
}>

/** A named set of approvers; the keys are not read yet. */
export type CompiledApprovers = Readonly<{ name: string; members: readonly string[] }>

/** A whole policy as broker and executor load it. */
export type CompiledPolicy = Readonly<{
  type: 'belladonna/policy/v1'
  architecture: Architecture
  actions: readonly CompiledAction[]
  profiles: readonly CompiledProfile[]
  grants: readonly CompiledGrant[]
  approvers: readonly CompiledApprovers[]
}>

/** The text that is installed: canonical JSON, without a line end. */
export function formatCompiledPolicy(policy: CompiledPolicy): string {
  return formatCanonicalJson(policy)
}

/** The policy's digest: SHA-256 of `formatCompiledPolicy`, lower-case hexadecimal. */
export function policyDigest(policy: CompiledPolicy): string {
  return sha256Hex(formatCompiledPolicy(policy))
}

/** The version of an action: any change of its meaning, its profile's apart, changes it. */
export function actionVersion(action: CompiledAction): string {
  return digestOfJson(action)
}

/** Adds the digest to a profile. */
export function sealProfile(profile: Omit<CompiledProfile, 'digest'>): CompiledProfile {
  return { ...profile, digest: digestOfJson(profile) }
}

/** Adds the id to a grant. */
export function sealGrant(grant: Omit<CompiledGrant, 'id'>): CompiledGrant {
  return { ...grant, id: `g-${digestOfJson(grant).slice(0, 16)}` }
}
