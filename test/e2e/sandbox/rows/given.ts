/** Rows of restrictions.test.ts: what a command is given, and how much of it. */
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { ownCgroups } from '../../../../src/host/cgroup.ts'
import {
  all,
  noLandlockFiles,
  noRlimit,
  numberOf,
  withCapabilities,
  withDevice,
} from '../plan-changes.ts'
import { ended, inherited, remove, session, startEnvironment, none } from './row.ts'
import type { Row } from './row.ts'

/** A kernel without CONFIG_NUMA has none, so no command gets one: get_mempolicy(2) is ENOSYS. Linux for user mode cannot have it. */
const hasMemoryPolicy = existsSync('/proc/self/numa_maps')
/** Two of a child's first places are those of the hierarchies of v1, and are taken by the launcher only where these are there. */
const firstPlaces = ownCgroups().pids === '' ? '10' : /^\d$/

export const given: readonly Row[] = [
  {
    name: 'C30: rlimits: no core is dumped, nor given to a program',
    attempt: () => ['limit', '4'],
    without: noRlimit(4),
    refused: '1 1',
    succeeds: '4096 8192',
  },
  {
    name: 'C30: rlimits: a file size that the launcher was started with is not the run’s',
    attempt: () => ['limit', '1'],
    without: noRlimit(1),
    refused: '-1 -1',
    succeeds: '40960000 -1',
  },
  {
    name: 'rlimits: 1,024 open files',
    attempt: () => ['files'],
    without: noRlimit(7),
    refused: '1021, errno 24',
    succeeds: '16381, errno 24',
  },
  {
    name: 'rlimits: the hard limit is not raised',
    attempt: () => ['raise-files'],
    without: withCapabilities('CAP_SYS_RESOURCE'),
    refused: ended.EPERM,
    succeeds: 'ok',
    needs: 'CAP_SYS_RESOURCE',
  },
  {
    name: 'C30: umask is the plan’s',
    attempt: ({ write }) => ['create', `${write}/created`],
    without: (plan) => ({ ...plan, umask: 0 }),
    refused: 'mode 644',
    succeeds: 'mode 666',
  },
  {
    name: 'C30: nice: what the launcher was started with is not the run’s',
    attempt: () => ['priority'],
    without: [
      ...remove('sandbox/schedule.c', 'if (now.nice < 0) wanted.nice = 0;'),
      ...remove('sandbox/schedule.c', '.flags = SCHED_FLAG_RESET_ON_FORK, '),
    ],
    refused: '0',
    succeeds: '-20',
  },
  {
    name: 'C30: affinity: what the launcher was started with is not the run’s',
    attempt: () => ['status', 'Cpus_allowed_list'],
    without: remove('sandbox/schedule.c', '(void)sched_setaffinity(0, sizeof all, &all);'),
    // With one processor there is nothing to tell: the two sides are the same.
    refused: cpus().length === 1 ? /\t0$/ : /\t0-\d/,
    succeeds: /\t[01]$/, // two launchers at a time, each on a processor
  },
  {
    name: 'C30: schedule: what makes our own processes quick is not the run’s',
    attempt: () => ['slice'],
    without: remove('sandbox/schedule.c', '.flags = SCHED_FLAG_RESET_ON_FORK, '),
    refused: /^(?!100000$)\d+$/,
    succeeds: /^(?:100000|0)$/, // 0: before Linux 6.12 nobody has one
  },
  {
    name: 'nice: it is not raised',
    attempt: () => ['raise-priority'],
    without: withCapabilities('CAP_SYS_NICE'),
    refused: ended.EACCES,
    succeeds: 'ok',
  },
  {
    name: 'C30: signals: none is ignored',
    attempt: () => ['status', 'SigIgn'],
    without: remove(
      'launcher/main.c',
      'for (int number = 1; number < 65; number++) sigaction(number, &standard, NULL);',
      '(void)standard;',
    ),
    refused: none,
    succeeds: /\t0{12}1200$/, // SIGUSR1 10, SIGPIPE 13
  },
  {
    name: 'C30: signals: none is blocked',
    attempt: () => ['status', 'SigBlk'],
    without: remove('sandbox/first-process.c', 'set_signals(SIG_UNBLOCK);'),
    refused: none,
    succeeds: /\tf{7}e7ffbfeff$/, // all but SIGKILL, SIGSTOP and two of the C library's own
  },
  {
    name: 'C20: environment: that of the command, not the launcher’s',
    attempt: () => ['environment'],
    behindEdits: startEnvironment,
    without: remove(
      'sandbox/first-process.c',
      'child.argv, child.envp, AT_EMPTY_PATH',
      'child.argv, environ, AT_EMPTY_PATH',
    ),
    refused: 'end',
    succeeds: /(^|\n)LD_LIBRARY_PATH=\/nowhere\n[^]*end$/,
  },
  {
    name: 'C24: cwd: that of the command',
    attempt: () => ['directory'],
    without: remove('sandbox/sandbox.c', 'if (fchdir(fd) != 0) child_fail(WIRE_STAGE_MOUNT);'),
    refused: '/tmp',
    succeeds: '/',
    options: { cwd: '/tmp' },
  },
  {
    name: 'C24: cwd: not the host’s cgroups, which a descriptor of the launcher leads to',
    attempt: () => ['directory'],
    without: remove(
      'sandbox/sandbox.c',
      '.resolve = resolve | RESOLVE_NO_MAGICLINKS',
      '.resolve = resolve',
    ),
    refused: /^125: .*not started: mount/,
    succeeds: /^\(unreachable\)\//,
    options: { cwd: '/proc/self/fd/11' },
  },
  {
    name: 'C22: no controlling terminal: there is none behind /dev/tty',
    attempt: () => ['write', '/dev/tty'],
    behind: all(withDevice('/dev/tty'), noLandlockFiles),
    behindEdits: session,
    without: remove('sandbox/terminal.c', 'return setsid() >= 0;', 'return true;'),
    refused: ended.ENXIO,
    succeeds: 'ok',
  },
  ...descriptorRows(),
  {
    name: 'stdin: null unless the profile says otherwise',
    attempt: () => ['input'],
    without: (plan) => ({ ...plan, flags: 0 }),
    refused: '0',
    succeeds: '5',
    options: { stdin: 'typed' },
  },
]

