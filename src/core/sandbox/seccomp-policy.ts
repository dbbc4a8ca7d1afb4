/**
 * Which system calls a seccomp program lets through, as tables with their reasons. seccomp.ts makes bytes of it.
 *
 * The tables are deny lists on purpose: behind them stand namespaces, an empty capability set and a root that holds
 * only what the profile names. They remove what reaches past those walls, or what has broken them before.
 */

/** For whom a program is: a run, or our own Node processes. */
export type SeccompPolicy =
  | Readonly<{
      kind: 'run'
      /** The only calls that are let through; null: all but those that are refused to every run. */
      calls: readonly string[] | null
      /** Whether it may open Unix sockets, and so reach every server whose socket it sees. */
      unixSockets: boolean
      /** Whether there is any network that connect(2) could lead into. */
      network: boolean
    }>
  | Readonly<{ kind: 'service' }>

/** A test on the low 32 bits of an argument; the high ones count for nothing, as in the kernel's own switch (C22). */
export type ArgumentTest = Readonly<{
  kind: 'equals' | 'any_bit'
  value: number
  /** What becomes of the call if the test holds. */
  then: Verdict
}>

/** What becomes of one system call: a fixed answer, or the first test on one argument that holds. */
export type Verdict =
  | Readonly<{ kind: 'return'; action: number }>
  | Readonly<{
      kind: 'argument'
      /** 0 to 5. */
      argument: number
      /** Which of the argument's low 32 bits are looked at. */
      mask: number
      tests: readonly ArgumentTest[]
      otherwise: Verdict
    }>

/** SECCOMP_RET_* of seccomp(2); the low 16 bits of an errno answer are the errno. */
export const seccompAction = {
  killProcess: 0x8000_0000,
  errno: 0x0005_0000,
  notify: 0x7fc0_0000,
  allow: 0x7fff_0000,
} as const

const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97
const ENETUNREACH = 101

/** The call goes on as if there were no filter. */
export const allow: Verdict = { kind: 'return', action: seccompAction.allow }
/** "Operation not permitted": what a process without the privilege would see anyway. */
export const refuse: Verdict = { kind: 'return', action: seccompAction.errno + EPERM }
/** "Function not implemented": the caller takes its older way. */
export const unknown: Verdict = { kind: 'return', action: seccompAction.errno + ENOSYS }
/** The listener is asked; once the listener is closed the kernel answers ENOSYS. */
const ask: Verdict = { kind: 'return', action: seccompAction.notify }

/** Refused to every run, grouped by what the calls would reach. */
export const refusedToAll: readonly string[] = words(`
  io_uring_setup io_uring_enter io_uring_register
  bpf perf_event_open userfaultfd
  ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp
  mount umount2 pivot_root chroot move_mount open_tree open_tree_attr mount_setattr
  fsopen fsconfig fsmount fspick
  setns unshare sethostname setdomainname
  add_key request_key keyctl
  name_to_handle_at open_by_handle_at fanotify_init fanotify_mark
  init_module finit_module delete_module create_module query_module get_kernel_syms
  kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd
  iopl ioperm modify_ldt
  uselib nfsservctl lookup_dcookie`)

/** Refused to our own processes too: starting, signalling, or turning into, somebody else. */
const refusedToServices = `
  fork vfork
  kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal
  setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset
  chown fchown lchown fchownat mknod mknodat`

/** "Address family not supported": a kernel's answer that was built without it, so callers have a way on. */
const noFamily: Verdict = { kind: 'return', action: seccompAction.errno + EAFNOSUPPORT }
/** What connect(2) says in a network without interfaces anyway. */
const unreachable: Verdict = { kind: 'return', action: seccompAction.errno + ENETUNREACH }

const wholeArgument = 0xffff_ffff

// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. NEWTIME is clone3's and unshare's only: in clone(2)
// its bit belongs to the exit signal.
const namespaceFlags = 0x7e02_0000
const threadFlag = 0x0001_0000

const newNamespace: ArgumentTest = { kind: 'any_bit', value: namespaceFlags, then: refuse }

/** The flags are the first argument of clone(2) on both architectures. */
const cloneIntoNoNamespace: Verdict = {
  kind: 'argument',
  argument: 0,
  mask: wholeArgument,
  tests: [newNamespace],
  otherwise: allow,
}

const cloneThreadsOnly: Verdict = {
  kind: 'argument',
  argument: 0,
  mask: wholeArgument,
  tests: [newNamespace, { kind: 'any_bit', value: threadFlag, then: allow }],
  otherwise: refuse,
}

/**
 * TIOCSTI and TIOCLINUX put characters into the terminal that the client shares with us (C22); TIOCSETD loads line
 * disciplines, which nobody behind a sandbox needs and which have had their CVEs.
 */
