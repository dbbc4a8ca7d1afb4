import assert from 'node:assert/strict'
import test from 'node:test'
import { runSeccomp } from '../../../test/native/bpf-interpreter.ts'
import {
  listingNames,
  readVectors,
  refusingNames,
  seccompPolicies,
  seccompVectors,
} from '../../../test/native/sandbox-vectors.ts'
import { seccompVerdicts } from './seccomp-policy.ts'
import { compileSeccomp } from './seccomp.ts'
import type { Architecture } from './syscalls.ts'
import { newestSyscall, syscalls } from './syscalls.ts'

const architectures: readonly Architecture[] = ['x86_64', 'aarch64']
const audit: Readonly<Record<Architecture, number>> = { x86_64: 0xc000_003e, aarch64: 0xc000_00b7 }

const [KILL, NOTIFY, ALLOW] = [0x8000_0000, 0x7fc0_0000, 0x7fff_0000]
const [EPERM, ENOSYS, EAFNOSUPPORT, ENETUNREACH] = [0x5_0001, 0x5_0026, 0x5_0061, 0x5_0065]

const refused = `
  io_uring_setup io_uring_enter io_uring_register bpf ptrace process_vm_readv process_vm_writev
  process_madvise pidfd_getfd kcmp mount umount2 pivot_root move_mount open_tree open_tree_attr
  fsopen fsconfig fsmount fspick mount_setattr chroot setns unshare keyctl add_key request_key
  userfaultfd kexec_load kexec_file_load init_module finit_module delete_module perf_event_open
  fanotify_init fanotify_mark open_by_handle_at name_to_handle_at swapon swapoff reboot acct
  quotactl quotactl_fd nfsservctl lookup_dcookie iopl ioperm modify_ldt uselib create_module
  query_module get_kernel_syms sethostname setdomainname`
  .trim()
  .split(/\s+/)
const refusedToServices = `
  fork vfork kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal setuid setgid
  setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset chown fchown lchown
  fchownat mknod mknodat`
  .trim()
  .split(/\s+/)
const byArgument = ['clone', 'ioctl', 'personality', 'socket', 'socketpair']

/** What the table above, written down a second time, says of a call whose arguments do not matter. */
function wanted(policy: (typeof refusingNames)[number], name: string | undefined): number {
  if (name === undefined || name === 'clone3') return ENOSYS
  if (refused.includes(name)) return EPERM
  if (name === 'connect' && policy === 'default') return ENETUNREACH
  if (policy !== 'service') return ALLOW
  if (name === 'execve' || name === 'execveat') return NOTIFY
  return refusedToServices.includes(name) ? EPERM : ALLOW
}

for (const architecture of architectures) {
  const names = new Map([...syscalls[architecture]].map(([name, number]) => [number, name]))
  for (const policy of refusingNames) {
    const program = compileSeccomp(architecture, seccompPolicies[policy])
    const act = (number: number, ...args: readonly bigint[]): number =>
      runSeccomp(program, { number, architecture: audit[architecture], args }).action

    test(`seccomp ${policy} on ${architecture}: every number has the verdict of the table`, () => {
      for (let number = 0; number <= 2 * newestSyscall; number++) {
        const name = names.get(number)
        if (name !== undefined && byArgument.includes(name)) continue
        assert.equal(act(number), wanted(policy, name), name ?? `${number}`)
        assert.equal(act(number, 2n ** 64n - 1n, 2n ** 64n - 1n), wanted(policy, name))
      }
    })

    test(`seccomp ${policy} on ${architecture}: what is newer than the table is ENOSYS`, () => {
      for (const number of [newestSyscall + 1, 512, 547, 1000, 0x3fff_ffff, 0x8000_0000]) {
        assert.equal(act(number), ENOSYS)
      }
    })

    test(`seccomp ${policy} on ${architecture}: numbers of another architecture kill`, () => {
      const others = [...Object.values(audit), 0x4000_0003, 0x4000_0028, 0]
      for (const other of others.filter((value) => value !== audit[architecture])) {
        for (const number of [0, 59, 221]) {
          assert.equal(runSeccomp(program, { number, architecture: other }).action, KILL)
        }
      }
    })

    test(`seccomp ${policy} on ${architecture}: x32 kills, where there is an x32`, () => {
      for (let number = 0; number <= 600; number++) {
        const x32 = number + 0x4000_0000
        assert.equal(act(x32), architecture === 'x86_64' ? KILL : ENOSYS)
      }
      assert.equal(act(0xffff_ffff), architecture === 'x86_64' ? KILL : ENOSYS)
    })

    test(`seccomp ${policy} on ${architecture}: an allowed call is seen by number alone, and soon`, () => {
      for (const [name, number] of syscalls[architecture]) {
        if (wanted(policy, name) !== ALLOW || byArgument.includes(name)) continue
        const outcome = runSeccomp(program, { number, architecture: audit[architecture] })
        assert.deepEqual(outcome.loads, [4, 0], name)
        assert.ok(outcome.steps <= 12, `${name}: ${outcome.steps} steps`)
      }
    })

    test(`seccomp ${policy} on ${architecture}: the program stays short, loading costs by length`, () => {
      assert.ok(program.length / 8 <= 110, `${program.length / 8} instructions`)
    })
  }
}

