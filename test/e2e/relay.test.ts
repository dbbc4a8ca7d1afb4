/** Runs whose output goes through a relay, with real processes. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { OutcomeEntry, OutcomeOutput } from '../../src/core/audit/entry.ts'
import { caller, childrenOf, exitOf, readProc, run, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const isRoot = process.geteuid?.() === 0
const skip = !isRoot
const directory = mkdtempSync('/var/lib/belladonna-test.')
let bridge: TestBridge

/** Writes argv[1] bytes to stdout and argv[2] to stderr, in pieces that take turns; byte n is n * 7 + n / 256. */
const writer = `
#include <stdlib.h>
#include <unistd.h>
static void piece(int fd, long *at, long end) {
  unsigned char bytes[10000]; long n = end - *at < 9973 ? end - *at : 9973;
  for (long i = 0; i < n; i++) bytes[i] = (*at + i) * 7 + ((*at + i) >> 8);
  for (long done = 0; done < n;) { long w = write(fd, bytes + done, n - done); if (w < 0) exit(4); done += w; }
  *at += n;
}
int main(int argc, char **argv) {
  long out = 0, err = 0, outs = argc > 1 ? atol(argv[1]) : 0, errs = argc > 2 ? atol(argv[2]) : 0;
  while (out < outs || err < errs) { piece(1, &out, outs); piece(2, &err, errs); }
  return 0;
}`

function written(size: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >> 8)))
}

function action(name: string, profile: string, command: readonly string[], rest = ''): string {
  return `[action."${name}"]
about = "x"
command = ${JSON.stringify(command)}
run_as = "root"
profile = "${profile}"
risk = "read-only"
${rest}
[[grant]]
who = ["group:sudo"]
may = ["${name}"]
`
}

function write(profile: string): string {
  const name = `write.${profile}`
  const sizes = ['out', 'err'].map((size) => `[action."${name}".params.${size}]\nmatch = '[0-9]+'`)
  return action(name, profile, [join(directory, 'writer'), '{out}', '{err}'], sizes.join('\n'))
}

const read = `read = ["/usr", "${directory}"]`
const policy = `schema = 1
[profile.pass]
[profile.default]
${read}
stdin = "stream"
output = "capped"
[profile.small]
${read}
output = "capped"
limits = { output = "1000" }
[profile.large]
${read}
stdin = "stream"
output = "capped"
limits = { output = "64M" }
[profile.quick]
output = "capped"
limits = { output = "64M", time = "1s" }
[profile.long]
output = "capped"
limits = { time = "5m" }
${['default', 'small', 'large'].map(write).join('\n')}
${action('copy', 'large', ['/usr/bin/cat'])}
${action('pass.sleep', 'pass', ['/usr/bin/sleep', '5'])}
${action('sleep', 'large', ['/usr/bin/sleep', '20'])}
${action('zeros', 'quick', ['/usr/bin/head', '-c', '120000', '/dev/zero'])}
${action('forever', 'quick', ['/usr/bin/cat', '/dev/zero'])}
${action('ten.gigabytes', 'long', ['/usr/bin/head', '-c', '10G', '/dev/zero'])}
${action('yes', 'large', ['/usr/bin/yes'])}
${action('seven', 'default', ['/usr/bin/dash', '-c', 'echo out; exec >&- 2>&-; sleep 0.2; exit 7'])}
${action('absent', 'default', [join(directory, 'gone')])}
`

before(async () => {
  if (skip) return
  chmodSync(directory, 0o755)
  writeFileSync(join(directory, 'writer.c'), writer)
  execFileSync('gcc', ['-O1', '-o', join(directory, 'writer'), join(directory, 'writer.c')])
  execFileSync('cp', ['/usr/bin/true', join(directory, 'gone')])
  bridge = await startBridge({ policy })
})
after(async () => {
  if (!skip) {
    assert.deepEqual((await bridge.verify()).problems, [])
    assert.equal(await bridge.stop(), 0)
    await bridge[Symbol.asyncDispose]()
  }
  rmSync(directory, { recursive: true, force: true })
})

type Bell = Readonly<{ child: ChildProcess; end: Promise<Ended> }>
type Ended = Readonly<{ status: number | null; stdout: Buffer; stderr: Buffer }>

