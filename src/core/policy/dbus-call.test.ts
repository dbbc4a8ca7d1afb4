import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  formatDbusCall,
  handsOver,
  isBusName,
  isInterfaceName,
  isMemberName,
  isObjectPath,
} from './dbus-call.ts'
import { compileText, policyOf, problemsOf } from './policy.test-support.ts'

function policy(element: string): string {
  return `schema = 1\n[profile.p]\nsockets = [{ path = "/run/app/app.sock", dbus = [${element}] }]\n`
}

/** What a run of it may call, as it is shown. */
function shown(element: string): string {
  const [socket] = policyOf(policy(element)).profiles[0]?.sockets ?? []
  return (socket?.dbus ?? []).map(formatDbusCall).join()
}

const taken: readonly (readonly [element: string, call: string])[] = [
  [
    '"org.freedesktop.systemd1.Manager.RestartUnit"',
    'org.freedesktop.systemd1 org.freedesktop.systemd1.Manager.RestartUnit',
  ],
  [
    '{ name = "org.freedesktop.hostname1", call = "org.freedesktop.hostname1.SetHostname" }',
    'org.freedesktop.hostname1 org.freedesktop.hostname1.SetHostname',
  ],
  ['{ name = "a.b-c", call = "x.y.Z", path = "/" }', 'a.b-c x.y.Z /'],
  ['{ name = "_a._0", call = "x._y._z", path = "/a/B_9" }', '_a._0 x._y._z /a/B_9'],
]
for (const [element, call] of taken) {
  test(`dbus call: ${element} is ${call}`, () => assert.equal(shown(element), call))
}

const refused: readonly string[] = [
  ...['"*"', '"org.example.*"', '"org.example.Manager.*"', '"org.*.Manager.Restart"'],
  ...['"Restart"', '"Manager.Restart"', '"example.Manager.Restart "', '"org..Manager.Restart"'],
  ...['".org.example.Restart"', '"org.example.Manager.Restart@/x"', '"org.example.9.Restart"'],
  ...['"org.example.Manager.9"', '"org.exam-ple.Manager.Restart"', '""', '"org.example=x.Restart"'],
  '"org.freedesktop.DBus.Monitoring.BecomeMonitor"', // the name would be the bus's own
  ...['"org.example.Manager.Restart\\n"', '"org.example.Managér.Restart"'],
]
for (const element of refused) {
  test(`dbus call: ${element} is no single call`, () => {
    const found = problemsOf(policy(element))
    assert.match(found.join(), /^0.toml:3:\d+: error: .*\[dbus_call_invalid\]$/)
  })
}

const call = 'call = "a.b.C"'
const badTables: readonly (readonly [element: string, code: string])[] = [
  [`{ ${call} }`, 'key_missing'],
  ['{ name = "a.b" }', 'key_missing'],
  [`{ name = "a.b", ${call}, talk = true }`, 'key_unknown'],
  [`{ name = "a.b", ${call}, broadcast = "a.b.D" }`, 'key_unknown'],
  [`{ name = "a.b", ${call}, own = true }`, 'key_unknown'],
  [`{ name = 1, ${call} }`, 'type_wrong'],
  ['{ name = "a.b", call = 1 }', 'type_wrong'],
  [`{ name = "a.b", ${call}, path = 1 }`, 'type_wrong'],
  ...['a', 'a.*', '*', ':1.5', 'a.b=', 'org.freedesktop.DBus', 'a b.c', 'a.9', ''].map(
    (name) => [`{ name = "${name}", ${call} }`, 'dbus_call_invalid'] as const,
  ),
  ...['a.*', '*', 'a.C', 'a.b.', 'a.b.*', 'a.b.C@/x'].map(
    (text) => [`{ name = "a.b", call = "${text}" }`, 'dbus_call_invalid'] as const,
  ),
  ...['a', '/a/', '//', '/a/*', '/*', '/a-b', '', '/a=b'].map(
    (path) => [`{ name = "a.b", ${call}, path = "${path}" }`, 'dbus_call_invalid'] as const,
  ),
]
for (const [element, code] of badTables) {
  test(`dbus call: ${element} is refused`, () => {
    const found = problemsOf(policy(element))
    assert.match(found.join(), new RegExp(`^0.toml:3:\\d+: error: .*\\[${code}\\]$`))
  })
}

test('dbus call: names are as long as D-Bus has them, and paths as old proxies read them', () => {
  const [name, longer] = [253, 254].map((size) => `a.${'b'.repeat(size)}`)
  assert.deepEqual([isBusName(name ?? ''), isBusName(longer ?? '')], [true, false])
  assert.deepEqual([isInterfaceName(name ?? ''), isInterfaceName(longer ?? '')], [true, false])
  assert.deepEqual([isMemberName('a'.repeat(255)), isMemberName('a'.repeat(256))], [true, false])
  const path = `/${'a'.repeat(254)}`
  assert.deepEqual([isObjectPath(path), isObjectPath(`${path}a`)], [true, false])
})

test('dbus call: what makes its caller root is known, by interface and member', () => {
  const transient = {
    ...{ name: 'org.example', path: null },
    ...{ interface: 'org.freedesktop.systemd1.Manager', member: 'StartTransientUnit' },
  }
  assert.equal(handsOver(transient), true)
  assert.equal(handsOver({ ...transient, member: 'RestartUnit' }), false)
  assert.equal(handsOver({ ...transient, interface: 'org.example.Manager' }), false)
})

test('dbus call: no text becomes a rule that has a meaning beside its name', () => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom('a', 'b', '.', '*', '=', '@', '/', ':', '-', '_', '9', ',', ' ', '%'),
      }),
      (text) => {
        const quoted = JSON.stringify(text)
        for (const element of [quoted, `{ name = ${quoted}, call = "a.b.C", path = ${quoted} }`]) {
          const result = compileText(policy(element))
          if (result.kind === 'invalid') continue
          const rules = result.policy.profiles[0]?.proxy?.argv.slice(5) ?? []
          assert.equal(rules.length, 1)
          assert.match(rules.join(), /^--call=[\w-]+(?:\.[\w-]+)+=\w+(?:\.\w+)+(?:@[\w/]+)?$/)
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('dbus: what takes paths of unit files, or makes a process a unit, hands the host over; other methods do not', () => {
  const call = (member: string): boolean =>
    handsOver({
      ...{ name: 'org.freedesktop.systemd1', interface: 'org.freedesktop.systemd1.Manager' },
      ...{ member, path: null },
    })
  for (const member of ['LinkUnitFiles', 'EnableUnitFiles', 'EnableUnitFilesWithFlags']) {
    assert.ok(call(member), member)
  }
  assert.ok(call('ReenableUnitFiles') && call('AttachProcessesToUnit'))
  assert.ok(!call('RestartUnit') && !call('DisableUnitFiles'))
})