type ArgumentCase = Readonly<{
  name: string
  args: readonly bigint[]
  inDefault: number
  inService: number
  /** Where Unix sockets are allowed, if that is another answer than in `default`. */
  withUnix?: number
}>

const high = 0xdead_beef_0000_0000n
const cases: readonly ArgumentCase[] = [
  ...[0x5412n, 0x541cn, 0x5423n].flatMap((request) => [
    { name: 'ioctl', args: [0n, request], inDefault: EPERM, inService: EPERM },
    { name: 'ioctl', args: [0n, high | request], inDefault: EPERM, inService: EPERM },
  ]),
  { name: 'ioctl', args: [0x5412n, 0x5401n, 0x5412n], inDefault: ALLOW, inService: ALLOW },
  { name: 'ioctl', args: [0n, 0x5413n], inDefault: ALLOW, inService: ALLOW },
  ...[0x2_0000n, 0x200_0000n, 0x400_0000n, 0x800_0000n, 0x1000_0000n, 0x2000_0000n, 0x4000_0000n]
    .flatMap((flag) => [flag, flag | high, flag | 0x1_0000n])
    .map((flags) => ({ name: 'clone', args: [flags], inDefault: EPERM, inService: EPERM })),
  // glibc's pthread_create, and its fork
  { name: 'clone', args: [0x3d_0f00n], inDefault: ALLOW, inService: ALLOW },
  { name: 'clone', args: [0x120_0011n], inDefault: ALLOW, inService: EPERM },
  { name: 'clone', args: [high | 0x11n], inDefault: ALLOW, inService: EPERM },
  { name: 'personality', args: [0n], inDefault: ALLOW, inService: ALLOW },
  { name: 'personality', args: [0xffff_ffffn], inDefault: ALLOW, inService: ALLOW },
  { name: 'personality', args: [high | 0xffff_ffffn], inDefault: ALLOW, inService: ALLOW },
  { name: 'personality', args: [0x4_0000n], inDefault: EPERM, inService: EPERM },
  { name: 'personality', args: [8n], inDefault: EPERM, inService: EPERM },
  ...[2n, 10n, 16n, 17n, high | 2n].map((family) => ({
    name: 'socket',
    args: [family, 1n],
    inDefault: ALLOW,
    inService: ALLOW,
  })),
  ...[1n, high | 1n].map((family) => ({
    name: 'socket',
    args: [family, 1n],
    inDefault: EAFNOSUPPORT,
    inService: EAFNOSUPPORT,
    withUnix: ALLOW,
  })),
  // A pair that stays connected: SOCK_STREAM and SOCK_SEQPACKET, whatever the flags
  ...[1n, 5n, 0x8_0001n, 0x801n, 0x8_0805n, high | 1n].map((type) => ({
    name: 'socketpair',
    args: [1n, type],
    inDefault: ALLOW,
    inService: ALLOW,
  })),
  // SOCK_DGRAM, SOCK_RAW, which is SOCK_DGRAM to Unix sockets, and what is none
  ...[2n, 3n, 0x8_0002n, 0x802n, 0x8_0803n, high | 2n, 0n, 4n, 6n, 10n].map((type) => ({
    name: 'socketpair',
    args: [high | 1n, type],
    inDefault: EAFNOSUPPORT,
    inService: EAFNOSUPPORT,
    withUnix: ALLOW,
  })),
  ...['socket', 'socketpair'].flatMap((name) =>
    [0n, 15n, 21n, 29n, 30n, 31n, 38n, 40n, 44n, high | 40n, 46n, 0xffff_ffffn].map((family) => ({
      name,
      args: [family, 1n],
      inDefault: EAFNOSUPPORT,
      inService: EAFNOSUPPORT,
    })),
  ),
  ...[2n, 10n, 16n, 17n].map((family) => ({
    name: 'socketpair',
    args: [family, 1n],
    inDefault: EAFNOSUPPORT,
    inService: EAFNOSUPPORT,
  })),
]