/** bell with its output as bytes; `take: false` leaves both pipes unread. */
function startBell(args: readonly string[], { input = Buffer.alloc(0), take = true } = {}): Bell {
  const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--groups', '27']
  const words = [...identity, bridge.bellPath, '-S', bridge.socket, ...args]
  const child = spawn('/usr/bin/setpriv', words, { stdio: ['pipe', 'pipe', 'pipe'] })
  const chunks: [Buffer[], Buffer[]] = [[], []]
  if (take) {
    child.stdout.on('data', (chunk: Buffer) => chunks[0].push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks[1].push(chunk))
  }
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const end = new Promise<Ended>((resolve) => {
    child.once(take ? 'close' : 'exit', (status: number | null) => {
      resolve({ status, stdout: Buffer.concat(chunks[0]), stderr: Buffer.concat(chunks[1]) })
    })
  })
  return { child, end }
}

function outcomes(): readonly OutcomeEntry[] {
  return bridge.entries().filter((entry) => entry.kind === 'outcome')
}

/** The outcome of the run that `act` makes, once it is recorded. */
async function outcomeOf(act: () => Promise<unknown>): Promise<OutcomeEntry> {
  const before = outcomes().length
  await act()
  await until(() => outcomes().length > before, 15_000)
  const last = outcomes().at(-1)
  assert.ok(last)
  return last
}

type Capped = Extract<OutcomeOutput, { kind: 'capped' }>

function capped({ output }: OutcomeEntry): Capped {
  assert.ok(output.kind === 'capped')
  return output
}

function stream(bytes: Uint8Array, writtenBytes = bytes.length): Capped['stdout'] {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { written: writtenBytes, delivered: bytes.length, sha256 }
}

function relays(): readonly number[] {
  const { launcher } = bridge.pids()
  return childrenOf(launcher).filter((pid) => readProc(`${pid}/comm`).startsWith('belladonna-rela'))
}

const sizes = [0, 1, 4096, 65_535, 65_536, 65_537, 1_000_003, 10 * 1024 ** 2]
for (const size of sizes) {
  test(
    `relay: ${size} bytes arrive as they were written, and their digest says so`,
    { skip },
    async () => {
      const input = randomBytes(size)
      let stdout = Buffer.alloc(0)
      const outcome = await outcomeOf(async () => {
        stdout = (await startBell(['copy'], { input }).end).stdout
      })
      assert.ok(stdout.equals(input))
      const none = stream(new Uint8Array())
      assert.deepEqual(outcome.output, {
        ...{ kind: 'capped', limitBytes: 64 * 1024 ** 2, truncated: false, undelivered: false },
        ...{ stdout: stream(input), stderr: none },
      })
    },
  )
}