const forget = 'sandbox/inherited.c'
const prctl = `${numberOf('prctl')}`

/** What else fork(2) and execve(2) hand on (docs/reference/sandbox.md has the list). `around habits` has set all of it. */
export const habits: readonly Row[] = [
  {
    name: 'C30: session keyring: no key of who started the bridge is there',
    attempt: () => ['show', '/proc/keys'],
    without: [
      ...remove('launcher/host.c', 'if (join_keyring()) host.features', 'host.features'),
      ...remove(forget, 'syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0', 'true'),
    ],
    refused: /^(?![^]*belladonna-test)[^]*_ses[^]*$/,
    succeeds: /user +belladonna-test: 1$/m,
  },
  {
    name: 'C30: session keyring: two runs have two',
    attempt: () => ['show', '/proc/keys'],
    without: remove(
      'sandbox/spare.c',
      'if ((host.features & WIRE_FEATURE_SESSION_KEYRING) != 0 && !join_keyring()) child_fail(WIRE_STAGE_CLONE);',
    ),
    refused: /^\w+ I--Q--- +[1-4] perm \w+ +0 +0 keyring +_ses: empty$/m,
    succeeds: /^\w+ I--Q--- +([5-9]|\d\d+) perm \w+ +0 +0 keyring +_ses: empty$/m,
  },
  {
    name: 'C30: oom_score_adj: a run is not protected as its bridge may be',
    attempt: () => ['show', '/proc/self/oom_score_adj'],
    without: remove(
      'sandbox/spare.c',
      'if (host.adjusted) (void)write_text(AT_FDCWD, "/proc/self/oom_score_adj", "0");',
    ),
    refused: '0',
    succeeds: '500',
  },
  {
    name: 'C30: audit: what is asked for is not put down to who started the bridge',
    attempt: () => ['show', '/proc/self/loginuid'],
    without: remove(forget, '(void)write_text(AT_FDCWD, "/proc/self/loginuid", "4294967295");'),
    refused: '4294967295',
    succeeds: '4321',
  },
  {
    name: 'C30: personality: addresses are random',
    attempt: () => ['habit', `${numberOf('personality')}`, '0xffffffff'],
    without: remove(forget, 'return personality(PER_LINUX) >= 0;', 'return true;'),
    refused: '0',
    succeeds: String(0x4_0000),
  },
  {
    name: 'C30: timer slack: the kernel’s own',
    attempt: () => ['habit', prctl, '30'],
    without: remove(forget, '(void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);'),
    refused: '50000',
    succeeds: '123456',
  },
  {
    name: 'C30: huge pages: as the host has them',
    attempt: () => ['habit', prctl, '42'],
    without: remove(forget, '(void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);'),
    refused: '0',
    succeeds: '1',
  },
  {
    name: 'C30: machine checks: as the host has them',
    attempt: () => ['habit', prctl, '34'],
    without: remove(forget, '(void)prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0);'),
    refused: '2',
    succeeds: '1',
  },
  {
    name: 'C30: memory: its pages are not merged with those of others',
    attempt: () => ['habit', prctl, '68'],
    without: remove(forget, '(void)prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);'),
    refused: /^(?:0|-1)$/,
    succeeds: /^(?:1|-1)$/, // before Linux 6.4 nobody has it
  },
  {
    name: 'C30: input and output: of no class',
    attempt: () => ['habit', `${numberOf('ioprio_get')}`, '1'],
    without: remove(forget, '(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0);'),
    refused: /^(?:0|16388)$/, // what the kernel says of a process without one, before Linux 5.18 and since
    succeeds: `${(2 << 13) | 7}`,
  },
  {
    name: 'C30: memory policy: the kernel’s own',
    attempt: () => ['memory-policy'],
    without: remove(forget, '(void)syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);'),
    refused: hasMemoryPolicy ? '0' : ended.ENOSYS,
    succeeds: hasMemoryPolicy ? '2' : ended.ENOSYS,
  },
  {
    name: 'C30: scheduling policy: the usual one',
    attempt: () => ['habit', `${numberOf('sched_getscheduler')}`],
    without: remove(
      'sandbox/schedule.c',
      '.size = sizeof wanted, .flags',
      '.size = sizeof wanted, .policy = now.policy, .flags',
    ),
    refused: '0',
    succeeds: '3',
  },
]

