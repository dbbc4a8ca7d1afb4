/**
 * The numbered MUSTs of native/launcher/main.c. Those that other tests prove on their way (L1 in identity.test.ts, L5, L6 and
 * L8 in way.test.ts, L9 in up.test.ts) bear their numbers there; the last test here says if one bears none.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { actionText } from '../support/action-text.ts'
import { checkout, childrenOf, exitOf, readProc, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'
import { compileText, openScratch } from '../native/compile.ts'
import { attacks } from './hostile-executor.ts'

const skip = process.geteuid?.() !== 0

function evidenceOf(t: TestContext): string {
  const directory = mkdtempSync('/var/lib/belladonna-test.')
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  return directory
}

/** Both, by their programs: the launcher has other children too. */
function servicesOf(bridge: TestBridge): readonly number[] {
  return childrenOf(bridge.pids().launcher).filter((pid) =>
    /mute-broker|hostile-executor/.test(readProc(`${pid}/cmdline`)),
  )
}

/** One action `touch`, with one free parameter. */
function policyOf(
  directory: string,
  command = '/usr/bin/touch',
  argument = `${directory}/{id}`,
): string {
  return `
schema = 1
[profile.p]
read = ["/usr", "${directory}"]
write = ["${directory}"]
${actionText('touch', 'p', [command, argument])}
[action.touch.params.id]
match = '.+'
max_length = 64
[[grant]]
who = ["group:sudo"]
may = ["touch"]
`
}

type Trace = Readonly<{ stop: () => Promise<string> }>

/** Follows system calls of the launcher itself, not of what it starts. */
async function trace(bridge: TestBridge, calls: string): Promise<Trace> {
  const { launcher } = bridge.pids()
  const output = join(bridge.root, 'strace')
  const words = ['-q', '-xx', '-s', '70000', '-o', output, '-e', `trace=${calls}`]
  const tracer = spawn('strace', [...words, '-p', `${launcher}`], { stdio: 'ignore' })
  await until(() => !/^TracerPid:\t0$/m.test(readProc(`${launcher}/status`)), 5_000)
  return {
    stop: async () => {
      tracer.kill('SIGTERM')
      await exitOf(tracer)
      return readFileSync(output, 'utf8')
    },
  }
}

test(
  'L2: executor and broker get the same bytes of a request, whatever they are',
  { skip, timeout: 60_000 },
  async (t) => {
    await using bridge = await startBridge({ policy: policyOf(evidenceOf(t)) })
    const { stop } = await trace(bridge, 'sendto')
    // Not UTF-8, so nobody who read it as text could pass it on; a control character; a value as long as a page.
    const values = ['\\377\\376\\001', 'plain', `${'x'.repeat(4096)}\\200`]
    for (const value of values) {
      const bell = `exec "$0" -S "$1" touch "id=$(printf '${value}')"`
      const words = ['/bin/sh', '-c', bell, bridge.bellPath, bridge.socket]
      const child = spawn('/usr/bin/setpriv', ['--reuid=61290', '--groups=27', ...words], {
        stdio: 'ignore',
      })
      assert.equal(await exitOf(child), value === 'plain' ? 0 : 125)
    }
    const submit = `\\x02\\x02\\x00\\x00`
    const sent = [...(await stop()).matchAll(/^sendto\((\d+), "([^"]+)", (\d+),/gm)].filter(
      ([, , bytes = '']) => bytes.slice(16).startsWith(submit),
    )
    assert.equal(sent.length, 2 * values.length)
    values.forEach((value, at) => {
      const [first, second] = [sent[2 * at], sent[2 * at + 1]]
      assert.notEqual(first?.[1], second?.[1], 'two channels')
      assert.equal(first?.[2], second?.[2], 'the same bytes')
      const bytes = Buffer.from((first?.[2] ?? '').replaceAll('\\x', ''), 'hex')
      assert.equal(bytes.length, Number(first?.[3]), 'all of them were seen')
      const typed = execFileSync('printf', [value])
      assert.ok(bytes.subarray(-typed.length).equals(typed), 'those that were asked with')
    })
    const denied = bridge.entries().filter(({ kind }) => kind === 'denial')
    assert.ok(
      denied.length === 2 &&
        denied.every(
          (entry) =>
            JSON.stringify(entry).includes('request_malformed') ||
            JSON.stringify(entry).includes('parameter_invalid'),
        ),
    )
  },
)

/** Bridges that share the attacks: each waits most of the time, for an end or for three seconds without one. */
const shares = 4
const seen = { 'ends both': 0, waits: 0, runs: 0 }

