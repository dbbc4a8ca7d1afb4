import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { compileText } from '../native/compile.ts'
import { actionText } from '../support/action-text.ts'
import { readProc, run, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const isRoot = process.geteuid?.() === 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
let bridge: TestBridge

/** Prints each argument in hexadecimal, then its environment, descriptors, ids and limits. */
const probe = `
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <signal.h>
#include <dirent.h>
#include <sys/stat.h>
#include <sys/resource.h>
int main(int argc, char **argv, char **envp) {
  for (int i = 1; i < argc; i++) { printf("arg "); for (char *c = argv[i]; *c; c++) printf("%02x", (unsigned char)*c); printf("\\n"); }
  for (; *envp; envp++) printf("env %s\\n", *envp);
  DIR *d = opendir("/proc/self/fd"); struct dirent *e;
  while ((e = readdir(d))) if (e->d_name[0] != '.') printf("fd %s\\n", e->d_name);
  char cwd[4096]; printf("cwd %s\\n", getcwd(cwd, sizeof cwd));
  mode_t m = umask(0); printf("umask %o\\n", m);
  struct rlimit r; getrlimit(RLIMIT_FSIZE, &r); printf("fsize %d\\n", r.rlim_cur == RLIM_INFINITY);
  struct sigaction s; for (int i = 1; i < 32; i++) { sigaction(i, 0, &s); if (s.sa_handler == SIG_IGN) printf("ignored %d\\n", i); }
  printf("tty %d\\n", open("/dev/tty", 0) >= 0);
  return 0;
}`

const policy = `
schema = 1
[profile.plain]
[profile.input]
stdin = "stream"
[profile.quick]
limits = { time = "1s" }
[profile.place]
read = ["/usr", "${directory}"]
[profile.log]
caps = ["CAP_SYSLOG"]

${['cat', 'sleep', 'id', 'ls', 'dmesg'].map(plain).join('\n')}
${actionText('exit.seven', 'plain', ['/usr/bin/dash', '-c', 'exit 7'])}
${actionText('die', 'plain', ['/usr/bin/dash', '-c', 'kill -TERM $$'])}
${actionText('status', 'plain', ['/usr/bin/cat', '/proc/self/status', '/proc/self/cgroup'])}
${actionText('write', 'plain', ['/usr/bin/touch', '/x', '/usr/x', '/proc/sys/kernel/panic', '/tmp/ok'])}
${actionText('orphan', 'plain', ['/usr/bin/dash', '-c', 'setsid sleep 4711 & exit 0'])}
${actionText('probe', 'place', [`${directory}/probe`, '{a}', 'two words', '{b}'])}
env = { LANG = "C.UTF-8", ONLY = "this" }
[action."probe".params.a]
match = '.*'
max_length = 200
slash = true
space = true
[action."probe".params.b]
match = '.*'
max_length = 200
slash = true
space = true
${actionText('syslog', 'log', ['/usr/bin/dmesg', '--level=emerg'])}
[action."asked"]
about = "x"
command = ["/usr/bin/true"]
run_as = "root"
profile = "plain"
risk = "reversible"
approval = { need = 1, from = "oncall", within = "10m" }
${actionText('reasoned', 'plain', ['/usr/bin/true'])}
reason = "required"
${actionText('ungranted', 'plain', ['/usr/bin/true'])}
[approvers.oncall]
members = []
[[grant]]
who = ["group:sudo"]
may = ["cat", "sleep", "id", "ls", "dmesg", "exit.seven", "die", "status", "write", "orphan", "probe", "syslog", "asked", "reasoned"]
[[grant]]
who = ["uid:61999"]
may = ["ungranted"]
`

function plain(name: string): string {
  const words = name === 'sleep' ? ['30'] : name === 'ls' ? ['/', '/dev'] : []
  const profile = name === 'cat' ? 'input' : name === 'sleep' ? 'quick' : 'plain'
  return actionText(name, profile, [`/usr/bin/${name}`, ...words])
}

before(async () => {
  if (!isRoot) return
  chmodSync(directory, 0o755)
  compileText(join(directory, 'probe'), `#include <fcntl.h>\n${probe}`)
  bridge = await startBridge({ policy })
})
after(async () => {
  if (isRoot) {
    const report = await settled()
    assert.deepEqual(report.problems, [])
    assert.equal(await bridge.stop(), 0)
    await bridge[Symbol.asyncDispose]()
  }
  rmSync(directory, { recursive: true, force: true })
})

async function settled(): ReturnType<TestBridge['verify']> {
  let report = await bridge.verify()
  await until(async () => {
    report = await bridge.verify()
    return report.unsigned_tail === 0 && report.pending === 0
  }, 5_000)
  return report
}

const rows: readonly {
  name: string
  args: string[]
  status: number
  out?: RegExp
  err?: RegExp
}[] = [
  {
    name: 'the command runs as root for an unprivileged caller',
    args: ['id'],
    status: 0,
    out: /^uid=0\(root\) gid=0\(root\) groups=0\(root\)\n$/,
  },
  { name: 'the exit status is the command’s', args: ['exit.seven'], status: 7 },
  { name: 'a signal n is 128+n', args: ['die'], status: 143 },
  { name: 'the time limit is 124', args: ['sleep'], status: 124, err: /time limit/ },
  { name: 'an unknown action is 127', args: ['no.such'], status: 127, err: /action_unknown/ },
  {
    name: 'promise 1: without a grant nothing runs',
    args: ['ungranted'],
    status: 125,
    err: /not_granted/,
  },
  {
    name: 'promise 3: ask is a refusal with its own code',
    args: ['asked'],
    status: 125,
    err: /approval_required/,
  },
  {
    name: 'a reason that is required and missing',
    args: ['reasoned'],
    status: 125,
    err: /reason_required/,
  },
  { name: 'a reason that is given', args: ['-r', 'because', 'reasoned'], status: 0 },
  {
    name: 'a parameter that is missing',
    args: ['probe', 'a=1'],
    status: 125,
    err: /parameter_missing/,
  },
  {
    name: 'C03: a parameter that the action does not have',
    args: ['id', 'argv0=x'],
    status: 125,
    err: /parameter_unknown/,
  },
  {
    name: 'C09: a value that begins with a dash',
    args: ['probe', 'a=--help', 'b='],
    status: 125,
    err: /parameter_invalid/,
  },
  { name: 'a capability that the profile keeps', args: ['syslog'], status: 0 },
  { name: 'a capability that it does not keep', args: ['dmesg'], status: 1, err: /not permitted/ },
]
for (const { name, args, status, out, err } of rows) {
  test(`the way: ${name}`, { skip: !isRoot }, async () => {
    const result = await bridge.bell(args)
    assert.equal(result.status, status, result.stderr)
    if (out !== undefined) assert.match(result.stdout, out)
    if (err !== undefined) assert.match(result.stderr, err)
  })
}

test('C01: arguments reach execve byte by byte', { skip: !isRoot }, async () => {
  const odd = [
    '',
    ' ',
    'a b',
    '\\',
    'a\\',
    '$(id)',
    '`id`',
    '"',
    "'",
    'é€😀',
    '*',
    '; reboot',
    'x'.repeat(200),
  ]
  const made = Array.from({ length: 100 }, (_, i) =>
    String.fromCodePoint(33 + ((i * 7) % 90)).repeat(1 + (i % 5)),
  )
  for (const value of [...odd, ...made].filter((text) => !text.startsWith('-'))) {
    const { stdout, stderr } = await bridge.bell(['probe', `a=${value}`, 'b=end'])
    const seen = [...stdout.matchAll(/^arg ([0-9a-f]*)$/gm)].map(([, hex = '']) =>
      Buffer.from(hex, 'hex').toString(),
    )
    assert.deepEqual(seen, [value, 'two words', 'end'], stderr)
  }
})

test(
  'C20 C22 C23 C24 C30 L6: a command has the policy’s environment, three descriptors, no terminal, fresh limits',
  { skip: !isRoot },
  async () => {
    const nasty = [
      '/usr/bin/nice',
      '-n',
      '5',
      '/usr/bin/env',
      'LD_PRELOAD=/x',
      'TZ=/etc/passwd',
      '/bin/sh',
      '-c',
      'trap "" PIPE CHLD XFSZ; umask 0; ulimit -f 0; exec "$@"',
      'sh',
    ]
    const { stdout } = await bridge.bell(['probe', 'a=1', 'b=2'], { before: nasty })
    const lines = stdout.split('\n').filter((line) => !line.startsWith('arg '))
    assert.deepEqual(
      lines.filter((line) => line.startsWith('env ')),
      ['env LANG=C.UTF-8', 'env ONLY=this'],
    )
    // 3 is the probe's own directory stream.
    assert.deepEqual(
      lines.filter((line) => line.startsWith('fd ')),
      ['fd 0', 'fd 1', 'fd 2', 'fd 3'],
    )
    for (const want of ['cwd /', 'umask 22', 'fsize 1', 'tty 0'])
      assert.ok(lines.includes(want), want)
    assert.equal(
      lines.some((line) => line.startsWith('ignored ')),
      false,
    )
  },
)

test(
  'promise 8 L5: a run has no capability, no_new_privs, seccomp, its own cgroup root',
  { skip: !isRoot },
  async () => {
    const { stdout } = await bridge.bell(['status'])
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
      assert.match(stdout, new RegExp(`^Cap${set}:\t0{16}$`, 'm'))
    assert.match(stdout, /^NoNewPrivs:\t1$/m)
    assert.match(stdout, /^Seccomp:\t2$/m)
    assert.match(stdout, /^0::\/$/m)
  },
)

test('the root of a run is read-only but for its own /tmp', { skip: !isRoot }, async () => {
  const { status, stderr } = await bridge.bell(['write'])
  assert.equal(status, 1)
  assert.equal(stderr.match(/Read-only file system/g)?.length, 3, stderr)
  assert.doesNotMatch(stderr, /\/tmp\/ok/)
})

test('C90 L8: who is left behind ends with the command', { skip: !isRoot }, async () => {
  assert.equal((await bridge.bell(['orphan'])).status, 0)
  await until(() => !processExists('4711'), 2_000)
})

function processExists(word: string): boolean {
  return execFileSync('sh', ['-c', `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true`], {
    encoding: 'utf8',
  }).includes(`sleep ${word}`)
}

test('stdin and stdout pass through when the profile says so', { skip: !isRoot }, async () => {
  const text = 'x'.repeat(300_000)
  const { stdout } = await bridge.bell(['cat'], { stdin: text })
  assert.equal(stdout, text)
})

test('root needs a grant like anybody, 65534 has none ever', { skip: !isRoot }, async () => {
  assert.match(
    (await bridge.bell(['id'], { uid: 0, groups: [] })).stderr,
    /action_unknown|not_granted/,
  )
  assert.match((await bridge.bell(['id'], { uid: 65_534 })).stderr, /subject_unmapped/)
})

test('a caller in another user or pid namespace is refused', { skip: !isRoot }, async () => {
  for (const own of [
    ['--pid', '--fork'],
    ['--user', '--map-root-user'],
  ]) {
    const { stderr } = await run([
      '/usr/bin/unshare',
      ...own,
      bridge.bellPath,
      '-S',
      bridge.socket,
      'id',
    ])
    assert.match(stderr, /subject_foreign_namespace/, own.join(' '))
  }
})

test(
  'the services are without privilege: ids, capabilities, no_new_privs, seccomp, not dumpable',
  { skip: !isRoot },
  () => {
    const { broker, executor, launcher } = bridge.pids()
    const brokerStatus = readProc(`${broker}/status`)
    assert.match(brokerStatus, /^Uid:\t(?!0\t)(\d+)\t\1\t\1\t\1$/m)
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
      assert.match(brokerStatus, new RegExp(`^Cap${set}:\t0{16}$`, 'm'))
    const executorStatus = readProc(`${executor}/status`)
    assert.match(executorStatus, /^Uid:\t0\t0\t0\t0$/m)
    for (const set of ['Prm', 'Eff', 'Bnd'])
      assert.match(executorStatus, new RegExp(`^Cap${set}:\t0{15}4$`, 'm')) // CAP_DAC_READ_SEARCH
    for (const status of [brokerStatus, executorStatus]) {
      assert.match(status, /^NoNewPrivs:\t1$/m)
      assert.match(status, /^Seccomp:\t2$/m)
    }
    const cgroupOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/cgroup`)
    assert.notEqual(cgroupOf(broker), cgroupOf(launcher))
    const owner = execFileSync('stat', ['-c', '%u', `/proc/${broker}/environ`], {
      encoding: 'utf8',
    })
    assert.equal(owner, '0\n') // of a dumpable process it would be its own uid
    assert.ok(Number(/^VmRSS:\s+(\d+)/m.exec(readProc(`${launcher}/status`))?.[1]) <= 1024)
  },
)
