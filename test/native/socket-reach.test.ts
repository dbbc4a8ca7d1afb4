/**
 * Which ways there are to a Unix socket of somebody else, on the real kernel. Each way is tried without a program first,
 * so that none counts as closed that this kernel closes anyway.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { compileSeccomp } from '../../src/core/sandbox/seccomp.ts'
import { compile, openScratch } from './compile.ts'
import { refusingNames, seccompPolicies } from './sandbox-vectors.ts'

type SeccompName = (typeof refusingNames)[number]

const scratch = openScratch()
after(() => {
  scratch[Symbol.dispose]()
})
const probe = compile(scratch.path, 'socket-probe.c')

function filterFile(policy: SeccompName): string {
  const file = join(scratch.path, `${policy}.filter`)
  const architecture = process.arch === 'x64' ? 'x86_64' : 'aarch64'
  writeFileSync(file, compileSeccomp(architecture, seccompPolicies[policy]))
  return file
}

function waysOf(name: SeccompName | 'none'): ReadonlyMap<string, string> {
  const directory = join(scratch.path, name)
  mkdirSync(directory)
  const filter = name === 'none' ? '-' : filterFile(name)
  const printed = execFileSync(probe, ['ways', filter, directory], { encoding: 'utf8' })
  const lines = printed.trim().split('\n')
  return new Map(lines.map((line) => [line.split(': ')[0] ?? '', line.split(': ')[1] ?? '']))
}

const [noFamily, unreachable, isConnected] = ['errno 97', 'errno 101', 'errno 106']
/** How each way ends; a single text: with and without a program alike. */
type Ends = Readonly<Record<SeccompName | 'none', string>>
const closed: Ends = {
  none: 'reached',
  default: noFamily,
  default_network: noFamily,
  default_unix: 'reached',
  service: noFamily,
}
/** What a client hands over can be connected where a network needs connect(2); without one it cannot. */
const handedStream: Ends = {
  none: 'reached',
  default: unreachable,
  default_network: 'reached',
  default_unix: 'reached',
  service: 'reached',
}
const ways: Readonly<Record<string, Ends | string>> = {
  stream: closed,
  'stream, close on exec': closed,
  datagram: closed,
  'datagram by sendmsg': closed,
  raw: closed,
  packet: closed,
  'datagram pair': closed,
  'datagram pair by sendmsg': closed,
  'raw pair': closed,
  'stream pair, connected anew': { ...sameFor(isConnected), default: unreachable },
  'stream pair, naming a receiver': isConnected,
  'stream pair, left alone': { ...sameFor(isConnected), default: unreachable },
  'packet pair, connected anew': { ...sameFor(isConnected), default: unreachable },
  // The kernel ignores the name: the packet goes to the pair's other end.
  'packet pair, naming a receiver': 'lost',
  'packet pair, by sendmsg': 'lost',
  'packet pair, left alone': { ...sameFor(isConnected), default: unreachable },
  'inherited stream': handedStream,
  'handed stream': handedStream,
  // What remains: no filter sees the name that sendmsg(2) is given. docs/reference/sandbox.md says so.
  'inherited datagram': 'reached',
  'handed datagram': 'reached',
}

function sameFor(end: string): Ends {
  return { none: end, default: end, default_network: end, default_unix: end, service: end }
}

for (const name of ['none', ...refusingNames] as const) {
  test(`socket reach, ${name}: each way to a Unix socket ends as the table says`, () => {
    const wanted = Object.entries(ways).map(([way, ends]) => {
      return [way, typeof ends === 'string' ? ends : ends[name]]
    })
    assert.deepEqual(Object.fromEntries(waysOf(name)), Object.fromEntries(wanted))
  })
}

test('socket reach: what glibc would ask over a socket comes to its end without one', () => {
  for (const name of ['default', 'default_network'] as const) {
    const printed = execFileSync(probe, ['names', filterFile(name)], { encoding: 'utf8' })
    assert.equal(
      printed,
      'getpwnam: /root\ngetgrgid: root\ngetaddrinfo: 0\nsyslog: came back\n',
      name,
    )
  }
})