export const amounts: readonly Row[] = [
  {
    name: 'C86: processes are limited',
    attempt: () => ['fork', '200'],
    without: (plan) => ({ ...plan, pidsMax: 0 }),
    refused: 'fewer than 64',
    succeeds: 'all',
  },
  {
    name: 'memory is limited',
    attempt: () => ['memory', '100'],
    without: (plan) => ({ ...plan, memoryMaxBytes: 0 }),
    refused: '137: bell: the kernel killed a process of the run for want of memory',
    succeeds: 'ok',
  },
  {
    name: 'time is limited',
    profile: 'quick',
    attempt: () => ['sleep', '700'],
    without: (plan) => ({ ...plan, timeLimitMs: 0 }),
    refused: 'exit 124',
    succeeds: 'ok',
  },
]

/** Three walls, one behind the other. */
function descriptorRows(): readonly Row[] {
  const walls = [
    [
      'C23: descriptors: three, with 500 open where the launcher was started',
      remove(
        'sandbox/sandbox.c',
        'if (syscall(SYS_close_range, end, ~0u, 0) != 0) child_fail(WIRE_STAGE_STDIO);',
      ),
    ],
    ['C23: descriptors: of those 500 a child that begins has none', inherited],
    [
      'C23: descriptors: nor has the launcher any of them',
      remove(
        'launcher/main.c',
        'if (syscall(SYS_close_range, 3u, ~0u, 0) != 0) die("close_range");',
      ),
    ],
  ] as const
  return walls.map(([name, without]) => ({
    name,
    attempt: () => ['descriptors'],
    behindEdits: walls.flatMap(([, wall]) => (wall === without ? [] : wall)),
    without,
    refused: without === inherited ? firstPlaces : '3', // it begins with those at its first places
    succeeds: /^[45]\d\d$/,
  }))
}