const ioctlOffTheTerminal: Verdict = {
  kind: 'argument',
  argument: 1,
  mask: wholeArgument,
  tests: [0x5412, 0x541c, 0x5423].map((value) => ({ kind: 'equals', value, then: refuse })),
  otherwise: allow,
}

/** PER_LINUX, and the query. Other personalities switch off address randomisation or the zero page's protection. */
const personalityUnchanged: Verdict = {
  kind: 'argument',
  argument: 0,
  mask: wholeArgument,
  tests: [0, 0xffff_ffff].map((value) => ({ kind: 'equals', value, then: allow })),
  otherwise: refuse,
}

const unixFamily = 1
/**
 * INET, INET6, NETLINK and PACKET: those that an empty network namespace holds, PACKET being CAP_NET_RAW's. VSOCK and
 * BLUETOOTH leave the machine past any namespace, ALG and the rarer ones are kernel code that needs no privilege to
 * reach.
 */
const networkFamilies = [2, 10, 16, 17]

const socketOfNetwork = firstArgumentIn(networkFamilies)
const socketOfAnyKnown = firstArgumentIn([unixFamily, ...networkFamilies])

/**
 * A pair of connected Unix sockets reaches nobody, but for a datagram one: whoever holds it may name another receiver
 * in each sendto(2) or sendmsg(2), and connect(2) it anew. SOCK_RAW is SOCK_DGRAM by another name there. A stream's
 * end refuses both (EISCONN); a SEQPACKET's ignores the name and refuses connect(2) (EISCONN).
 *
 * @see unix_dgram_sendmsg, unix_seqpacket_sendmsg and unix_stream_sendmsg in net/unix/af_unix.c
 */
const pairThatStaysConnected: Verdict = {
  kind: 'argument',
  argument: 0,
  mask: wholeArgument,
  tests: [
    {
      kind: 'equals',
      value: unixFamily,
      then: {
        kind: 'argument',
        argument: 1,
        mask: 0xf, // SOCK_TYPE_MASK: above it are SOCK_CLOEXEC and SOCK_NONBLOCK
        tests: [1, 5].map((value) => ({ kind: 'equals', value, then: allow })),
        otherwise: noFamily,
      },
    },
  ],
  otherwise: noFamily,
}

function firstArgumentIn(values: readonly number[]): Verdict {
  return {
    kind: 'argument',
    argument: 0,
    mask: wholeArgument,
    tests: values.map((value) => ({ kind: 'equals', value, then: allow })),
    otherwise: noFamily,
  }
}

/** What holds for every process that this project starts. */
const commonVerdicts: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  ...refusedToAll.map((name) => [name, refuse] as const),
  ['clone', cloneIntoNoNamespace],
  // Its flags lie in memory, where no filter can look; glibc and musl then use clone(2).
  ['clone3', unknown],
  ['ioctl', ioctlOffTheTerminal],
  ['personality', personalityUnchanged],
])

/**
 * No Unix socket but connected pairs. Whoever sees a socket of the host in a directory could else connect to it, and
 * the server would see the run's user: root, mostly (DESIGN.md section 6).
 */
const withoutUnixSockets = [
  ['socket', socketOfNetwork],
  ['socketpair', pairThatStaysConnected],
] as const

const withUnixSockets = [
  ['socket', socketOfAnyKnown],
  ['socketpair', firstArgumentIn([unixFamily])],
] as const

const serviceVerdicts: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  ...commonVerdicts,
  // Channels and listeners are made by the launcher. The executor sees the host's whole root, with its sockets.
  ...withoutUnixSockets,
  ...words(refusedToServices).map((name) => [name, refuse] as const),
  ['clone', cloneThreadsOnly],
  ['execve', ask],
  ['execveat', ask],
])

/** What a policy says of the calls that it does not simply allow, by name. */
export function seccompVerdicts(policy: SeccompPolicy): ReadonlyMap<string, Verdict> {
  if (policy.kind === 'service') return serviceVerdicts
  if (policy.unixSockets) return new Map([...commonVerdicts, ...withUnixSockets])
  return new Map([
    ...commonVerdicts,
    ...withoutUnixSockets,
    // A client may hand a socket over that is not connected yet: as its stdin, or through a stream that is.
    ...(policy.network ? [] : [['connect', unreachable] as const]),
  ])
}

/** The oldest number that a call has on both architectures: 424, of Linux 5.1. */
const firstNewNumber = 424

/**
 * What becomes of one call, of any name and number that the kernel has.
 *
 * What a list leaves out is refused; but a C library that tries a newer call first takes its older way only if the
 * kernel does not know the newer one.
 */
export function verdictOf(
  policy: SeccompPolicy,
  verdicts: ReadonlyMap<string, Verdict>,
  [name, number]: readonly [string, number],
): Verdict {
  if (policy.kind === 'run' && policy.calls !== null && !policy.calls.includes(name)) {
    return number < firstNewNumber ? refuse : unknown
  }
  return verdicts.get(name) ?? allow
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}
