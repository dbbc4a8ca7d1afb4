/**
 * Which system calls a seccomp program lets through, as tables with their reasons. seccomp.ts makes bytes of it.
 *
 * The tables are deny lists on purpose: behind them stand namespaces, an empty capability set and a root that holds
 * only what the profile names. They remove what reaches past those walls, or what has broken them before.
 */

/** `default` is for runs, `service` for our own Node processes. */
export type SeccompPolicy = 'default' | 'service'

/** A test on the low 32 bits of an argument; the high ones count for nothing, as in the kernel's own switch (C22). */
export type ArgumentTest = Readonly<{
  kind: 'equals' | 'any_bit'
  value: number
  /** What the program returns if the test holds. */
  action: number
}>

/** What becomes of one system call: a fixed answer, or the first test on one argument that holds. */
export type Verdict =
  | Readonly<{ kind: 'return'; action: number }>
  | Readonly<{
      kind: 'argument'
      /** 0 to 5. */
      argument: number
      tests: readonly ArgumentTest[]
      otherwise: number
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

/** The call goes on as if there were no filter. */
export const allow: Verdict = { kind: 'return', action: seccompAction.allow }
/** "Operation not permitted": what a process without the privilege would see anyway. */
export const refuse: Verdict = { kind: 'return', action: seccompAction.errno + EPERM }
/** "Function not implemented": the caller takes its older way. */
export const unknown: Verdict = { kind: 'return', action: seccompAction.errno + ENOSYS }
/** The listener is asked; once the listener is closed the kernel answers ENOSYS. */
const ask: Verdict = { kind: 'return', action: seccompAction.notify }

/** Refused to every run, grouped by what the calls would reach. */
const refusedToAll = `
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
  uselib nfsservctl lookup_dcookie`

/** Refused to our own processes too: starting, signalling, or turning into, somebody else. */
const refusedToServices = `
  fork vfork
  kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal
  setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset
  chown fchown lchown fchownat mknod mknodat`

// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. NEWTIME is clone3's and unshare's only: in clone(2)
// its bit belongs to the exit signal.
const namespaceFlags = 0x7e02_0000
const threadFlag = 0x0001_0000

const newNamespace: ArgumentTest = {
  kind: 'any_bit',
  value: namespaceFlags,
  action: seccompAction.errno + EPERM,
}

/** The flags are the first argument of clone(2) on both architectures. */
const cloneIntoNoNamespace: Verdict = {
  kind: 'argument',
  argument: 0,
  tests: [newNamespace],
  otherwise: seccompAction.allow,
}

const cloneThreadsOnly: Verdict = {
  kind: 'argument',
  argument: 0,
  tests: [newNamespace, { kind: 'any_bit', value: threadFlag, action: seccompAction.allow }],
  otherwise: seccompAction.errno + EPERM,
}

/**
 * TIOCSTI and TIOCLINUX put characters into the terminal that the client shares with us (C22); TIOCSETD loads line
 * disciplines, which nobody behind a sandbox needs and which have had their CVEs.
 */
const ioctlOffTheTerminal: Verdict = {
  kind: 'argument',
  argument: 1,
  tests: [0x5412, 0x541c, 0x5423].map((value) => ({
    kind: 'equals',
    value,
    action: seccompAction.errno + EPERM,
  })),
  otherwise: seccompAction.allow,
}

/** PER_LINUX, and the query. Other personalities switch off address randomisation or the zero page's protection. */
const personalityUnchanged: Verdict = {
  kind: 'argument',
  argument: 0,
  tests: [0, 0xffff_ffff].map((value) => ({
    kind: 'equals',
    value,
    action: seccompAction.allow,
  })),
  otherwise: seccompAction.errno + EPERM,
}

/**
 * AF_UNIX, INET, INET6, NETLINK and PACKET: those that an empty network namespace holds, PACKET being CAP_NET_RAW's.
 * VSOCK and BLUETOOTH leave the machine past any namespace, ALG and the rarer ones are kernel code that needs no
 * privilege to reach. The answer is a kernel's that was built without them, so callers have a way on.
 */
const socketOfKnownFamily: Verdict = {
  kind: 'argument',
  argument: 0,
  tests: [1, 2, 10, 16, 17].map((value) => ({
    kind: 'equals',
    value,
    action: seccompAction.allow,
  })),
  otherwise: seccompAction.errno + EAFNOSUPPORT,
}

const runVerdicts: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  ...words(refusedToAll).map((name) => [name, refuse] as const),
  ['clone', cloneIntoNoNamespace],
  // Its flags lie in memory, where no filter can look; glibc and musl then use clone(2).
  ['clone3', unknown],
  ['ioctl', ioctlOffTheTerminal],
  ['personality', personalityUnchanged],
  ['socket', socketOfKnownFamily],
  ['socketpair', socketOfKnownFamily],
])

const serviceVerdicts: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  ...runVerdicts,
  ...words(refusedToServices).map((name) => [name, refuse] as const),
  ['clone', cloneThreadsOnly],
  ['execve', ask],
  ['execveat', ask],
])

/** What a policy says of the calls that it does not simply allow, by name. */
export const seccompVerdicts: Readonly<Record<SeccompPolicy, ReadonlyMap<string, Verdict>>> = {
  default: runVerdicts,
  service: serviceVerdicts,
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}
