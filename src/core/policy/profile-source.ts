import type { CleanPath } from '../identity.ts'
import type { TcpPorts } from '../sandbox/landlock.ts'
import type { SyscallSet } from '../sandbox/syscall-sets.ts'
import type { DbusCall } from './dbus-call.ts'

/** What a path of a profile is on the host, as found when the policy was installed. */
export type PathKind = 'directory' | 'file' | 'device' | 'socket'

/** A real path of the host, no component of it a link; it appears at the same path in the sandbox. */
export type ProfilePath = Readonly<{ path: CleanPath; kind: Exclude<PathKind, 'socket'> }>

/**
 * A Unix socket of the host that a run may connect to, by its real path; it need not be there before it is needed. With
 * `dbus` a run has in its place a proxy that lets these calls through: sorted, none twice, not empty. Null: no filter.
 */
export type ProfileSocket = Readonly<{ path: CleanPath; dbus: readonly DbusCall[] | null }>

/** A root-owned link of the host that is made again in the sandbox: `path` is the link, `text` what it says. */
export type PathLink = Readonly<{ path: CleanPath; text: string }>

/** A capability that stays, with capabilities(7)'s name in capitals and the kernel's number. */
export type ProfileCapability = Readonly<{ name: string; number: number }>

/** The caps of one run. */
export type ProfileLimits = Readonly<{
  /** From the gate's opening to `cgroup.kill`, in milliseconds; at least 1. */
  timeMs: number
  /** For the run's whole cgroup, in bytes. */
  memoryBytes: number
  /** Processes and threads of the run together. */
  processes: number
  /** Of stdout and stderr together; 0 where output is passed, and so not capped. */
  outputBytes: number
}>

/**
 * A checked profile with its paths resolved: the one input of the plan compiler. Every list is sorted and without
 * duplicates, so that equal profiles give equal plans, whatever the order in the file.
 */
export type ProfileSource = Readonly<{
  name: string
  /** `none`: an empty network namespace; `loopback`: an own one with `lo` up; `host`: the host's. */
  network: 'none' | 'loopback' | 'host'
  /** Which TCP ports it may use there. */
  tcp: TcpPorts
  /**
   * Readable and executable, never writable. Holds what the policy lists and what the dynamic loader needs
   * (`/etc/ld.so.cache`; `/lib` and the like where they are no links). No path lies below another one of the list.
   */
  read: readonly ProfilePath[]
  /** Writable; may lie below a path of `read`, and wins there. */
  write: readonly ProfilePath[]
  /** What a run may connect to. Without a filter only with `escapable`. */
  sockets: readonly ProfileSocket[]
  /**
   * The run can do whatever the servers do for it whose sockets it sees: those of `sockets`, and those in directories of
   * `read` and `write`.
   */
  escapable: boolean
  /** Links on the way to any of the paths and commands, and Debian's `/bin`, `/sbin`, `/lib`, `/lib64`. */
  links: readonly PathLink[]
  /** `none`: the command reads /dev/null whatever the client passed; `bound`: what was hashed before it was permitted. */
  stdin: 'none' | 'bound' | 'stream'
  /** `pass`: the client's own descriptors. `capped`: through a relay, with digest and cap. */
  output: 'pass' | 'capped' | 'recorded'
  /** Ascending by number. */
  caps: readonly ProfileCapability[]
  /** A named set, or the calls that are let through by name: sorted, groups resolved, not empty. */
  syscalls: SyscallSet | readonly string[]
  limits: ProfileLimits
  observe: 'off' | 'prefer'
}>