test('relay: both streams at once, each in its order', { skip }, async () => {
  const ended = { status: null, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  const outcome = await outcomeOf(async () => {
    Object.assign(ended, await startBell(['write.large', 'out=3000001', 'err=2000003']).end)
  })
  assert.equal(ended.status, 0)
  assert.ok(ended.stdout.equals(written(3_000_001)))
  assert.ok(ended.stderr.equals(written(2_000_003)))
  assert.deepEqual(capped(outcome).stdout, stream(written(3_000_001)))
  assert.deepEqual(capped(outcome).stderr, stream(written(2_000_003)))
})

const caps: readonly (readonly [out: number, err: number, truncated: boolean])[] = [
  [999, 0, false],
  [1000, 0, false],
  [1001, 0, true],
  [0, 1001, true],
  [600, 400, false],
  [300_000, 0, true],
]
for (const [out, err, truncated] of caps) {
  const title = `relay: a cap of 1000 bytes is exact for ${out} on stdout and ${err} on stderr`
  test(title, { skip }, async () => {
    let ended: Ended | undefined
    const outcome = await outcomeOf(async () => {
      ended = await startBell(['write.small', `out=${out}`, `err=${err}`]).end
    })
    assert.equal(ended?.status, 0)
    const seen = [ended.stdout, ended.stderr]
    assert.equal(
      seen.reduce((sum, { length }) => sum + length, 0),
      Math.min(out + err, 1000),
    )
    assert.deepEqual(capped(outcome), {
      ...{ kind: 'capped', limitBytes: 1000, truncated, undelivered: false },
      stdout: stream(written(Math.min(out, 1000)), out),
      stderr: stream(written(Math.min(err, 1000)), err),
    })
    assert.ok(ended.stdout.equals(written(Math.min(out, 1000))))
  })
}

test('relay: the cap is of both streams together', { skip }, async () => {
  const outcome = await outcomeOf(
    async () => await startBell(['write.small', 'out=900', 'err=900']).end,
  )
  const { stdout, stderr, truncated } = capped(outcome)
  assert.equal(stdout.delivered + stderr.delivered, 1000)
  assert.deepEqual([stdout.written, stderr.written, truncated], [900, 900, true])
})

test('relay: without limits.output the cap is 1 MiB', { skip }, async () => {
  const outcome = await outcomeOf(async () => {
    const { stdout } = await startBell(['write.default', 'out=1048577', 'err=0']).end
    assert.equal(stdout.length, 1_048_576)
  })
  assert.equal(capped(outcome).truncated, true)
})

test('C89: ten gigabytes of output cost neither memory nor the run', { skip }, async () => {
  const { broker, launcher } = bridge.pids()
  const rss = (pid: number): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readProc(`${pid}/status`))?.[1])
  const before = [rss(broker), rss(launcher)]
  let most = 0
  const outcome = await outcomeOf(async () => {
    const timer = setInterval(
      () => relays().forEach((pid) => (most = Math.max(most, rss(pid)))),
      100,
    )
    const { status, stdout } = await startBell(['ten.gigabytes']).end
    clearInterval(timer)
    assert.deepEqual([status, stdout.length], [0, 1_048_576])
  })
  const { written: all, delivered } = capped(outcome).stdout
  assert.deepEqual([all, delivered], [10 * 1024 ** 3, 1_048_576])
  const [brokerBefore = 0, launcherBefore = 0] = before
  assert.ok(rss(broker) - brokerBefore < 64 * 1024, `${rss(broker) - brokerBefore} KiB`)
  assert.ok(rss(launcher) - launcherBefore < 1024)
  assert.ok(most > 0 && most < 2048, `relay ${most} KiB`)
})

test(
  'relay: a client that takes nothing cannot hold a run beyond its time limit',
  { skip },
  async () => {
    const bell = startBell(['forever'], { take: false })
    const outcome = await outcomeOf(async () => {
      assert.equal((await bell.end).status, 124)
    })
    assert.equal(outcome.end.kind, 'timed_out')
    const { undelivered, stdout } = capped(outcome)
    assert.equal(undelivered, true)
    assert.ok(stdout.written >= stdout.delivered && stdout.delivered > 0)
  },
)

test(
  'relay: what the client did not take when the command was over is said',
  { skip },
  async () => {
    for (let time = 0; time < 5; time++) {
      const outcome = await outcomeOf(async () => {
        const identity = `setpriv --reuid ${caller.uid} --regid ${caller.gid} --groups 27`
        const bell = `${identity} ${bridge.bellPath} -S ${bridge.socket} zeros`
        // A pipe of 64 KiB that nobody reads.
        const { stderr } = await run(['sh', '-c', `(${bell}; echo $? >&2) < /dev/null | sleep 1.5`])
        assert.equal(stderr, '0\n')
      })
      assert.deepEqual([outcome.end.kind, capped(outcome).undelivered], ['exited', true])
      assert.deepEqual(capped(outcome).stdout, stream(new Uint8Array(65_536), 120_000))
    }
  },
)

test('relay: a client that reads a byte now and then, and goes away', { skip }, async () => {
  const bell = startBell(['yes'], { take: false })
  const outcome = await outcomeOf(async () => {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 300))
      bell.child.stdout?.read(1)
    }
    bell.child.stdout?.destroy()
    bell.child.kill('SIGKILL')
    await bell.end
  })
  const { undelivered, stdout } = capped(outcome)
  assert.equal(undelivered, true)
  assert.equal(stdout.sha256, stream(Buffer.from('y\n'.repeat(stdout.delivered / 2))).sha256)
})

test(
  'relay: a reader that has enough ends the command by SIGPIPE, as without a relay',
  { skip },
  async () => {
    const bell = startBell(['yes'], { take: false })
    bell.child.stdout?.once('readable', () => bell.child.stdout?.destroy())
    const outcome = await outcomeOf(async () => await bell.end)
    assert.deepEqual([outcome.end.kind, outcome.end.value], ['signalled', 13])
  },
)

test('relay: the exit status comes after streams that were closed early', { skip }, async () => {
  const { status, stdout } = await startBell(['seven']).end
  assert.deepEqual([status, stdout.toString()], [7, 'out\n'])
})