async function attackInTurn(t: TestContext, share: number): Promise<void> {
  const directory = evidenceOf(t)
  const evidence = join(directory, 'ran')
  const programs = { brokerProgram: 'mute-broker.ts', executorProgram: 'hostile-executor.ts' }
  const root = mkdtempSync('/tmp/belladonna.')
  writeFileSync(join(root, 'turn'), `0 ${evidence}`)
  await using bridge = await startBridge({ policy: policyOf(directory), root, ...programs })
  for (const [turn, { name, answer }] of attacks.entries()) {
    if (turn % shares !== share) continue
    writeFileSync(join(root, 'turn'), `${turn} ${evidence}`)
    await bridge.stop()
    await bridge.startAgain()
    await new Promise((resolve) => bridge.launcher().stdout?.once('data', resolve))
    const services = servicesOf(bridge)
    const isAlive = (pid: number): boolean => childrenOf(bridge.pids().launcher).includes(pid)
    assert.equal(services.length, 2)
    // Not through pipes: a sandbox that waits at its gate would hold them open.
    const bell = ['/usr/bin/timeout', '3', bridge.bellPath, '-S', bridge.socket, 'touch', 'id=x']
    const client = spawn('/usr/bin/setpriv', ['--reuid=61290', '--groups=27', ...bell], {
      stdio: 'ignore',
    })
    if (answer === 'ends both') {
      await until(() => !services.some(isAlive), 5_000).catch(() =>
        assert.fail(`${name}: both services go on`),
      )
    }
    const status = await exitOf(client)
    const why = `${name}: ${status}`
    assert.equal(status, { 'ends both': 125, waits: 124, runs: 0 }[answer], why)
    if (answer !== 'ends both') assert.ok(services.every(isAlive), why)
    assert.equal(existsSync(evidence), answer === 'runs', why)
    seen[answer] += 1
  }
}

void suite('an executor that lies, or says nothing', { concurrency: shares + 1 }, () => {
  test(
    'promise 6: a request that no service answers ends both after 40 s, though nothing else happens',
    { skip, timeout: 90_000 },
    async (t) => {
      const programs = { brokerProgram: 'mute-broker.ts', executorProgram: 'hostile-executor.ts' }
      const root = mkdtempSync('/tmp/belladonna.')
      const nothing = attacks.findIndex(({ name }) => name === 'nothing')
      writeFileSync(join(root, 'turn'), `${nothing} x`)
      await using bridge = await startBridge({ policy: policyOf(evidenceOf(t)), root, ...programs })
      await new Promise((resolve) => bridge.launcher().stdout?.once('data', resolve))
      const services = servicesOf(bridge)
      const begunMs = Date.now()
      const { status, stderr } = await bridge.bell(['touch', 'id=x'])
      assert.deepEqual([status, /unavailable/.test(stderr)], [125, true], stderr)
      const waitedMs = Date.now() - begunMs
      assert.ok(waitedMs > 39_000 && waitedMs < 45_000, `${waitedMs} ms`)
      const { launcher } = bridge.pids()
      await until(() => !childrenOf(launcher).some((pid) => services.includes(pid)), 5_000)
    },
  )

  for (let share = 0; share < shares; share += 1) {
    test(
      `L3 L4: nothing starts without PREPARE and OPEN in their turn, and whatever else an executor sends ends both services: share ${share + 1}`,
      { skip, timeout: 240_000 },
      async (t) => {
        await attackInTurn(t, share)
      },
    )
  }
})

test('L3 L4: each way of an executor to lie was tried', { skip }, () => {
  console.log(`launcher under a hostile executor: ${JSON.stringify(seen)}`)
  assert.equal(seen['ends both'] + seen.waits + seen.runs, attacks.length)
  assert.ok(seen['ends both'] > 20 && seen.waits === 3 && seen.runs === 2)
})

/** A small program that prints its letter and its argument. `filler` makes the two of them differ in size. */
function compileLetter(directory: string, letter: string, filler: number): string {
  const program = join(directory, `program-${letter}`)
  const code = `#include <stdio.h>\nconst char filler[${filler}] = {1};\nint main(int c, char **v) { return printf("${letter} %s\\n", c > 1 ? v[1] : "") < 0; }\n`
  compileText(program, code)
  return program
}

