import assert from 'node:assert/strict'
import test from 'node:test'
import {
  plainProfile as plain,
  planVectors,
  readVectors,
  richProfile,
} from '../../../test/native/sandbox-vectors.ts'
import type { ProfilePath, ProfileSource } from '../policy/profile-source.ts'
import { wireNamespace, wirePlanFlag } from '../protocol/layout.ts'
import { cleanPath } from './fixed-mounts.ts'
import type { Mount } from './mount.ts'
import {
  planForProfile,
  planForProxy,
  profilePathProblem,
  writtenPathProblem,
} from './plan-for-profile.ts'
import { formatPlan, parsePlan } from './plan.ts'
import { compileSeccomp } from './seccomp.ts'
import { callsOfSet, neededForTerminal, neededToStart } from './syscall-sets.ts'

const facts = { architecture: 'x86_64' } as const
const at = (path: string, kind: ProfilePath['kind'] = 'directory'): ProfilePath => ({
  path: cleanPath(path),
  kind,
})
const mountsOf = (change: Partial<ProfileSource>): readonly Mount[] =>
  planForProfile({ ...plain, ...change }, facts).mounts
const of = (mounts: readonly Mount[], target: string): readonly Mount[] =>
  mounts.filter((mount) => mount.target === target)
const isMounted = ({ kind }: Mount): boolean => kind !== 'directory' && kind !== 'symlink'

test('plan for profile: a plain one is a dozen mounts', () => {
  const mounts = mountsOf({})
  assert.deepEqual(
    mounts.map(({ kind, target }) => `${kind} ${target}`),
    [
      'symlink /bin',
      'directory /dev',
      'symlink /dev/fd',
      'device /dev/full',
      'device /dev/null',
      'device /dev/random',
      'symlink /dev/shm',
      'symlink /dev/stderr',
      'symlink /dev/stdin',
      'symlink /dev/stdout',
      'device /dev/urandom',
      'device /dev/zero',
      'directory /etc',
      'bind /etc/group',
      'bind /etc/ld.so.cache',
      'bind /etc/passwd',
      'symlink /lib',
      'symlink /lib64',
      'directory /proc',
      'proc /proc',
      'bind /proc',
      'symlink /sbin',
      'directory /tmp',
      'tmpfs /tmp',
      'bind /usr',
    ],
  )
  assert.equal(mounts.filter(isMounted).length, 12)
})

test('plan for profile: where output is capped there is a place for a terminal of the run’s own', () => {
  const capped = { output: 'capped', limits: { ...plain.limits, outputBytes: 5 } } as const
  const mounts = mountsOf(capped)
  assert.deepEqual(of(mounts, '/dev/pts'), [
    { kind: 'directory', target: '/dev/pts', mode: 0o755 },
    { kind: 'devpts', target: '/dev/pts' },
  ])
  assert.deepEqual(
    of(mounts, '/dev/tty').map(({ kind }) => kind),
    ['device'],
  )
  assert.deepEqual(of(mountsOf({}), '/dev/tty'), [])
  const plan = planForProfile({ ...plain, ...capped, syscalls: ['read'] }, facts)
  const calls = ['read', ...neededToStart, ...neededForTerminal]
  assert.deepEqual(
    plan.seccomp,
    compileSeccomp('x86_64', { kind: 'run', calls, unixSockets: false, network: false }),
  )
  assert.deepEqual(parsePlan(formatPlan(plan)), plan)
})

test('plan for profile: limits, identity of the process and stdin are the profile, or fresh', () => {
  const plan = planForProfile(plain, facts)
  assert.equal(plan.timeLimitMs, 30_000)
  assert.equal(plan.memoryMaxBytes, 256 * 1024 * 1024)
  assert.equal(plan.pidsMax, 32)
  assert.equal(plan.umask, 0o022)
  assert.equal(plan.capabilities, 0n)
  assert.equal(plan.landlockScope, 3n)
  assert.deepEqual(plan.landlock.ports, [])
  assert.equal(plan.flags, wirePlanFlag.stdinNull)
  assert.equal(planForProfile({ ...plain, stdin: 'stream' }, facts).flags, 0)
  assert.equal(plan.rlimits.length, 16)
})

