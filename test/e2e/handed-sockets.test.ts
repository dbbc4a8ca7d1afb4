/** Sockets that a client hands over as stdio: a run gets those that lead to one peer, and none that it could connect. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { startBridge } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
chmodSync(directory, 0o755)
const path = join(directory, 'socket')
const servers: Server[] = []
let bridge: TestBridge
let port = 0

/** In the run: connects its standard input, which the server behind it then reads. */
const reach = `use Socket; print connect(STDIN, sockaddr_un($ARGV[0])) ? "reached" : "not: $!"`
const policy = `schema = 1
[profile.host]
network = "host"
read = ["/usr", "${directory}"]
stdin = "stream"
${actionText('reach', 'host', ['/usr/bin/perl', '-e', reach, path])}
${actionText('cat', 'host', ['/usr/bin/cat'])}
[[grant]]
who = ["group:sudo"]
may = ["cat", "reach"]
`

before(async () => {
  if (skip) return
  for (const where of [{ path }, { port: 0, host: '127.0.0.1' }]) {
    const server = createServer((peer) => {
      peer.on('error', () => undefined) // it ends without having read all
      peer.end('from the server\n')
    })
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(where, resolve))
    const address = server.address()
    if (typeof address === 'object' && address !== null) port = address.port
  }
  chmodSync(path, 0o666)
  bridge = await startBridge({ policy })
})
after(async () => {
  for (const server of servers) server.close()
  if (!skip) await bridge[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true })
})

/** Runs bell with what the words of Perl leave in `$s` as its standard input; or as output `fd`. */
async function bellWith(words: string, action: string, fd = 0): Promise<BellResult> {
  const how = ['<&', '>&', '>&'][fd] ?? ''
  const name = ['STDIN', 'STDOUT', 'STDERR'][fd] ?? ''
  const program = `use Socket; ${words}; open(${name}, "${how}", $s) or die $!; exec @ARGV`
  return await bridge.bell([action], { before: ['/usr/bin/perl', '-e', program] })
}

const unix = 'socket($s, AF_UNIX, SOCK_STREAM, 0) or die $!'
const tcp = 'socket($s, AF_INET, SOCK_STREAM, 0) or die $!'
const bound = `bind($s, sockaddr_un("\\0belladonna-test.${process.pid}.$$")) or die $!`
const loopback = (at: number): string => `sockaddr_in(${at}, inet_aton("127.0.0.1"))`
const refused: readonly (readonly [name: string, words: string])[] = [
  ['of Unix, unconnected', unix],
  ['of Unix, bound', `${unix}; ${bound}`],
  ['of Unix, listening', `${unix}; ${bound}; listen($s, 1) or die $!`],
  ['of TCP, unconnected', tcp],
  ['of TCP, listening', `${tcp}; bind($s, ${loopback(0)}) or die $!; listen($s, 1) or die $!`],
]
for (const [name, words] of refused) {
  test(
    `C34: a stream socket ${name}, is no standard input, output or error`,
    { skip },
    async () => {
      for (const fd of [0, 1, 2]) {
        const { status, stdout, stderr } = await bellWith(words, 'reach', fd)
        assert.deepEqual([status, stdout], [125, ''])
        if (fd < 2) assert.match(stderr, /stdio_not_accepted/)
      }
    },
  )
}

const pair = 'socketpair($s, $t, AF_UNIX, SOCK_STREAM, 0) or die $!; syswrite($t, "of a pair\\n")'
const accepted: readonly (readonly [name: string, words: string, read: string])[] = [
  [
    'a pair whose other end is open',
    `${pair}; shutdown($t, 1); use Fcntl; fcntl($t, F_SETFD, 0)`,
    'of a pair\n',
  ],
  ['a pair whose other end is gone', `${pair}; close($t)`, 'of a pair\n'],
  [
    'a connection of Unix',
    `${unix}; connect($s, sockaddr_un("${path}")) or die $!`,
    'from the server\n',
  ],
  ['a connection of TCP', '', 'from the server\n'],
]
for (const [name, words, read] of accepted) {
  test(`C34: what is connected is accepted: ${name}; and stays connected`, { skip }, async () => {
    const opened = words === '' ? `${tcp}; connect($s, ${loopback(port)}) or die $!` : words
    const { status, stdout, stderr } = await bellWith(opened, 'cat')
    assert.deepEqual({ status, stdout }, { status: 0, stdout: read }, stderr)
    const again = await bellWith(opened, 'reach')
    assert.match(again.stdout, /^not: /, again.stderr)
  })
}
