/** DESIGN.md section 6: which Unix sockets a run reaches and which system calls it has, in sandboxes of a real bridge. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseStrictJson } from '../../src/core/json/strict.ts'
import { askBridge } from '../../src/host/bridge-request.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { compile } from '../native/compile.ts'
import { actionText } from '../support/action-text.ts'
import { startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const isRoot = process.geteuid?.() === 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
const [programs, servers] = [join(directory, 'programs'), join(directory, 'servers')]
const [bound, later] = [join(servers, 'root.sock'), join(servers, 'later.sock')]
let bridge: TestBridge
const listening: Server[] = []

/** Profiles, each with an action of its name that tries to connect to a listener of root. */
const profiles: Readonly<Record<string, readonly string[]>> = {
  read: [`read = ["/usr", "${programs}", "${servers}"]`],
  write: [`read = ["/usr", "${programs}"]`, `write = ["${servers}"]`],
  host: [`read = ["/usr", "${programs}", "${servers}"]`, 'network = "host"'],
  unfenced: [`read = ["/usr", "${programs}", "${servers}"]`, 'escapable = true'],
  named: [
    `read = ["/usr", "${programs}"]`,
    `sockets = [{ path = "${bound}" }]`,
    'escapable = true',
  ],
  other: [
    `read = ["/usr", "${programs}"]`,
    `sockets = [{ path = "${later}" }]`,
    'escapable = true',
  ],
}

const policy = `schema = 1
${Object.entries(profiles)
  .map(
    ([name, lines]) => `[profile.${name}]
${lines.join('\n')}
${actionText(name, name, [`${programs}/socket-probe`, 'connect', '{path}'])}
[action.${name}.params.path]
one_of = ["${bound}", "${later}"]`,
  )
  .join('\n')}
[profile.basic]
syscalls = "basic"
${actionText('basic', 'basic', ['/usr/bin/dash', '-c', 'id -u | tr 0 x; chown 1:1 /tmp'])}
[profile.listed]
syscalls = ["@process", "openat", "newfstatat", "fstat", "access", "statx", "getdents64"]
${actionText('listed', 'listed', ['/usr/bin/ls', '/usr'])}
[[grant]]
who = ["group:sudo"]
may = ${JSON.stringify([...Object.keys(profiles), 'basic', 'listed'])}
`

async function listen(path: string): Promise<void> {
  const server = createServer((peer) => peer.destroy())
  listening.push(server)
  await new Promise<void>((resolve) => server.listen(path, resolve))
}

before(async () => {
  if (!isRoot) return
  for (const path of [directory, programs, servers]) {
    if (path !== directory) mkdirSync(path)
    chmodSync(path, 0o755)
  }
  compile(programs, 'socket-probe.c')
  await listen(bound)
  bridge = await startBridge({ policy })
})
after(async () => {
  if (isRoot) {
    assert.equal(await bridge.stop(), 0)
    await bridge[Symbol.asyncDispose]()
  }
  for (const server of listening) server.close()
  rmSync(directory, { recursive: true, force: true })
})

async function connects(action: string, path = bound): Promise<string> {
  const { status, stdout, stderr } = await bridge.bell([action, `path=${path}`])
  assert.deepEqual([status, stderr], [0, ''])
  return stdout.trim()
}

const skip = !isRoot
const [noFamily, absent] = ['errno 97', 'errno 2']

for (const [action, end] of [
  ['read', noFamily],
  ['write', noFamily],
  ['host', noFamily],
  ['unfenced', 'reached'],
  ['named', 'reached'],
  ['other', absent],
] as const) {
  test(
    `sockets: profile "${action}": a connection to a listener of root is ${end}`,
    { skip },
    async () => {
      assert.equal(await connects(action), end)
    },
  )
}

test('sockets: one that comes after the policy is there for the next run', { skip }, async () => {
  // The launcher's template has an empty file in its place, so EACCES, or ENOENT without a template.
  assert.match(await connects('other', later), /^errno (2|13)$/)
  await listen(later)
  assert.equal(await connects('other', later), 'reached')
})

test(
  'promise 8: entries and status say which runs and profiles are escapable',
  { skip },
  async () => {
    await connects('named')
    await connects('read')
    const intents = bridge.entries().flatMap((entry) => {
      return entry.kind === 'intent' ? [parseStrictJson(entry.action)] : []
    })
    await until(() => bridge.outcomes().length === intents.length, 5_000)
    const marked = bridge.outcomes().map(({ features }) => features.includes('escapable'))
    const signed = intents.map((action) => JSON.stringify(action).includes('"escapable":true'))
    assert.deepEqual(marked.slice(-2), [true, false])
    assert.deepEqual(signed, marked)
    const status = JSON.stringify(
      await askBridge(bridgePaths(bridge.root).bridgeSocket, '/v1/status'),
    )
    assert.match(status, /"escapable":\["named","other","unfenced"\]/)
    assert.match(status, /profile named is escapable/)
  },
)

test(
  'syscalls: a narrower set starts its command, and refuses what is beyond it',
  { skip },
  async () => {
    const { status, stdout, stderr } = await bridge.bell(['basic'])
    assert.deepEqual([status, stdout], [1, 'x\n'])
    assert.match(stderr, /chown.*Operation not permitted/)
  },
)

test('syscalls: so does a list', { skip }, async () => {
  const { status, stdout } = await bridge.bell(['listed'])
  assert.equal(status, 0)
  assert.match(stdout, /^bin$/m)
})
