import assert from 'node:assert/strict'
import test from 'node:test'
import { formatPolicyWarning } from '../toml/problem.ts'
import { compileText, policyOf, problemsOf } from './policy.test-support.ts'

/** A policy of one profile, with these lines in it. */
function profile(...lines: readonly string[]): string {
  return `schema = 1\n[profile.p]\n${lines.join('\n')}\n`
}

/** Problems without the name of the file. */
function problems(...lines: readonly string[]): readonly string[] {
  return problemsOf(profile(...lines)).map((line) => line.replace('0.toml:', ''))
}

function warnings(...lines: readonly string[]): readonly string[] {
  const result = compileText(profile(...lines))
  assert.equal(result.kind, 'compiled')
  return result.warnings.map((warning) => formatPolicyWarning(warning).replace('0.toml:', ''))
}

const named = 'sockets = [{ path = "/run/app/app.sock" }]'

test('compile socket: a profile without a word about sockets has none and cannot leave', () => {
  const [compiled] = policyOf(profile('read = ["/srv"]')).profiles
  assert.deepEqual([compiled?.sockets, compiled?.escapable], [[], false])
  assert.deepEqual(warnings('read = ["/srv"]'), [])
})

test('compile socket: a named socket needs `escapable = true`', () => {
  assert.deepEqual(problems(named), [
    '3:21: error: whoever serves "/run/app/app.sock" decides what this profile\'s runs can do:' +
      ' it needs `escapable = true` [escapable_required]',
  ])
  assert.deepEqual(problems(named, 'escapable = false').length, 1)
  const [compiled] = policyOf(profile(named, 'escapable = true')).profiles
  assert.deepEqual(
    [compiled?.sockets, compiled?.escapable],
    [[{ path: '/run/app/app.sock', dbus: null }], true],
  )
})

test('compile socket: sockets in directories of the profile are reached too', () => {
  assert.deepEqual(problems('read = ["/srv"]', 'write = ["/srv/data"]', named), [
    '3:8: error: "/srv" holds Unix sockets: "/srv/data/db.sock", "/srv/own.sock"; a run that may connect' +
      ' reaches each of them: it needs `escapable = true` [socket_reachable]',
    '4:9: error: "/srv/data" may hold Unix sockets (/srv/data is a tmpfs); a run that may connect' +
      ' reaches each of them: it needs `escapable = true` [socket_reachable]',
    '5:21: error: whoever serves "/run/app/app.sock" decides what this profile\'s runs can do:' +
      ' it needs `escapable = true` [escapable_required]',
  ])
  assert.deepEqual(warnings('read = ["/srv"]', named, 'escapable = true'), [
    '3:8: warning: "/srv" holds Unix sockets: "/srv/data/db.sock", "/srv/own.sock"; a run that may' +
      ' connect reaches each of them [sockets_reachable]',
  ])
  assert.deepEqual(warnings('read = ["/srv"]', 'escapable = true').length, 1)
})

