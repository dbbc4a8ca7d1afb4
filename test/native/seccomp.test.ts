/**
 * The seccomp programs on the real kernel. Each refusal is proved twice: with the program the call fails as the policy
 * says, without it it does not; so no call counts as refused that this kernel, or who runs the test, refuses anyway.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { compileSeccomp } from '../../src/core/sandbox/seccomp.ts'
import { compile, openScratch } from './compile.ts'
import { listingNames, refusingNames, seccompNames, seccompPolicies } from './sandbox-vectors.ts'
import type { SeccompName } from './sandbox-vectors.ts'

const isRoot = process.getuid?.() === 0

const [EPERM, ENOSYS, EAFNOSUPPORT, ENETUNREACH] = ['1', '38', '97', '101']
const KILLED = 'signal 31' // SIGSYS

/** Calls of seccomp-probe.c and what all policies make of them. */
const refused: Readonly<Record<string, string>> = {
  ...refusals(EPERM, [
    ...['io_uring_setup', 'io_uring_enter', 'io_uring_register'],
    ...['bpf', 'perf_event_open', 'userfaultfd', 'ptrace', 'ptrace a child'],
    ...['process_vm_readv', 'process_vm_writev', 'process_madvise', 'pidfd_getfd', 'kcmp'],
    ...['mount', 'umount2', 'pivot_root', 'chroot', 'chroot /', 'move_mount', 'open_tree'],
    ...['open_tree_attr', 'mount_setattr', 'fsopen', 'fsconfig', 'fsmount', 'fspick'],
    ...['setns', 'unshare', 'unshare nothing', 'sethostname', 'setdomainname'],
    ...['add_key', 'request_key', 'keyctl', 'name_to_handle_at', 'open_by_handle_at'],
    ...['fanotify_init', 'fanotify_mark', 'init_module', 'finit_module', 'delete_module'],
    ...['kexec_load', 'reboot', 'swapon', 'swapoff', 'acct', 'quotactl', 'quotactl_fd'],
    ...['iopl', 'ioperm', 'modify_ldt', 'clone NEWUTS', 'clone NEWUTS high', 'clone NEWUSER'],
    ...['TIOCSTI', 'TIOCSTI high', 'TIOCLINUX', 'TIOCLINUX high', 'TIOCSETD', 'personality'],
  ]),
  ...refusals(ENOSYS, ['clone3']),
  ...refusals(EAFNOSUPPORT, ['socket vsock', 'socket alg', 'socketpair vsock']),
  ...refusals(KILLED, ['int 0x80', 'x32']),
  // Not even one character arrives; without the program it is one.
  ...refusals('0', ['TIOCSTI pushed', 'TIOCSTI high pushed']),
}

const refusedToServices: Readonly<Record<string, string>> = {
  ...refusals(EPERM, [
    ...['clone', 'fork', 'fork by its own call', 'kill', 'tkill', 'setuid', 'setgroups', 'capset'],
    ...['fchownat', 'mknodat'],
  ]),
  // Nobody listens: the launcher's listener is closed after the first one.
  ...refusals(ENOSYS, ['execve']),
}

const refusedWithoutUnix: Readonly<Record<string, string>> = refusals(EAFNOSUPPORT, [
  ...['socket unix', 'socket unix dgram', 'socketpair dgram', 'socketpair raw'],
])

const refusedOf: Readonly<Record<(typeof refusingNames)[number], Readonly<Record<string, string>>>> = {
  default: { ...refused, ...refusedWithoutUnix, ...refusals(ENETUNREACH, ['connect']) },
  default_network: { ...refused, ...refusedWithoutUnix },
  default_unix: refused,
  service: { ...refused, ...refusedWithoutUnix, ...refusedToServices },
}

/** Refused on this kernel without us as well, in the same words. */
const alsoWithoutUs = new Map([
  ['socket alg', EAFNOSUPPORT],
  ['socket vsock', EAFNOSUPPORT],
  ['socketpair vsock', EAFNOSUPPORT],
])

const allowedToAll = [
  ...['thread', 'TIOCGWINSZ', 'personality query', 'socket inet', 'socket netlink'],
  ...['socketpair unix', 'socketpair seqpacket', 'tgkill', 'openat', 'getpid'],
]

function refusals(result: string, names: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name) => [name, result]))
}

const scratch = openScratch()
after(() => {
  scratch[Symbol.dispose]()
})
const probe = compile(scratch.path, 'seccomp-probe.c')

