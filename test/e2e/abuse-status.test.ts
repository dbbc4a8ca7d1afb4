/** What strange clients do at bridge.sock. The broker that answers must be the same process afterwards. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { bridgePaths } from '../../src/host/layout.ts'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'
import { whileRunning } from '../support/while-running.ts'

const skip = process.geteuid?.() !== 0
const actions = 500
const policy = `
schema = 1
[profile.p]
${Array.from({ length: actions }, (_, at) => actionText(`a${at}`, 'p', ['/usr/bin/id'])).join('\n')}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["a0"]
`
let bridge: TestBridge
let broker = 0
before(async () => {
  if (skip) return
  bridge = await startBridge({ policy })
  broker = bridge.pids().broker
})
after(async () => {
  if (!skip) await bridge[Symbol.asyncDispose]()
})

type Answer = Readonly<{ statuses: readonly string[]; text: string; closed: boolean; ms: number }>

/** Sends bytes, and reads until the other side ends the connection, or `limitMs` have passed. */
async function send(bytes: string | Buffer, limitMs = 3_000): Promise<Answer> {
  const socket = connect(bridgePaths(bridge.root).bridgeSocket)
  const startMs = performance.now()
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk))
  socket.on('error', () => undefined)
  socket.write(bytes)
  const closed = await new Promise<boolean>((resolve) => {
    socket.once('close', () => resolve(true))
    setTimeout(() => resolve(false), limitMs).unref()
  })
  socket.destroy()
  const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status = '']) => status)
  return { statuses, text, closed, ms: performance.now() - startMs }
}

async function assertAlive(): Promise<void> {
  const { statuses } = await send('GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  assert.deepEqual(statuses, ['200'])
  assert.equal(bridge.pids().broker, broker)
}

const get = 'GET /v1/status HTTP/1.1\r\nHost: x\r\n'
const post = 'POST /v1/status HTTP/1.1\r\nHost: x\r\n'
const hidden = 'GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n'
const malformed: readonly (readonly [name: string, bytes: string])[] = [
  [
    'length and chunks',
    `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
  ],
  [
    'chunks and length',
    `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${hidden}`,
  ],
  ['two lengths', `${post}Content-Length: 0\r\nContent-Length: 37\r\n\r\n${hidden}`],
  ['a list of lengths', `${post}Content-Length: 0, 37\r\n\r\n${hidden}`],
  ['a length with a sign', `${post}Content-Length: +5\r\n\r\nhello${hidden}`],
  ['a negative length', `${post}Content-Length: -1\r\n\r\n${hidden}`],
  ['a length in hexadecimal', `${post}Content-Length: 0x5\r\n\r\nhello${hidden}`],
  ['a length of 2^64', `${post}Content-Length: 18446744073709551616\r\n\r\n${hidden}`],
  ['an unknown coding', `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`],
  ['chunked twice', `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`],
  ['a folded header', `${get}X: a\r\n b\r\n\r\n`],
  ['a folded coding', `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${hidden}`],
  ['a space before the colon', `${post}Content-Length : 37\r\n\r\n${hidden}`],
  ['a space before a name', `GET /v1/status HTTP/1.1\r\n Host: x\r\n\r\n`],
  ['a header without colon', `${get}nonsense\r\n\r\n`],
  ['a NUL in a header', `${get}X: a\0b\r\n\r\n`],
  ['a bare carriage return', `${get}X: a\rY: b\r\n\r\n`],
  ['a chunk of no size', `${post}Transfer-Encoding: chunked\r\n\r\nz\r\n\r\n${hidden}`],
  [
    'a chunk that is too long',
    `${post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n${hidden}`,
  ],
  ['no host', 'GET /v1/status HTTP/1.1\r\n\r\n'],
  ['an unknown version', 'GET /v1/status HTTP/9.9\r\nHost: x\r\n\r\n'],
  ['an unknown method', 'FROB /v1/status HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['headers of 64 KiB', `${get}X: ${'a'.repeat(65_536)}\r\n\r\n`],
  ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
]
for (const [name, bytes] of malformed) {
  test(`C107: ${name}: one refusal, and the connection ends`, { skip }, async () => {
    const { statuses, closed, text } = await send(Buffer.from(bytes, 'latin1'))
    assert.match(statuses.join(' '), /^4\d\d$/, text)
    assert.ok(closed)
    await assertAlive()
  })
}

test(
  'C101: headers named like what every object has are headers like others',
  { skip },
  async () => {
    for (const name of ['__proto__', 'constructor', 'hasOwnProperty', 'toString']) {
      const { statuses } = await send(`${get}${name}: x\r\n${name}: y\r\nConnection: close\r\n\r\n`)
      assert.match(statuses.join(' '), /^(?:200|400)$/)
      await assertAlive()
    }
  },
)

test(
  'C102: a target that is no path of ours is not found, whatever it looks like',
  { skip },
  async () => {
    const targets = [
      '/',
      '//',
      '*',
      '/v1/status/',
      '/v1/status?x',
      '/v1//status',
      '/v1/%73tatus',
      '/v1/../v1/status',
    ]
    targets.push(
      'http://[',
      'http://x/v1/status',
      '//x:99999/',
      '/%',
      '/%00',
      '/%ff%fe',
      '/\\',
      '/v1/status#x',
      `/${'a'.repeat(4000)}`,
    )
    for (const target of targets) {
      const { statuses, text } = await send(
        `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      )
      assert.match(statuses.join(' '), /^(?:404|400)$/, text)
    }
    await assertAlive()
  },
)