test(
  'L7 C12: a file that is replaced between hash and exec: what ran is what was recorded, or nothing did',
  { skip, timeout: 120_000 },
  async (t) => {
    const directory = evidenceOf(t)
    chmodSync(directory, 0o755)
    const program = join(directory, 'program')
    const letters = [compileLetter(directory, 'a', 1), compileLetter(directory, 'b', 20_000)]
    const replace = (round: number): void => {
      copyFileSync(letters[round % 2] ?? '', join(directory, 'next'))
      renameSync(join(directory, 'next'), program)
    }
    replace(0)
    await using bridge = await startBridge({
      // What may be written may not be executed.
      policy: policyOf(directory, program, '{id}').replace(/^write = .*$/m, ''),
    })
    const counts = { replaced: 0, ran: 0, refused: 0 }
    const printed = new Map<string, string>()
    const ask = async (id: string): Promise<void> => {
      const { status, stdout, stderr } = await bridge.bell(['touch', `id=${id}`])
      const [, letter = ''] = /^(a|b) (\w+)\n$/.exec(stdout) ?? []
      if (status === 0) printed.set(id, letter)
      else assert.ok((status === 125 || status === 126) && stdout === '', `${status} ${stderr}`)
      counts[status === 0 ? 'ran' : 'refused'] += 1
    }
    await ask('quiet')
    assert.deepEqual(printed.get('quiet'), 'a')
    let done = false
    const clients = Array.from({ length: 4 }, async (_, client) => {
      for (let at = 0; !done; at += 1) await ask(`c${client}n${at}`)
    })
    // In bursts: a request that meets one is refused, and between two some get through.
    for (; counts.replaced < 10_000; counts.replaced += 1) {
      replace(counts.replaced)
      if (counts.replaced % 100 === 99) await sleep(40)
    }
    done = true
    await Promise.all(clients)
    console.log(`replaced between hash and exec: ${JSON.stringify(counts)}`)
    assert.ok(counts.ran > 20 && counts.refused > 20)
    const sums = new Map(
      letters.map((path) => {
        const [sum = ''] = execFileSync('sha256sum', [path], { encoding: 'utf8' }).split(' ')
        return [sum, path.slice(-1)]
      }),
    )
    const recorded = new Map(
      bridge.entries().flatMap((entry) => {
        if (entry.kind !== 'intent') return []
        const [, id = ''] = /"argv":\["[^"]+","(\w+)"\]/.exec(entry.action) ?? []
        const [, sum = ''] = /"executable":\{[^}]*"sha256":"(\w+)"/.exec(entry.action) ?? []
        return [[id, sums.get(sum)] as const]
      }),
    )
    for (const [id, letter] of printed) assert.equal(recorded.get(id), letter, id)
  },
)

/** What would get memory from the kernel or from the C library. */
const allocators =
  /^(?:malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|memalign|strdup|strndup|asprintf|vasprintf|getline|getdelim|fopen|fdopen|opendir|scandir|brk|sbrk|mmap|mmap64|mremap|alloca)$/

test('L10: no object of the launcher refers to anything that allocates', () => {
  using scratch = openScratch()
  const sources = globSync('native/launcher/*.c', { cwd: checkout })
  assert.ok(sources.length >= 5)
  const undefinedNames = sources.flatMap((source) => {
    const object = join(scratch.path, 'object.o')
    const words = ['-std=c11', '-D_GNU_SOURCE', `-I${checkout}/native`, '-O2', '-c']
    execFileSync('gcc', [...words, join(checkout, source), '-o', object])
    return execFileSync('nm', ['-u', '-j', object], { encoding: 'utf8' }).trim().split('\n')
  })
  assert.ok(undefinedNames.includes('epoll_wait'), 'nm shows what is called')
  assert.deepEqual(
    undefinedNames.filter((name) => allocators.test(name)),
    [],
  )
})

test(
  'L10: a running launcher asks the kernel for no memory, whatever is asked of it',
  { skip, timeout: 60_000 },
  async (t) => {
    await using bridge = await startBridge({ policy: policyOf(evidenceOf(t)) })
    const { stop } = await trace(bridge, 'accept4,brk,mmap,mremap,munmap,mprotect,madvise')
    const kinds = [
      async (at: number) => await bridge.bell(['touch', `id=n${at}`]),
      async () => await bridge.bell(['touch']),
      async () => await bridge.bell(['no.such'], { groups: [] }),
      async () => {
        const socket = connect(bridge.socket).on('error', () => undefined)
        socket.end(Buffer.alloc(70_000, 0xff))
        await new Promise((resolve) => socket.once('close', resolve))
      },
    ]
    for (let at = 0; at < 40; at += 1) {
      const same = Array.from(
        { length: 6 },
        async (_, client) => await kinds[at % 4]?.(at * 6 + client),
      )
      await Promise.all(same)
    }
    process.kill(bridge.pids().executor, 'SIGKILL')
    await bridge.ready()
    const lines = (await stop()).split('\n').filter((line) => /^\w+\(/.test(line))
    const accepted = lines.filter((line) => line.startsWith('accept4(')).length
    assert.ok(accepted >= 240, `${accepted} accepted`)
    assert.deepEqual(
      lines.filter((line) => !line.startsWith('accept4(')),
      [],
    )
    console.log(`no memory asked for: ${accepted} connections and a start of both services`)
  },
)

test('L1 to L10: each MUST of native/launcher/main.c is in the name of a test', () => {
  const header = readFileSync(join(checkout, 'native/launcher/main.c'), 'utf8')
  const musts = [...new Set(header.match(/\bL\d+\b/g))]
  assert.ok(musts.length >= 10)
  const names = globSync('test/e2e/**/*.test.ts', { cwd: checkout })
    .flatMap((path) =>
      [...readFileSync(join(checkout, path), 'utf8').matchAll(/test\(\s*(['"`])(.*?)\1,/gs)].map(
        ([, , name = '']) => name,
      ),
    )
    .join('\n')
  assert.deepEqual(
    musts.filter((must) => !new RegExp(`\\b${must}\\b(?! to)`).test(names)),
    [],
  )
})