test('relay: killed, its run is lost, and the log says so', { skip }, async () => {
  const bell = startBell(['sleep'])
  await until(() => relays().length === 1, 5_000)
  const [relay = 0] = relays()
  assert.notEqual(relay, 0)
  const outcome = await outcomeOf(async () => {
    await until(() => bridge.entries().at(-1)?.kind === 'intent', 5_000)
    process.kill(relay, 'SIGKILL')
    assert.equal((await bell.end).status, 125)
  })
  assert.deepEqual([outcome.end.kind, outcome.output], ['lost', { kind: 'unknown' }])
  assert.deepEqual(relays(), [])
})

test('relay: stopped, it holds a run for the time limit and two graces', { skip }, async () => {
  const bell = startBell(['forever'])
  await until(() => relays().length === 1, 5_000)
  const [relay = 0] = relays()
  assert.notEqual(relay, 0)
  process.kill(relay, 'SIGSTOP')
  const outcome = await outcomeOf(async () => await bell.end)
  assert.deepEqual([outcome.end.kind, outcome.output], ['lost', { kind: 'unknown' }])
})

test('relay: without privilege, and only where the profile asks for it', { skip }, async () => {
  const bell = startBell(['sleep'])
  await until(() => relays().length === 1, 5_000)
  const [relay = 0] = relays()
  await until(() => readProc(`${relay}/status`).includes('Seccomp_filters:\t2'), 5_000)
  const status = readProc(`${relay}/status`)
  assert.match(status, /^Uid:\t61201\t61201\t61201\t61201$/m)
  assert.match(status, /^Gid:\t61201\t61201\t61201\t61201$/m)
  assert.match(status, /^Groups:\t ?$/m)
  for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
    assert.match(status, new RegExp(`^Cap${set}:\t0{16}$`, 'm'))
  assert.match(status, /^NoNewPrivs:\t1$/m)
  assert.match(status, /^Seccomp:\t2$/m)
  assert.match(status, /^Threads:\t1$/m)
  assert.match(readProc(`${relay}/limits`), /^Max processes +0 +0 /m)
  assert.match(readProc(`${relay}/limits`), /^Max open files +7 +7 /m)
  const owner = execFileSync('stat', ['-c', '%u', `/proc/${relay}/environ`], { encoding: 'utf8' })
  assert.equal(owner, '0\n') // of a dumpable process it would be its own uid
  assert.equal(readProc(`${relay}/environ`), '')
  bell.child.kill('SIGTERM')
  await bell.end
  await until(() => relays().length === 0, 5_000)
  const plain = startBell(['pass.sleep'])
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.deepEqual(relays(), [])
  plain.child.kill('SIGTERM')
  await plain.end
})

test('relay: a file gets the output behind what it has', { skip }, async () => {
  const file = join(bridge.root, 'output')
  writeFileSync(file, 'before\n')
  chownSync(file, caller.uid, caller.gid)
  const words = [bridge.bellPath, '-S', bridge.socket, 'write.default', 'out=70000', 'err=0']
  const identity = `setpriv --reuid ${caller.uid} --regid ${caller.gid} --groups 27`
  const child = spawn('sh', ['-c', `${identity} "$@" >> ${file} < /dev/null`, 'sh', ...words])
  assert.equal(await exitOf(child), 0)
  assert.ok(readFileSync(file).equals(Buffer.concat([Buffer.from('before\n'), written(70_000)])))
})

test('relay: a terminal gets the output whole', { skip }, async () => {
  const inner = `setpriv --reuid ${caller.uid} --regid ${caller.gid} --groups 27 ${bridge.bellPath} -S ${bridge.socket}`
  const lines = execFileSync('script', [
    '-qec',
    `${inner} write.default out=20000 err=0 | cat`,
    '/dev/null',
  ])
  assert.ok(lines.length >= 20_000)
  const outcome = await outcomeOf(async () => {
    const child = spawn('script', [
      '-qec',
      `stty raw; ${inner} write.default out=50000 err=0`,
      '/dev/null',
    ])
    let size = 0
    child.stdout.on('data', ({ length }: Buffer) => (size += length))
    await new Promise((resolve) => child.once('close', resolve))
    assert.equal(size, 50_000)
  })
  assert.deepEqual(capped(outcome).stdout, stream(written(50_000)))
})