test(
  'C103 C111: a body of 100,000 keys is not read, and nobody waits for it',
  { skip },
  async () => {
    const keys = Array.from({ length: 100_000 }, (_, i) => `"k${i}":0`).join()
    const body = `{${keys}}`
    const head = `${post}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
    const { statuses } = await send(head + body)
    assert.deepEqual(statuses, ['405'])
    await assertAlive()
  },
)

test(
  'C88: slow and silent clients of bridge.sock are ended in four seconds, and it answers again',
  { skip, timeout: 30_000 },
  async () => {
    const slow = Array.from(
      { length: 40 },
      async (_, i) => await send(i % 2 === 0 ? '' : 'GET /v1', 6_000),
    )
    const ended = await Promise.all(slow)
    const longest = Math.max(...ended.map(({ ms }) => ms))
    console.log(`40 clients that say nothing: the last was ended after ${Math.round(longest)} ms`)
    assert.ok(ended.every(({ closed }) => closed))
    assert.ok(longest < 4_000)
    await assertAlive()
  },
)

test(
  'promise 7: C88: questions behind each other in one packet cost one answer, and runs go on meanwhile',
  { skip, timeout: 60_000 },
  async () => {
    const flood = Array.from({ length: 32 }, async () => await send(hidden.repeat(1600)))
    const startMs = performance.now()
    const { status, stderr } = await bridge.bell(['a0'])
    assert.equal(status, 0, stderr)
    assert.ok(performance.now() - startMs < 2_000)
    for (const { statuses, closed } of await Promise.all(flood)) {
      assert.ok(closed)
      // None where the other side had ended the connection before all was written.
      assert.ok(statuses.filter((each) => each === '200').length <= 1)
    }
    await assertAlive()
  },
)

test(
  'promise 7: C88: silent clients that come again and again keep nobody from asking',
  { skip, timeout: 60_000 },
  async () => {
    let isOver = false
    const silent = Array.from({ length: 64 }, async () => {
      while (!isOver) await send('', 1_000)
    })
    try {
      await new Promise((resolve) => setTimeout(resolve, 500))
      for (let at = 0; at < 20; at += 1) await assertAlive()
    } finally {
      isOver = true
      await Promise.all(silent)
    }
  },
)

/** Connects as fast as it can, and holds the last 200. */
const connectFast = `use Socket; $| = 1; my @held; print 'on';
while (1) {
  socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un($ARGV[0]));
  push @held, $s; shift @held if @held > 200;
}`

test(
  'promise 7: C88: who connects as fast as the kernel lets it keeps nobody from `status`',
  { skip, timeout: 120_000 },
  async () => {
    const flood = ['/usr/bin/perl', '-e', connectFast, bridgePaths(bridge.root).bridgeSocket]
    const ends: (number | null)[] = []
    await whileRunning(flood, 61_999, async () => {
      await whileRunning(flood, 61_999, async () => {
        for (let at = 0; at < 5; at += 1) ends.push((await bridge.status()).status)
        const startMs = performance.now()
        assert.equal((await bridge.bell(['a0'])).status, 0)
        console.log(`meanwhile a run took ${Math.round(performance.now() - startMs)} ms`)
      })
    })
    assert.deepEqual(ends, [0, 0, 0, 0, 0])
    assert.equal(bridge.pids().broker, broker)
  },
)
