import assert from 'node:assert/strict'
import test from 'node:test'
import { parseTomlTree } from '../../host/toml-tree.ts'
import type { TcpPorts } from '../sandbox/landlock.ts'
import { readTcpPorts } from './compile-ports.ts'
import { policyOf, problemsOf } from './policy.test-support.ts'
import { openFields, openReport } from '../toml/reader.ts'

function read(
  text: string,
  network: 'none' | 'loopback' | 'host' = 'host',
): Readonly<{ ports: TcpPorts; codes: readonly string[] }> {
  const report = openReport()
  const fields = openFields(report, parseTomlTree('p.toml', text), {
    required: [],
    optional: ['tcp_connect', 'tcp_bind'],
  })
  const ports = readTcpPorts(report, fields, network)
  return { ports, codes: report.list().map(({ line, code }) => `${line}: ${code}`) }
}

const good: readonly (readonly [text: string, ports: TcpPorts])[] = [
  ['', { connect: null, bind: null }],
  ['tcp_connect = []', { connect: [], bind: null }],
  ['tcp_connect = [8443, 443]', { connect: [443, 8443], bind: null }],
  ['tcp_connect = [443]\ntcp_bind = [0, 8080]', { connect: [443], bind: [0, 8080] }],
]
for (const [text, ports] of good) {
  test(`compile ports: ${JSON.stringify(text)} is read`, () => {
    assert.deepEqual(read(text), { ports, codes: [] })
    assert.deepEqual(read(text, 'loopback'), { ports, codes: [] })
  })
}

const bad: readonly (readonly [text: string, code: string])[] = [
  ['tcp_connect = [0]', '1: value_out_of_range'],
  ['tcp_bind = [65536]', '1: value_out_of_range'],
  ['tcp_bind = [-1]', '1: value_out_of_range'],
  ['tcp_bind = ["80"]', '1: type_wrong'],
  ['tcp_bind = 80', '1: type_wrong'],
  ['\ntcp_bind = [80, 80]', '2: duplicate'],
  [
    `tcp_bind = [${Array.from({ length: 65 }, (_, index) => index).join(', ')}]`,
    '1: value_out_of_range',
  ],
]
for (const [text, code] of bad) {
  test(`compile ports: ${text.trim().slice(0, 40)} is an error`, () => {
    assert.deepEqual(read(text).codes, [code])
  })
}

test('compile ports: an empty network has none', () => {
  assert.deepEqual(read('tcp_connect = []\ntcp_bind = []', 'none').codes, [
    '1: network_required',
    '2: network_required',
  ])
})

test('compile ports: a policy names them in a profile', () => {
  for (const key of ['tcp_connect', 'tcp_bind']) {
    const text = `schema = 1\n[profile.p]\nnetwork = "host"\n${key} = `
    const [profile] = policyOf(`${text}[443]\n`).profiles
    const named = key === 'tcp_bind' ? profile?.tcp.bind : profile?.tcp.connect
    assert.deepEqual(named, [443])
    assert.match(problemsOf(`${text}[-1]\n`).join('\n'), /^0\.toml:4:.*\[value_out_of_range\]$/)
  }
})