test('plan for profile: Unix sockets are for escapable ones, and without a network nothing connects', () => {
  for (const architecture of ['x86_64', 'aarch64'] as const) {
    for (const [change, unixSockets, network] of [
      [{}, false, false],
      [{ network: 'loopback' }, false, true],
      [{ network: 'host' }, false, true],
      [{ escapable: true }, true, false],
      [{ escapable: true, network: 'host' }, true, true],
    ] as const) {
      const { seccomp } = planForProfile({ ...plain, ...change }, { architecture })
      const sockets = { unixSockets, network }
      const wanted = compileSeccomp(architecture, { kind: 'run', calls: null, ...sockets })
      assert.deepEqual(seccomp, wanted)
    }
  }
})

test('plan for profile: a named set and the list of its calls are one program', () => {
  for (const name of ['system-service', 'no-network', 'basic'] as const) {
    const syscalls = callsOfSet(name)
    assert.ok(syscalls)
    const { seccomp } = planForProfile({ ...plain, syscalls: name }, facts)
    assert.deepEqual(planForProfile({ ...plain, syscalls }, facts).seccomp, seccomp)
  }
})

test('plan for profile: a list always has what the run itself is started with', () => {
  const calls = [...neededToStart, 'getpid']
  const sockets = { unixSockets: false, network: false }
  const { seccomp } = planForProfile({ ...plain, syscalls: ['getpid'] }, facts)
  assert.deepEqual(seccomp, compileSeccomp('x86_64', { kind: 'run', calls, ...sockets }))
})

test('plan for profile: a socket is bound if it is there, unless a directory brings it', () => {
  const sockets = ['/run/x/a.sock', '/var/lib/app/b.sock'].map((path) => ({
    path: cleanPath(path),
    dbus: null,
  }))
  const mounts = mountsOf({ escapable: true, sockets, write: [at('/var/lib/app')] })
  const rights = { writable: false, executable: false, optional: true }
  const path = cleanPath('/run/x/a.sock')
  assert.deepEqual(of(mounts, path), [{ kind: 'bind', source: path, target: path, ...rights }])
  assert.deepEqual(of(mounts, '/var/lib/app/b.sock'), [])
  assert.deepEqual(of(mounts, '/run/x'), [
    { kind: 'directory', target: cleanPath('/run/x'), mode: 0o755 },
  ])
})

const call = { name: 'a.b', interface: 'a.b.M', member: 'Stop', path: null }

test('plan for profile: in place of a filtered socket there is a link to where its proxy serves it', () => {
  const sockets = [
    { path: cleanPath('/run/dbus/system_bus_socket'), dbus: [call] },
    { path: cleanPath('/run/plain.sock'), dbus: null },
    { path: cleanPath('/run/z.sock'), dbus: [call] },
  ]
  const plan = planForProfile({ ...plain, escapable: true, sockets }, facts)
  const link = (path: string, text: string): Mount => {
    return { kind: 'symlink', target: cleanPath(path), text }
  }
  assert.deepEqual(of(plan.mounts, '/run/dbus/system_bus_socket'), [
    link('/run/dbus/system_bus_socket', '/bus-proxy/0'),
  ])
  assert.deepEqual(of(plan.mounts, '/run/z.sock'), [link('/run/z.sock', '/bus-proxy/1')])
  assert.equal(of(plan.mounts, '/run/plain.sock')[0]?.kind, 'bind')
  assert.deepEqual(of(plan.mounts, '/bus-proxy'), [
    { kind: 'directory', target: cleanPath('/bus-proxy'), mode: 0o755 },
  ])
  assert.equal(plan.flags, wirePlanFlag.stdinNull | wirePlanFlag.proxied)
  assert.deepEqual(parsePlan(formatPlan(plan)), plan)
})

test('plan for profile: with a filter a run opens Unix sockets, and without one nothing changes', () => {
  const sockets = [{ path: cleanPath('/run/a.sock'), dbus: [call] }]
  const filtered = planForProfile({ ...plain, sockets }, facts)
  const rules = { kind: 'run', calls: null, unixSockets: true, network: false } as const
  assert.deepEqual(filtered.seccomp, compileSeccomp('x86_64', rules))
  const { mounts, flags } = planForProfile(plain, facts)
  assert.deepEqual(of(mounts, '/bus-proxy'), [])
  assert.equal(flags & wirePlanFlag.proxied, 0)
})