for (const architecture of architectures) {
  test(`seccomp on ${architecture}: C22: arguments are compared on their low 32 bits`, () => {
    for (const { name, args, inDefault, inService, withUnix = inDefault } of cases) {
      const number = syscalls[architecture].get(name)
      assert.ok(number !== undefined)
      const data = { number, architecture: audit[architecture], args }
      const shown = `${name}(${args.join(', ')})`
      const wantedOf = { default: inDefault, default_network: inDefault, default_unix: withUnix }
      for (const policy of refusingNames) {
        const program = compileSeccomp(architecture, seccompPolicies[policy])
        const { action } = runSeccomp(program, data)
        assert.equal(action, policy === 'service' ? inService : wantedOf[policy], shown)
      }
    }
  })
}

for (const architecture of architectures) {
  const run = (program: Uint8Array, number: number, args: readonly bigint[] = []): number =>
    runSeccomp(program, { number, architecture: audit[architecture], args }).action
  for (const policy of listingNames) {
    const rules = seccompPolicies[policy]
    assert.ok(rules.kind === 'run' && rules.calls !== null)
    const { calls } = rules
    const program = compileSeccomp(architecture, rules)
    const whole = compileSeccomp(architecture, { ...rules, calls: null })

    test(`seccomp ${policy} on ${architecture}: what is listed is as in default, the rest is refused`, () => {
      for (const [name, number] of syscalls[architecture]) {
        const outside = number >= 424 ? ENOSYS : EPERM
        for (const args of [[], [1n, 0x5412n], [2n, 1n], [0x1000_0011n], [1n, 2n]]) {
          const listed = run(whole, number, args)
          assert.equal(run(program, number, args), calls.includes(name) ? listed : outside, name)
        }
      }
      for (const number of [newestSyscall + 1, 1000, 0x3fff_ffff])
        assert.equal(run(program, number), ENOSYS)
    })

    test(`seccomp ${policy} on ${architecture}: the program stays short`, () => {
      assert.ok(program.length / 8 <= 160, `${program.length / 8} instructions`)
    })
  }
}

test('seccomp: C82: io_uring is refused, each of its calls', () => {
  for (const name of ['io_uring_setup', 'io_uring_enter', 'io_uring_register']) {
    for (const policy of Object.values(seccompPolicies)) {
      assert.deepEqual(seccompVerdicts(policy).get(name), { kind: 'return', action: EPERM })
    }
  }
})

test('seccomp: every name of a policy is a call of one of the architectures', () => {
  for (const policy of Object.values(seccompPolicies)) {
    for (const name of seccompVerdicts(policy).keys()) {
      assert.ok(
        architectures.some((architecture) => syscalls[architecture].has(name)),
        name,
      )
    }
  }
})

test('seccomp: the programs are those of spec/vectors/seccomp.json', () => {
  assert.deepEqual(seccompVectors(), readVectors('seccomp.json'))
})
