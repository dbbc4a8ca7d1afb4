/**
 * Named sets of system calls, for `syscalls` of a profile.
 *
 * Each call of Linux 6.18 stands in exactly one group, or among those that are refused to all (a test counts them): so
 * none is in a set by oversight, and one that is new in the table must be put somewhere.
 */
import { refusedToAll } from './seccomp-policy.ts'
import { syscalls } from './syscalls.ts'

/** Groups by what their calls reach. Names of a list may be `@group`. */
export type SyscallGroup =
  'process' | 'file' | 'network' | 'ipc' | 'identity' | 'tuning' | 'time' | 'rare'

/** Named sets, from wide to narrow. `default` is all that is not refused to every run. */
export const syscallSetNames = ['default', 'system-service', 'no-network', 'basic'] as const
export type SyscallSet = (typeof syscallSetNames)[number]

const groupTexts: Readonly<Record<SyscallGroup, string>> = {
  // What any program does before its first own line: memory, threads, signals, waiting, starting others.
  process: `
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 close close_range lseek dup dup2 dup3 pipe
    pipe2 fcntl ioctl poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime
    mmap mprotect munmap brk mremap msync mincore madvise mseal map_shadow_stack pkey_mprotect pkey_alloc pkey_free
    mlock mlock2 munlock mlockall munlockall memfd_create memfd_secret membarrier
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack restart_syscall
    kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal pause
    clone clone3 fork vfork execve execveat exit exit_group wait4 waitid set_tid_address
    futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list get_robust_list rseq
    getpid getppid gettid getuid geteuid getgid getegid getgroups getresuid getresgid getpgid getpgrp getsid setpgid
    setsid capget prctl arch_prctl set_thread_area get_thread_area seccomp
    landlock_create_ruleset landlock_add_rule landlock_restrict_self lsm_get_self_attr lsm_list_modules
    uname sysinfo times getrusage getrlimit prlimit64 setrlimit umask getrandom getcpu sched_yield sched_getaffinity
    sched_getparam sched_getscheduler sched_getattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval
    getpriority ioprio_get get_mempolicy cachestat personality
    time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep alarm getitimer setitimer
    timer_create timer_settime timer_gettime timer_getoverrun timer_delete
    uprobe uretprobe`,
  file: `
    open openat openat2 creat stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2
    getcwd chdir fchdir getdents getdents64 readlink readlinkat rename renameat renameat2 mkdir mkdirat rmdir
    link linkat symlink symlinkat unlink unlinkat chmod fchmod fchmodat fchmodat2 mknod mknodat
    truncate ftruncate fallocate flock sync syncfs fsync fdatasync sync_file_range readahead fadvise64
    sendfile splice tee vmsplice copy_file_range utime utimes futimesat utimensat
    getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat file_getattr
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch statmount listmount
    io_setup io_destroy io_getevents io_pgetevents io_submit io_cancel`,
  network: `
    socket socketpair connect accept accept4 bind listen sendto recvfrom sendmsg sendmmsg recvmsg recvmmsg shutdown
    getsockname getpeername setsockopt getsockopt`,
  ipc: `
    shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
    mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr`,
  // Becoming somebody else, and giving files away.
  identity: `
    setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset
    chown fchown lchown fchownat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr
    removexattrat file_setattr`,
  tuning: `
    setpriority ioprio_set sched_setparam sched_setscheduler sched_setaffinity sched_setattr
    mbind set_mempolicy set_mempolicy_home_node migrate_pages move_pages process_mrelease remap_file_pages`,
  time: `settimeofday adjtimex clock_settime clock_adjtime`,
  // The kernel's log and hang-up, switching security modules, and calls that the kernel has taken out.
  rare: `
    syslog vhangup lsm_set_self_attr
    ustat sysfs _sysctl getpmsg putpmsg afs_syscall tuxcall security epoll_ctl_old epoll_wait_old vserver`,
}

const groupsOf: Readonly<Record<SyscallSet, readonly SyscallGroup[]>> = {
  default: ['process', 'file', 'network', 'ipc', 'identity', 'tuning', 'time', 'rare'],
  'system-service': ['process', 'file', 'network', 'ipc', 'identity', 'tuning'],
  'no-network': ['process', 'file', 'ipc', 'identity', 'tuning'],
  basic: ['process', 'file'],
}

/**
 * What the first process of a run does behind the filter before it starts the command, and to tell how that ended. A run
 * could not be started without these, so no list can leave them out.
 *
 * @see native/launcher/first-process.c
 */
export const neededToStart: readonly string[] = words(`
  read write recvfrom sendto close close_range fstat newfstatat statx vfork clone setsid execve execveat wait4 kill
  rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait exit exit_group`)

/** Beside them where the run may have a terminal of its own: the command becomes a process group in its foreground. */
export const neededForTerminal: readonly string[] = ['setpgid', 'getpid', 'ioctl']

/** Each group's calls, of both architectures. */
export const syscallGroups: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(groupTexts).map(([name, text]) => [name, words(text)]),
)

/** The calls of a named set, or null for `default`: all but what is refused to everybody. */
export function callsOfSet(name: SyscallSet): readonly string[] | null {
  if (name === 'default') return null
  const calls = groupsOf[name].flatMap((group) => words(groupTexts[group]))
  return [...new Set([...neededToStart, ...calls])]
}

/** What an element of a list stands for; undefined: it is no call and no group of Linux 6.18. */
export function callsOfElement(
  element: string,
): Readonly<{ kind: 'calls'; calls: readonly string[] }> | Readonly<{ kind: 'never' }> | undefined {
  if (element.startsWith('@')) {
    const calls = syscallGroups.get(element.slice(1))
    return calls === undefined ? undefined : { kind: 'calls', calls }
  }
  if (refusedToAll.includes(element)) return { kind: 'never' }
  const isKnown = syscalls.x86_64.has(element) || syscalls.aarch64.has(element)
  return isKnown ? { kind: 'calls', calls: [element] } : undefined
}

/** Everything that a list may hold, for suggestions. */
export function syscallElements(): readonly string[] {
  const groups = [...syscallGroups.keys()].map((name) => `@${name}`)
  return [...groups, ...new Set([...syscalls.x86_64.keys(), ...syscalls.aarch64.keys()])]
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}