test('plan for proxy: it has the sockets themselves, a place for its own, and few descriptors', () => {
  const path = cleanPath('/run/a.sock')
  const proxy = { ...plain, escapable: true, sockets: [{ path, dbus: null }] }
  const plan = planForProxy(proxy, 'x86_64')
  assert.equal(of(plan.mounts, path)[0]?.kind, 'bind')
  assert.equal(of(plan.mounts, '/bus-proxy')[0]?.kind, 'directory')
  assert.equal(plan.flags & wirePlanFlag.proxied, 0)
  const openFiles = plan.rlimits.find(({ resource }) => resource === 7)
  assert.deepEqual(openFiles, { resource: 7, soft: 64n, hard: 64n })
  assert.deepEqual(parsePlan(formatPlan(plan)), plan)
})

test('plan for profile: what is read may be run, what is written may not', () => {
  const mounts = mountsOf({ write: [at('/usr/local/state'), at('/var/lib/x/file', 'file')] })
  const flags = { optional: false, kind: 'bind' }
  assert.deepEqual(of(mounts, '/usr'), [
    { ...flags, source: '/usr', target: '/usr', writable: false, executable: true },
  ])
  for (const path of ['/usr/local/state', '/var/lib/x/file']) {
    assert.deepEqual(of(mounts, path), [
      { ...flags, source: path, target: path, writable: true, executable: false },
    ])
  }
  assert.deepEqual(of(mounts, '/usr/local'), [])
  assert.deepEqual(of(mounts, '/var/lib/x'), [
    { kind: 'directory', target: '/var/lib/x', mode: 0o755 },
  ])
})

test('plan for profile: a path in both lists is written, and a path in a path of its kind is no mount', () => {
  const mounts = mountsOf({
    read: [at('/srv'), at('/srv/both'), at('/usr')],
    write: [at('/srv/both'), at('/srv/both/inner'), at('/srv/w')],
  })
  const shown = mounts
    .filter(({ target }) => target.startsWith('/srv'))
    .map((mount) => `${mount.target} ${mount.kind === 'bind' && mount.writable ? 'rw' : 'ro'}`)
  assert.deepEqual(shown, ['/srv ro', '/srv/both rw', '/srv/w rw'])
})

test('plan for profile: a read path below a written one is read-only on top of it', () => {
  const mounts = mountsOf({ read: [at('/srv/w/keys'), at('/usr')], write: [at('/srv/w')] })
  const shown = mounts.flatMap((mount) =>
    mount.kind === 'bind' && mount.target.startsWith('/srv')
      ? [[mount.target, mount.writable]]
      : [],
  )
  assert.deepEqual(shown, [
    ['/srv/w', true],
    ['/srv/w/keys', false],
  ])
})

test('plan for profile: a sysctl that is written lies over the read-only /proc', () => {
  const mounts = mountsOf({
    read: [at('/proc/sys', 'directory'), at('/usr')],
    write: [at('/proc/sys/vm/swappiness', 'file')],
  })
  const inProc = mounts.filter(({ target }) => target.startsWith('/proc'))
  assert.deepEqual(
    inProc.map(({ kind, target }) => `${kind} ${target}`),
    ['directory /proc', 'proc /proc', 'bind /proc', 'bind /proc/sys/vm/swappiness'],
  )
  assert.ok(inProc[3]?.kind === 'bind' && inProc[3].writable)
})

test('plan for profile: devices that are named come beside the usual ones, none twice', () => {
  const device = at('/dev/fuse', 'device')
  const mounts = mountsOf({ read: [at('/dev/null', 'device'), at('/usr')], write: [device] })
  assert.deepEqual(of(mounts, '/dev/fuse'), [
    { kind: 'device', source: '/dev/fuse', target: '/dev/fuse', optional: false },
  ])
  assert.equal(of(mounts, '/dev/null').length, 1)
})

test('plan for profile: the account files may be missing, and are no mount where /etc is one', () => {
  const passwd = of(mountsOf({}), '/etc/passwd')[0]
  assert.ok(passwd?.kind === 'bind' && passwd.optional && !passwd.writable && !passwd.executable)
  assert.deepEqual(of(mountsOf({ read: [at('/etc'), at('/usr')] }), '/etc/passwd'), [])
  const written = of(mountsOf({ write: [at('/etc/passwd', 'file')] }), '/etc/passwd')
  assert.ok(written.length === 1 && written[0]?.kind === 'bind' && written[0].writable)
})