function filterFile(policy: SeccompName): string {
  const file = join(scratch.path, `${policy}.filter`)
  assert.ok(process.arch === 'x64' || process.arch === 'arm64')
  const architecture = process.arch === 'x64' ? 'x86_64' : 'aarch64'
  writeFileSync(file, compileSeccomp(architecture, seccompPolicies[policy]))
  return file
}

function calls(filter: string): ReadonlyMap<string, string> {
  const printed = execFileSync(probe, ['calls', filter], { encoding: 'utf8' })
  return new Map(
    printed
      .trim()
      .split('\n')
      .map((line) => {
        const [name = '', result = ''] = line.split(': ')
        return [name, result]
      }),
  )
}

const without = calls('-')
const results = new Map(refusingNames.map((policy) => [policy, calls(filterFile(policy))]))

for (const policy of refusingNames) {
  const wanted = refusedOf[policy]
  const found = results.get(policy) ?? new Map<string, string>()
  for (const name of found.keys()) {
    const expected = wanted[name]
    if (expected === undefined) continue
    const id = /^TIOC/.test(name)
      ? 'C22: the terminal’s '
      : name.startsWith('io_uring')
        ? 'C82: the ring’s '
        : ''
    test(`seccomp ${policy}: ${id}${name} is refused, and only by the program`, (t) => {
      assert.equal(found.get(name), expected)
      const plain = without.get(name)
      if (plain === expected && (!isRoot || alsoWithoutUs.get(name) === expected)) {
        t.diagnostic(`${name}: this kernel or this user has ${expected} without the program too`)
        return
      }
      assert.notEqual(plain, expected)
    })
  }

  test(`seccomp ${policy}: every call of the policy was tried`, () => {
    const x86Only = ['iopl', 'ioperm', 'modify_ldt', 'int 0x80', 'x32', 'fork by its own call']
    const missing = Object.keys(wanted).filter((name) => !found.has(name))
    assert.deepEqual(missing, process.arch === 'x64' ? [] : x86Only.filter((name) => name in wanted))
  })

  test(`seccomp ${policy}: what is not refused works as without it`, () => {
    for (const [name, result] of found) {
      if (!(name in wanted)) assert.equal(result, without.get(name), name)
    }
    for (const name of allowedToAll) assert.equal(found.get(name), '0', name)
  })
}

test('seccomp service: the first exec is let through, the second one finds nobody listening', () => {
  const run = spawnSync(probe, ['service', filterFile('service'), probe, 'again', '-'], {
    encoding: 'utf8',
  })
  assert.deepEqual([run.stdout, run.stderr, run.status], ['execve: 38\n', '', 0])
})

/** What our daemons do: files, sockets, threads, crypto, timers; and what they must not be able to do. */
const daemon = `
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash, generateKeyPairSync, randomBytes, sign, verify, scrypt } from 'node:crypto'
import * as fs from 'node:fs'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'

const directory = process.argv[2]
const file = directory + '/log'
const fd = fs.openSync(file, 'wx', 0o600)
fs.writeSync(fd, 'entry')
fs.fdatasyncSync(fd)
fs.closeSync(fd)
assert.equal(await fs.promises.readFile(file, 'utf8'), 'entry')
fs.renameSync(file, file + '.1')
fs.chmodSync(file + '.1', 0o400)
fs.watch(directory).close()

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const data = randomBytes(32)
assert.ok(verify(null, data, publicKey, sign(null, data, privateKey)))
createHash('sha256').update(data).digest()
await promisify(scrypt)('a', 'b', 16)
gzipSync(data)

const server = net.createServer((peer) => peer.end('answer'))
await new Promise((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve))
const socket = net.connect(server.address())
let text = ''
for await (const chunk of socket) text += chunk
assert.equal(text, 'answer')
await new Promise((resolve) => server.close(resolve))

const worker = new Worker('postMessage', { eval: true })
worker.terminate()
const echo = new Worker("const { parentPort } = require('node:worker_threads'); parentPort.postMessage(7)", { eval: true })
assert.equal(await new Promise((resolve) => echo.once('message', resolve)), 7)
await sleep(5)
for (let i = 0; i < 200000; i++) Math.sqrt(i) // long enough for V8's compiler threads
process.on('SIGTERM', () => {})
process.memoryUsage(); process.cpuUsage(); process.resourceUsage(); process.report?.getReport?.()

const refusedSocket = net.connect({ path: directory + '/socket' })
assert.equal(await new Promise((resolve) => refusedSocket.on('error', (error) => resolve(error.code))), 'EAFNOSUPPORT')
assert.equal(spawnSync('/bin/true').error?.code, 'EPERM')
assert.throws(() => process.kill(process.pid, 0), { code: 'EPERM' })
assert.throws(() => process.setuid(process.getuid()), { code: 'EPERM' })
assert.throws(() => fs.chownSync(file + '.1', 0, 0), { code: 'EPERM' })
console.log('done')
`

