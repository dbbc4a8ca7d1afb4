/** The relay's parts by themselves: its SHA-256 against Node's, and that behind its filter every other call ends it. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { after, test } from 'node:test'
import { compile, openScratch } from './compile.ts'

const scratch = openScratch()
after(() => scratch[Symbol.dispose]())

const hasher = compile(scratch.path, 'relay-sha256.c')
const probe = compile(scratch.path, 'relay-probe.c')

function digestOf(bytes: Uint8Array, piece: number, way: readonly string[]): string {
  return execFileSync(hasher, [String(piece), ...way], { input: bytes, encoding: 'utf8' })
}

// FIPS 180-4 examples, then every length around a block's and the padding's edges.
const known: readonly (readonly [text: string, digest: string])[] = [
  ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  [
    'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  ],
]

for (const way of [[], ['portable']]) {
  const name = way.length === 0 ? 'by the processor, where it can' : 'in portable C'
  test(`relay: SHA-256 ${name} is that of FIPS 180-4`, () => {
    for (const [text, digest] of known)
      assert.equal(digestOf(Buffer.from(text), 1024, way), digest, JSON.stringify(text))
  })

  test(`relay: SHA-256 ${name} is Node’s, whatever pieces it gets`, () => {
    const sizes = [1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 4095, 65_537, 1_000_003]
    for (const size of sizes) {
      const bytes = Buffer.from(Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff))
      const digest = createHash('sha256').update(bytes).digest('hex')
      for (const piece of [7, 64, 100, 65_536].filter((most) => size / most < 20_000))
        assert.equal(digestOf(bytes, piece, way), digest, `${size} bytes by ${piece}`)
    }
  })
}

const refused = [
  ...['open', 'openat2', 'socket', 'socketpair', 'connect', 'sendmsg', 'execve', 'execveat'],
  ...['fork', 'clone3', 'kill', 'ptrace', 'mmap', 'mprotect', 'ioctl', 'tiocsti', 'prctl', 'setuid', 'fcntl'],
  ...['dup', 'memfd_create', 'io_uring_setup'],
]
for (const call of refused) {
  test(`relay: a ${call} behind its filter is its end`, () => {
    const { signal, stdout } = spawnSync(probe, [call], { encoding: 'utf8' })
    assert.deepEqual([signal, stdout], ['SIGSYS', ''])
  })
}

test('relay: behind its filter it can still write, and ask for the size of a terminal', () => {
  for (const call of ['nothing', 'tiocgwinsz'])
    assert.equal(execFileSync(probe, [call], { encoding: 'utf8' }), 'here\n')
})
