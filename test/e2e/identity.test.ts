import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, constants, openSync, readdirSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
let bridge: TestBridge
const policy = `
schema = 1
[profile.p]
stdin = "stream"
${actionText('id', 'p', ['/usr/bin/id', '-u'])}
[[grant]]
who = ["uid:0"]
may = ["id"]
`
before(async () => {
  if (!skip) bridge = await startBridge({ policy })
})
after(async () => {
  if (!skip) await bridge[Symbol.asyncDispose]()
})

type Passed = Socket | number | 'pipe' | 'ignore'

/** bell as the unprivileged caller, with this as its standard input. */
async function askWith(
  stdin: Passed,
): Promise<Readonly<{ status: number | null; stderr: string }>> {
  const words = [
    '--reuid',
    `${caller.uid}`,
    '--regid',
    `${caller.gid}`,
    '--clear-groups',
    bridge.bellPath,
    '-S',
    bridge.socket,
    'id',
  ]
  const child = spawn('/usr/bin/setpriv', words, { stdio: [stdin, 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return await new Promise((resolve) =>
    child.once('close', (status) => resolve({ status, stderr })),
  )
}

function lastDenial(): unknown {
  const entry = bridge.entries().findLast(({ kind }) => kind === 'denial')
  return entry?.kind === 'denial' ? entry.subject.uid : null
}

test(
  'C35 L1: a socket that is connected to another root listener, passed on, does not become uid 0',
  { skip },
  async () => {
    const path = join(bridge.root, 'other.sock')
    const server = createServer().listen(path)
    await new Promise((resolve) => server.once('listening', resolve))
    const socket = connect(path)
    await new Promise((resolve) => socket.once('connect', resolve))
    const { status } = await askWith(socket)
    socket.destroy()
    server.close()
    assert.equal(status, 127) // of a stranger; root would have been permitted
    assert.equal(lastDenial(), caller.uid)
  },
)

test('C35 L1: an end of a socketpair that root made, passed on, neither', { skip }, async () => {
  // Node's own pipes to a child are such a pair, made by this process, which is root.
  const { status } = await askWith('pipe')
  assert.equal(status, 127)
  assert.equal(lastDenial(), caller.uid)
})

test(
  'the same request by root itself is permitted: the tests above can fail',
  { skip },
  async () => {
    assert.equal((await bridge.bell(['id'], { uid: 0, groups: [] })).status, 0)
  },
)

test(
  'C34: a directory, an O_PATH descriptor and a device are no standard input',
  { skip },
  async () => {
    const kinds = [
      openSync('/', constants.O_RDONLY | constants.O_DIRECTORY),
      openSync('/etc/passwd', 0o10000000), // O_PATH
      openSync('/dev/zero', constants.O_RDONLY),
    ]
    for (const descriptor of kinds) {
      const { status, stderr } = await askWith(descriptor)
      closeSync(descriptor)
      assert.equal(status, 125)
      assert.match(stderr, /stdio_not_accepted/)
    }
  },
)

/** A queue of connections that is full, as on a machine with one processor, is no error: there is a next time. */
async function connected(path: string): Promise<Socket> {
  for (;;) {
    const socket = connect(path)
    socket.on('error', () => undefined)
    const isThere = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('close', () => resolve(false))
    })
    if (isThere) return socket
    await setTimeout(10)
  }
}

test(
  'C27 C28: clients that vanish, send rubbish or half a frame leave no descriptor behind',
  { skip },
  async () => {
    const { launcher } = bridge.pids()
    const count = (): number => readdirSync(`/proc/${launcher}/fd`).length
    const first = count()
    const frames = [
      Buffer.alloc(0),
      Buffer.from([1]),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(70_000, 0xff),
      Buffer.from([255, 255, 0, 0, 1, 1, 0, 0]),
    ]
    for (let round = 0; round < 40; round++) {
      for (const bytes of frames) {
        const socket = await connected(bridge.socket)
        socket.write(bytes)
        if (round % 2 === 0) socket.destroy()
        else socket.end()
      }
    }
    await until(() => count() <= first, 6_000)
    assert.equal((await bridge.bell(['id'], { uid: 0, groups: [] })).status, 0)
  },
)

test('promise 7: one uid cannot take every slot; others still get in', { skip }, async () => {
  const sockets = Array.from({ length: 100 }, () => connect(bridge.socket))
  for (const socket of sockets) socket.on('error', () => undefined)
  await until(() => sockets.every((socket) => !socket.connecting), 5_000)
  const { status } = await bridge.bell(['id'])
  assert.equal(status, 127)
  for (const socket of sockets) socket.destroy()
  await until(async () => (await bridge.bell(['id'], { uid: 0, groups: [] })).status === 0, 6_000)
})