test('plan for profile: links inside a tree of the host are there already', () => {
  const links = [...plain.links, { path: cleanPath('/usr/bin/vi'), text: '/etc/alternatives/vi' }]
  assert.deepEqual(mountsOf({ links }), mountsOf({}))
})

const { pid, mount, ipc, uts, cgroup, network, networkOwn, loopback } = wireNamespace
const always = pid | mount | ipc | uts | cgroup
const cap = (name: string, number: number): ProfileSource['caps'][number] => ({ name, number })
const networks: readonly (readonly [
  ProfileSource['network'],
  readonly ProfileSource['caps'][number][],
  number,
])[] = [
  ['none', [], always | network],
  ['none', [cap('CAP_KILL', 5)], always | network],
  ['none', [cap('CAP_NET_ADMIN', 12)], always | network | networkOwn],
  ['none', [cap('CAP_NET_RAW', 13)], always | network | networkOwn],
  ['none', [cap('CAP_KILL', 5), cap('CAP_SYS_ADMIN', 21)], always | network | networkOwn],
  ['loopback', [], always | network | networkOwn | loopback],
  ['host', [], always],
  ['host', [cap('CAP_NET_ADMIN', 12)], always],
]

for (const [kind, caps, expected] of networks) {
  const names = caps.map(({ name }) => name).join(', ')
  test(`plan for profile: namespaces of network ${kind} with [${names}]`, () => {
    const plan = planForProfile({ ...plain, network: kind, caps }, facts)
    assert.equal(plan.namespaces, expected)
    assert.equal(
      plan.capabilities,
      caps.reduce((mask, { number }) => mask | (1n << BigInt(number)), 0n),
    )
  })
}

const forbidden = [
  '/',
  '/dev',
  '/dev/shm',
  '/proc',
  '/proc/1',
  '/proc/self',
  '/proc/self/mem',
  '/proc/thread-self/attr',
  '/proc/17/root/etc',
  '/tmp',
]

for (const path of forbidden) {
  test(`plan for profile: ${path} is no path of a profile`, () => {
    assert.equal(typeof profilePathProblem(cleanPath(path)), 'string')
    for (const list of ['read', 'write'] as const) {
      assert.throws(() => mountsOf({ [list]: [at(path)] }), {
        code: 'policy_invalid',
        message: /^profile plain: /,
      })
    }
  })
}

test('promise 8: plan for profile: nothing that holds control groups is written', () => {
  for (const path of ['/sys', '/sys/fs', '/sys/fs/cgroup', '/sys/fs/cgroup/pids/cgroup.procs']) {
    assert.equal(typeof writtenPathProblem(cleanPath(path)), 'string')
    assert.throws(() => mountsOf({ write: [at(path)] }), { code: 'policy_invalid' })
    assert.equal(mountsOf({ read: [at(path)] }).filter(({ target }) => target === path).length, 1)
  }
  for (const path of ['/sys/fs/bpf', '/sys/fs/cgroups', '/sys/kernel']) {
    assert.equal(writtenPathProblem(cleanPath(path)), undefined)
  }
})

test('plan for profile: paths that only look like those are taken', () => {
  for (const path of ['/tmp/x', '/device', '/dev/fuse', '/proc/sys', '/proc/selfish', '/proc/1a']) {
    assert.equal(profilePathProblem(cleanPath(path)), undefined)
  }
})

test('plan for profile: C32: every target is below the root, clean, and mounted from the same path', () => {
  const mounts = mountsOf({ write: [at('/var/lib/x'), at('/proc/sys/vm/swappiness', 'file')] })
  for (const entry of mounts) {
    assert.ok(entry.target.startsWith('/') && entry.target !== '/')
    assert.ok(!entry.target.split('/').includes('..'))
    if (entry.kind === 'bind' && entry.source !== '/proc/') assert.equal(entry.source, entry.target)
  }
})

test('plan for profile: equal profiles have equal plans', () => {
  for (const profile of [plain, richProfile]) {
    const plan = planForProfile(profile, facts)
    assert.deepEqual(formatPlan(planForProfile(structuredClone(profile), facts)), formatPlan(plan))
    assert.deepEqual(parsePlan(formatPlan(plan)), plan)
  }
})

test('plan for profile: the plans are those of spec/vectors/plan.json', () => {
  assert.deepEqual(planVectors(), readVectors('plan.json'))
})
