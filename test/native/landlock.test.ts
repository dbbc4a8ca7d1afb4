/**
 * The rules of src/core/sandbox/landlock.ts on the real kernel. Each refusal is proved twice: with the rules the attempt
 * fails, without them it does not.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { cleanPath } from '../../src/core/sandbox/fixed-mounts.ts'
import { landlockFor } from '../../src/core/sandbox/landlock.ts'
import type { Landlock } from '../../src/core/sandbox/landlock.ts'
import { writeLandlock } from '../../src/core/sandbox/landlock-bytes.ts'
import type { Mount } from '../../src/core/sandbox/mount.ts'
import { planForProfile } from '../../src/core/sandbox/plan-for-profile.ts'
import { newByteWriter } from '../../src/core/sandbox/wire-bytes.ts'
import { compile, openScratch } from './compile.ts'
import { plainProfile } from './sandbox-vectors.ts'

const isRoot = process.getuid?.() === 0
const scratch = openScratch()
after(() => {
  scratch[Symbol.dispose]()
})
const probe = compile(scratch.path, 'landlock-probe.c')
const abi = Number(
  execFileSync('/usr/bin/perl', ['-e', 'print syscall(444, 0, 0, 1)'], { encoding: 'utf8' }),
)

/** What landlock-probe.c reads: the fields of a plan's head, then the rules. */
function rulesFile(name: string, landlock: Landlock): string {
  const [writer, rules] = [newByteWriter('test'), newByteWriter('test')]
  const head = writeLandlock(rules, landlock)
  writer.u64(head.handledFs)
  writer.u64(head.handledNet)
  writer.u16(head.pathCount)
  writer.u16(head.portCount)
  writer.raw(rules.bytes())
  const file = join(scratch.path, name)
  writeFileSync(file, writer.bytes())
  return file
}

function prepare(name: string): string {
  const directory = join(scratch.path, name)
  for (const below of ['r', 'w', '../outside']) mkdirSync(join(directory, below), { recursive: true })
  for (const file of ['r/file', 'w/file', '../outside/file']) writeFileSync(join(directory, file), 'text')
  for (const program of ['r/true', 'w/true']) {
    copyFileSync('/usr/bin/true', join(directory, program))
    chmodSync(join(directory, program), 0o755)
  }
  execFileSync('/usr/bin/mkfifo', [join(directory, 'r/pipe')])
  return directory
}

/** Two ports that are free now. */
async function freePorts(): Promise<readonly number[]> {
  const servers = [createServer(), createServer()]
  const ports: number[] = []
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    assert.ok(address !== null && typeof address === 'object')
    ports.push(address.port)
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve))
  return ports
}

function mountsFor(directory: string): readonly Mount[] {
  const rights = { optional: false, kind: 'bind' } as const
  const bind = (path: string, writable: boolean): Mount => {
    const source = cleanPath(path)
    return { ...rights, source, target: source, writable, executable: !writable }
  }
  const device = (path: string): Mount => {
    return { kind: 'device', source: cleanPath(path), target: cleanPath(path), optional: false }
  }
  return [
    bind('/usr', false),
    bind(join(directory, 'r'), false),
    bind(join(directory, 'w'), true),
    ...['/dev/null', '/dev/zero'].map(device),
    bind('/nonexistent/belladonna', false),
  ]
}

/** As if `directory` were the root, with the host's /usr and /dev in it. */
function rootedAt(directory: string, landlock: Landlock): Landlock {
  const read = landlock.paths.find(({ path }) => path === '/')
  assert.ok(read)
  const others = landlock.paths.filter((rule) => rule !== read)
  const seen = [directory, '/dev', '/usr'].map((path) => ({ ...read, path: cleanPath(path) }))
  const merged = new Map(seen.map((rule) => [rule.path, rule]))
  for (const rule of others) {
    const access = rule.access | (merged.get(rule.path)?.access ?? 0n)
    merged.set(rule.path, { ...rule, access })
  }
  const paths = [...merged.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  return { ...landlock, paths }
}

function callsOf(printed: string): ReadonlyMap<string, number> {
  const lines = printed.trim().split('\n')
  return new Map(lines.map((line) => [line.split(': ')[0] ?? '', Number(line.split(': ')[1])]))
}

const [EACCES, ENOTTY] = [13, 25]
/** With the rules, and without them. */
const refused: Readonly<Record<string, readonly [withRules: number, without: number]>> = {
  'write a file of read': [EACCES, 0],
  'truncate a file of read': [EACCES, 0],
  'write a pipe of read': [EACCES, 0],
  'create in read': [EACCES, 0],
  'read a file outside': [EACCES, 0],
  'list outside': [EACCES, 0],
  // Hence the rules that the launcher adds for stdin, stdout and stderr.
  'open an inherited file again': [EACCES, 0],
  'make a device in write': [EACCES, 0],
  'make a block device in write': [EACCES, 0],
  'make a socket in write': [EACCES, 0],
  'run a program of write': [EACCES, 0],
  'move from write to read': [EACCES, 0],
  'ioctl on /dev/null': [EACCES, ENOTTY],
  'write a device of read': [EACCES, 0],
  'connect to another port': [EACCES, 0],
  'bind another port': [EACCES, 0],
}
const allowed: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    [
      ...['read a file of read', 'list read', 'run a program of read', 'read an inherited file'],
      ...['list the root', 'write a file of write', 'create in write', 'remove from write'],
      ...['make a directory in write', 'move within write', 'link within write'],
      ...['make a link in write', 'make a pipe in write', 'write /dev/null'],
      ...['connect to a port of the list', 'bind a port of the list'],
    ].map((name) => [name, 0]),
  ),
  'ioctl on a device of read': ENOTTY,
}

const skip = !isRoot || (abi < 5 && 'no Landlock of version 5')
test('landlock: each attempt ends as the table says, with the rules and without', { skip }, async () => {
  const [port = 0, other = 0] = await freePorts()
  const run = (name: string, rules: (directory: string) => string): ReadonlyMap<string, number> => {
    const directory = prepare(name)
    const args = ['calls', rules(directory), directory, `${port}`, `${other}`]
    return callsOf(execFileSync(probe, args, { encoding: 'utf8' }))
  }
  const without = run('without', () => '-')
  const behind = run('behind', (directory) => {
    const tcp = { connect: [port], bind: [port] }
    const devices = new Map([['/dev/zero', 'read'] as const])
    const landlock = landlockFor(mountsFor(directory), { devices, unixSockets: false, tcp })
    return rulesFile('rules', rootedAt(directory, landlock))
  })
  const wanted = (column: 0 | 1): object => ({
    ...allowed,
    ...Object.fromEntries(Object.entries(refused).map(([name, ends]) => [name, ends[column]])),
  })
  assert.deepEqual(Object.fromEntries(behind), wanted(0))
  assert.deepEqual(Object.fromEntries(without), wanted(1))
})

test('landlock: entering the rules of a plain profile costs less than half a millisecond', (t) => {
  if (abi < 1) {
    t.skip('no Landlock of version 1')
    return
  }
  const { mounts } = planForProfile(plainProfile, { architecture: 'x86_64' })
  const tcp = { connect: null, bind: null }
  const file = rulesFile('plain', landlockFor(mounts, { devices: new Map(), unixSockets: false, tcp }))
  const us = Number(execFileSync(probe, ['cost', file, '100'], { encoding: 'utf8' }).trim())
  t.diagnostic(`${us} µs`)
  assert.ok(us < 500, `${us} µs`)
})
