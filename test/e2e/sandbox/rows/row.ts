/** What a row of these tables is, and the words that the tables share. */
import type { Change } from '../plan-changes.ts'
import type { Edit } from '../programs.ts'

/** Things of the host that attempts go for. */
export type Host = Readonly<{
  /** A directory that the profile reads, and one that it writes; both with a set-user-id probe, a device and a socket. */
  read: string
  write: string
  tmpFile: string
  pid: number
  sharedMemory: string
  queue: string
  port: number
  abstract: string
}>

export type Row = Readonly<{
  /** Begins with the number of a class of docs/reference/abuse.md, if it belongs to one. */
  name: string
  profile?: string
  /** The probe's words; or a program's, if the first is a path. */
  attempt: (host: Host) => readonly string[]
  behind?: Change
  behindEdits?: readonly Edit[]
  /** What the restriction is in the plan, or in the launcher. */
  without: Change | readonly Edit[]
  refused: string | RegExp
  succeeds: string | RegExp
  /** The version of Linux that has this wall: before it there is none, and `status` says so. */
  since?: readonly [major: number, minor: number]
  /** A capability that some containers do not have, so that it cannot be given. */
  needs?: string
  options?: Readonly<{ id?: number; stdin?: string; cwd?: string }>
}>

type Ending =
  | 'EPERM'
  | 'ENOENT'
  | 'ESRCH'
  | 'ENXIO'
  | 'EACCES'
  | 'EROFS'
  | 'ENOSYS'
  | 'EAFNOSUPPORT'
  | 'ENETUNREACH'
  | 'ECONNREFUSED'
  | 'SIGSYS'

/** How attempts end. */
export const ended: Readonly<Record<Ending, string>> = {
  EPERM: 'errno 1',
  ENOENT: 'errno 2',
  ESRCH: 'errno 3',
  ENXIO: 'errno 6',
  EACCES: 'errno 13',
  EROFS: 'errno 30',
  ENOSYS: 'errno 38',
  EAFNOSUPPORT: 'errno 97',
  ENETUNREACH: 'errno 101',
  ECONNREFUSED: 'errno 111',
  SIGSYS: 'signal 31',
}

/** One call, or line, of the launcher left out. */
export function remove(file: string, from: string, to = ''): readonly Edit[] {
  return [{ file, from, to }]
}

/** Every set of bits in /proc/self/status that is empty. */
export const none: RegExp = /\t0{16}$/

export const noPid: readonly Edit[] = remove(
  'launcher/spawn.c',
  'arguments.flags |= CLONE_NEWPID;',
  ';',
)
export const noIpc: readonly Edit[] = remove(
  'launcher/spawn.c',
  'arguments.flags |= CLONE_NEWIPC;',
  ';',
)
export const noUts: readonly Edit[] = remove(
  'launcher/spawn.c',
  'arguments.flags |= CLONE_NEWUTS;',
  ';',
)
export const noCgroup: readonly Edit[] = remove(
  'sandbox/spare.c',
  'if (unshare(CLONE_NEWCGROUP) != 0) child_fail(WIRE_STAGE_CGROUP);',
)
export const suid: readonly Edit[] = remove(
  'sandbox/mounts.c',
  '{.attr_set = MOUNT_ATTR_NOSUID, .propagation',
  '{.attr_set = 0, .propagation',
)
export const devices: readonly Edit[] = remove(
  'sandbox/mounts.c',
  'MOUNT_ATTR_NODEV | (writable',
  '(writable',
)
export const newPrivs: readonly Edit[] = remove(
  'sandbox/sandbox.c',
  'if (prctl(PR_SET_NO_NEW_PRIVS,',
  'if (start->service && prctl(PR_SET_NO_NEW_PRIVS,', // those could not install their program without it
)
export const rootGains: readonly Edit[] = remove(
  'sandbox/identity.c',
  'SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | ',
)
export const bounding: readonly Edit[] = remove(
  'sandbox/identity.c',
  'if (((kept | fallen) & bit) != 0) continue;',
  'continue;',
)
export const inherited: readonly Edit[] = remove(
  'sandbox/sandbox.c',
  'if (syscall(SYS_close_range, PLACES, ~0u, 0) != 0) child_fail(WIRE_STAGE_STDIO);',
)
export const session: readonly Edit[] = remove(
  'sandbox/sandbox.c',
  'setsid() < 0 || prctl(',
  'prctl(',
)
export const startEnvironment: readonly Edit[] = remove(
  'launcher/main.c',
  'environ = nothing;',
  '(void)nothing;',
)

/** Where the test's two directories are, in a plan: the one bind that ends so. */
export function hostRead(plan: Parameters<Change>[0]): string {
  return targetThatEnds(plan, '/read')
}

export function hostWrite(plan: Parameters<Change>[0]): string {
  return targetThatEnds(plan, '/write')
}

function targetThatEnds(plan: Parameters<Change>[0], end: string): string {
  return plan.mounts.find(({ target }) => target.endsWith(end))?.target ?? ''
}