test('seccomp service: Node runs threads, files, sockets and crypto under it, and starts nothing', () => {
  using own = openScratch()
  const script = join(own.path, 'daemon.mjs')
  const coverage = join(own.path, 'coverage')
  mkdirSync(coverage)
  writeFileSync(script, daemon)
  const command = [process.execPath, script, own.path]
  const run = spawnSync(probe, ['service', filterFile('service'), ...command], {
    encoding: 'utf8',
    env: { NODE_V8_COVERAGE: coverage },
    timeout: 60_000,
  })
  assert.deepEqual([run.stdout, run.stderr, run.status], ['done\n', '', 0])
  assert.ok(readdirSync(coverage).length > 0)
})

/** Programs of Debian that a set must be enough for: each prints the same behind it. */
const enough: Readonly<Record<(typeof listingNames)[number], readonly (readonly string[])[]>> = {
  basic: [
    ['/usr/bin/ls', '-ln', '/usr/lib'],
    ['/usr/bin/dash', '-c', 'for i in 3 1 2; do echo $i; done | sort | tee /dev/null | sha256sum'],
    ['/usr/bin/find', '/usr/lib/os-release', '-printf', '%p %s'],
    ['/usr/bin/perl', '-e', 'print join ",", map { $_ * 2 } 1 .. 5; print "\\n" . `echo x`'],
    ['/usr/bin/tar', '-cf', '-', '-C', '/usr/lib', 'os-release'],
  ],
  no_network: [
    ['/usr/bin/nice', '-n', '1', '/usr/bin/echo', 'x'],
    ['/usr/bin/dash', '-c', 'touch f; chown 0:0 f; ls -ln f | cut -c1-20; rm f'],
  ],
  system_service: [
    [
      '/usr/bin/perl',
      '-MIO::Socket::INET',
      '-e',
      '$s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die; ' +
        'IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $s->sockport) or die; print "met"',
    ],
  ],
}

for (const set of listingNames) {
  for (const command of enough[set]) {
    test(`seccomp ${set}: it is enough for ${command[0] ?? ''} ${command[1] ?? ''}`, () => {
      using own = openScratch()
      const run = (filter: string): readonly [string, string, number | null] => {
        const options = { encoding: 'utf8', cwd: own.path } as const
        const { stdout, stderr, status } = spawnSync(probe, ['run', filter, ...command], options)
        return [stdout, stderr, status]
      }
      const plain = run('-')
      assert.deepEqual([plain[1], plain[2]], ['', 0])
      assert.deepEqual(run(filterFile(set)), plain)
    })
  }
}

/** What is beyond a set: works without it, and fails behind it in these words. */
const beyond: Readonly<Record<(typeof listingNames)[number], readonly [string, RegExp]>> = {
  basic: ['touch f; chown 0:0 f', /Operation not permitted/],
  no_network: ["perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) or die $!'", /not permitted/],
  system_service: ['dmesg --syslog > /dev/null', /not permitted/],
}
for (const set of listingNames) {
  const [script, words] = beyond[set]
  test(`seccomp ${set}: it refuses ${script.split(' ')[0] ?? ''}, and only it does`, { skip: !isRoot }, () => {
    using own = openScratch()
    const run = (filter: string): ReturnType<typeof spawnSync> =>
      spawnSync(probe, ['run', filter, '/usr/bin/dash', '-c', script], { cwd: own.path })
    assert.equal(run('-').status, 0)
    const { status, stderr } = run(filterFile(set))
    assert.notEqual(status, 0)
    assert.match(String(stderr), words)
  })
}

test('seccomp: installing a program costs less than half a millisecond', (t) => {
  for (const policy of seccompNames) {
    const us = Number(
      execFileSync(probe, ['load', filterFile(policy), '50'], { encoding: 'utf8' }).trim(),
    )
    t.diagnostic(`${policy}: ${us} µs`)
    assert.ok(us < 500, `${us} µs`)
  }
})
