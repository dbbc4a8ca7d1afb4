import assert from 'node:assert/strict'
import test from 'node:test'
import { parseTomlTree } from '../../host/toml-tree.ts'
import { parsePlan, formatPlan } from '../sandbox/plan.ts'
import { planForProxy } from '../sandbox/plan-for-profile.ts'
import type { CompileFacts, PathFact } from './compile-facts.ts'
import { compilePolicy } from './compile.ts'
import { parseCompiledPolicy } from './compiled-parse.ts'
import { formatCompiledPolicy, sealProfile } from './compiled.ts'
import type { CompiledProfile } from './compiled.ts'
import { proxyArguments } from '../sandbox/proxy-arguments.ts'
import { pathOf, policyOf, testFacts } from './policy.test-support.ts'
import type { ProfileSource } from './profile-source.ts'
import { formatPolicyProblem } from '../toml/problem.ts'

const socket = '{ path = "/run/app/app.sock", dbus = ["org.example.Manager.Restart"] }'
const text = `schema = 1\n[profile.p]\nsockets = [${socket}]\n`

function compileWith(facts: Partial<CompileFacts>, policy = text): readonly string[] {
  const result = compilePolicy([parseTomlTree('p', policy)], { ...testFacts, ...facts })
  return result.kind === 'compiled' ? [] : result.problems.map(formatPolicyProblem)
}

/** The host, but for what filters D-Bus. */
function withProgram(fact: PathFact): Partial<CompileFacts> {
  return {
    resolvePath: (path, use) =>
      path === '/usr/bin/xdg-dbus-proxy' ? fact : testFacts.resolvePath(path, use),
  }
}

const program = { kind: 'found', real: pathOf('/usr/bin/xdg-dbus-proxy'), links: [] } as const
const missing: readonly (readonly [name: string, fact: PathFact, problem: RegExp])[] = [
  [
    'that is not installed',
    { kind: 'absent' },
    /does not exist: install the package xdg-dbus-proxy \[dbus_proxy_missing\]$/,
  ],
  [
    'that others can change',
    { ...program, what: 'file', changeable: 'belongs to uid 7' },
    /belongs to uid 7 \[dbus_proxy_missing\]$/,
  ],
  [
    'that is a script',
    {
      ...program,
      what: 'file',
      interpreter: { path: pathOf('/bin/sh'), argument: null, executable: pathOf('/bin/sh') },
    },
    /is a script \[dbus_proxy_missing\]$/,
  ],
  [
    'in an unsafe place',
    { kind: 'refused', code: 'path_unsafe', message: 'not so' },
    /not so \[path_unsafe\]$/,
  ],
]
for (const [name, fact, problem] of missing) {
  test(`compile proxy: a proxy ${name} is a problem`, () => {
    const found = compileWith(withProgram(fact))
    assert.equal(found.length, 1)
    assert.match(found.join(), problem)
  })
}

test('compile proxy: where nothing is filtered there is none, and none is looked for', () => {
  assert.deepEqual(policyOf('schema = 1\n[profile.p]\n').profiles[0]?.proxy, null)
  const open = text.replace(/, dbus = .*\] \}/, ' }').concat('escapable = true\n')
  assert.deepEqual(compileWith(withProgram({ kind: 'absent' }), open), [])
})

test('compile proxy: its sandbox has libraries, the sockets and no right of the run', () => {
  const seen: ProfileSource[] = []
  const more = 'caps = ["CAP_SYSLOG"]\nwrite = ["/var/log/app"]\nnetwork = "loopback"\n'
  const compileProxyPlan = (profile: ProfileSource): Uint8Array => {
    seen.push(profile)
    const plan = planForProxy(profile, 'x86_64')
    assert.deepEqual(parsePlan(formatPlan(plan)), plan)
    return formatPlan(plan)
  }
  const readOnly = text.replace('sockets', `read = ["/opt/tool"]\n${more}sockets`)
  assert.deepEqual(compileWith({ compileProxyPlan }, readOnly), [])
  const [first] = seen
  assert.ok(first !== undefined)
  const { read, write, sockets, caps, network, links, escapable, stdin, output } = first
  assert.deepEqual(
    read.map(({ path }) => path),
    ['/etc/ld.so.cache', '/usr', '/usr/bin', '/usr/lib'],
  )
  assert.deepEqual(
    [write, caps, network, escapable, stdin, output],
    [[], [], 'none', true, 'none', 'pass'],
  )
  assert.deepEqual(sockets, [{ path: '/run/app/app.sock', dbus: null }])
  assert.deepEqual(
    links.map(({ path }) => path),
    ['/bin', '/lib'],
  )
})

test('compile proxy: each socket has its place, and a rule of its own for each call', () => {
  const restart = { name: 'a.b', interface: 'a.b.M', member: 'Restart', path: null }
  const argv = proxyArguments([
    { path: pathOf('/run/a b,é.sock'), calls: [restart, { ...restart, path: '/x' }] },
    { path: pathOf('/run/c-d_1.sock'), calls: [restart] },
  ])
  assert.deepEqual(argv, [
    ...['xdg-dbus-proxy', '--fd=1', 'unix:path=/run/a%20b%2c%c3%a9.sock', '/bus-proxy/0'],
    ...['--filter', '--call=a.b=a.b.M.Restart', '--call=a.b=a.b.M.Restart@/x'],
    ...['unix:path=/run/c-d_1.sock', '/bus-proxy/1', '--filter', '--call=a.b=a.b.M.Restart'],
  ])
})

test('compile proxy: more calls than fit into a frame are refused', () => {
  const calls = Array.from({ length: 32 }, (_, i) => {
    const name = `a.${'b'.repeat(200)}${i}`
    return `{ name = "${name}", call = "${name}.C", path = "/${'c'.repeat(200)}" }`
  })
  const sockets = Array.from({ length: 5 }, (_, i) => {
    return `{ path = "/run/${i}.sock", dbus = [${calls.join(', ')}] }`
  })
  const many = `schema = 1\n[profile.p]\nsockets = [${sockets.join(', ')}]\n`
  assert.match(compileWith({}, many).join(), /more calls by D-Bus.*\[plan_invalid\]$/)
})

test('compile proxy: an installed policy has a proxy for each filter, and none without one', () => {
  const policy = policyOf(text)
  const changed = (change: Partial<CompiledProfile>): string => {
    const profiles = policy.profiles.map((profile) => {
      const { digest: before, ...rest } = { ...profile, ...change }
      const sealed = sealProfile(rest)
      assert.notEqual(sealed.digest, before)
      return sealed
    })
    return formatCompiledPolicy({ ...policy, profiles })
  }
  assert.deepEqual(parseCompiledPolicy(formatCompiledPolicy(policy)), policy)
  for (const change of [{ proxy: null }, { sockets: [] }]) {
    assert.throws(() => parseCompiledPolicy(changed(change)), { code: 'input_invalid' })
  }
})