test('compile socket: one that is named is not reported again', () => {
  const all = 'sockets = [{ path = "/srv/own.sock" }, { path = "/srv/data/db.sock" }]'
  const found = warnings('read = ["/srv"]', all, 'escapable = true')
  assert.deepEqual(
    found.map((line) => line.replace(/.*\[/, '[')),
    ['[socket_absent]', '[socket_absent]'],
  )
})

test('compile socket: one that is not there yet is a warning', () => {
  assert.deepEqual(warnings('sockets = [{ path = "/run/x.sock" }]', 'escapable = true'), [
    '3:21: warning: "/run/x.sock" is not there now [socket_absent]',
  ])
})

/** A filtered socket with these elements of `dbus`. */
function filtered(...calls: readonly string[]): string {
  return `sockets = [{ path = "/run/app/app.sock", dbus = [${calls.join(', ')}] }]`
}

const restart = '"org.example.Manager.Restart"'

test('compile socket: one that is filtered needs no `escapable = true`, and has a proxy', () => {
  const [compiled] = policyOf(profile('read = ["/usr"]', filtered(restart))).profiles
  const call = { name: 'org.example', interface: 'org.example.Manager', member: 'Restart' }
  assert.deepEqual(compiled?.sockets, [
    { path: '/run/app/app.sock', dbus: [{ ...call, path: null }] },
  ])
  assert.equal(compiled.escapable, false)
  assert.deepEqual(compiled.proxy, {
    executable: '/usr/bin/xdg-dbus-proxy',
    argv: [
      ...['xdg-dbus-proxy', '--fd=1', 'unix:path=/run/app/app.sock', '/bus-proxy/0', '--filter'],
      '--call=org.example=org.example.Manager.Restart',
    ],
    plan: Buffer.from('plan of the proxy of p').toString('base64'),
  })
})

test('compile socket: calls stand in one order, whatever the file has', () => {
  const long = '{ name = "org.example.Z", call = "org.example.Manager.Stop", path = "/z" }'
  const digest = (...calls: readonly string[]): string | undefined =>
    policyOf(profile(filtered(...calls))).profiles[0]?.digest
  assert.equal(digest(long, restart), digest(restart, long))
  assert.notEqual(digest(long, restart), digest(restart))
})

const badLists: readonly (readonly [name: string, lines: readonly string[], code: string])[] = [
  ['an empty list', [filtered()], 'value_invalid'],
  ['a call twice', [filtered(restart, restart)], 'duplicate'],
  ['a list that is a text', [filtered().replace('[] }', '"x" }')], 'type_wrong'],
  ['a call that is a number', [filtered('1')], 'type_wrong'],
  ['the network of the host', [filtered(restart), 'network = "host"'], 'escapable_required'],
  [
    'a call that hands over the host',
    [filtered('"org.freedesktop.systemd1.Manager.StartTransientUnit"')],
    'escapable_required',
  ],
]
for (const [name, lines, code] of badLists) {
  test(`compile socket: ${name} with a filter is refused`, () => {
    const found = problems(...lines)
    const known = found.filter((line) => /^[34]:\d+: error: /.test(line))
    assert.deepEqual(known, found)
    assert.ok(
      found.some((line) => line.endsWith(`[${code}]`)),
      found.join('\n'),
    )
  })
}

test('compile socket: what hands over the host is for profiles that say that they can be left', () => {
  const all = [
    filtered('"org.freedesktop.systemd1.Manager.StartTransientUnit"'),
    ...['escapable = true', 'network = "host"'],
  ]
  const [compiled] = policyOf(profile(...all)).profiles
  assert.equal(compiled?.escapable, true)
  assert.notEqual(compiled.proxy, null)
})

test('compile socket: a filtered one in a directory of the profile would be there without its filter', () => {
  const inside = 'sockets = [{ path = "/srv/own.sock", dbus = ["org.example.Manager.Restart"] }]'
  for (const more of ['escapable = true', 'stdin = "none"']) {
    const found = problems('write = ["/srv"]', inside, more)
    const shown = found.filter((line) => line.includes('without the filter'))
    assert.match(
      shown.join(),
      /^4:21: error: "\/srv" shows "\/srv\/own.sock" itself.*\[socket_reachable\]$/,
    )
  }
})

test('compile socket: a filtered one beside another that is not needs `escapable = true`', () => {
  const two = `sockets = [{ path = "/run/a.sock" }, { path = "/run/app/app.sock", dbus = [${restart}] }]`
  assert.match(problems(two).join(), /"\/run\/a.sock" decides.*escapable_required/)
  const [compiled] = policyOf(profile(two, 'escapable = true')).profiles
  assert.deepEqual(
    compiled?.sockets.map(({ dbus }) => dbus?.length ?? null),
    [null, 1],
  )
})

test('compile socket: one path has one list of calls', () => {
  const one = `{ path = "/run/app/app.sock", dbus = [${restart}] }`
  for (const other of [one, '{ path = "/run/app/app.sock" }']) {
    const found = problems(`sockets = [${one}, ${other}]`, 'escapable = true')
    assert.match(found.join(), /named twice.*\[duplicate\]$/)
  }
})

const refused: readonly (readonly [name: string, line: string, code: string])[] = [
  ['a directory', 'sockets = [{ path = "/usr" }]', 'path_invalid'],
  ['a file', 'sockets = [{ path = "/etc/hosts" }]', 'path_invalid'],
  ['a relative path', 'sockets = [{ path = "x.sock" }]', 'path_invalid'],
  ['a path below a process', 'sockets = [{ path = "/proc/self/x.sock" }]', 'path_invalid'],
  ['a path in the way of which is a file', 'sockets = [{ path = "/etc/hosts/x" }]', 'path_missing'],
  ['a path that others may write', 'sockets = [{ path = "/unsafe/x.sock" }]', 'path_unsafe'],
  ['a text', 'sockets = ["/run/app/app.sock"]', 'type_wrong'],
  ['a path that is no text', 'sockets = [{ path = 1 }]', 'type_wrong'],
  ['no path', 'sockets = [{}]', 'key_missing'],
  ['an unknown key', 'sockets = [{ path = "/run/app/app.sock", bus = 1 }]', 'key_unknown'],
  ['a socket under `read`', 'read = ["/run/app/app.sock"]', 'path_invalid'],
]
for (const [name, line, code] of refused) {
  test(`compile socket: ${name} is refused`, () => {
    const found = problems(line, 'escapable = true')
    assert.equal(found.length, 1)
    assert.match(found.join(), new RegExp(`^3:\\d+: error: .*\\[${code}\\]$`))
  })
}

test('compile socket: the same one twice is one', () => {
  const twice = 'sockets = [{ path = "/run/app/app.sock" }, { path = "/run/app/app.sock" }]'
  const [compiled] = policyOf(profile(twice, 'escapable = true')).profiles
  assert.deepEqual(compiled?.sockets, [{ path: '/run/app/app.sock', dbus: null }])
})
