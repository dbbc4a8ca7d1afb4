/** A small made-up host for tests of the policy compiler, so that they say the same on each machine. */
import assert from 'node:assert/strict'
import { parseTomlTree } from '../../host/toml-tree.ts'
import { BelladonnaError } from '../error.ts'
import { isCleanPath, isGid, isUid } from '../identity.ts'
import type { CleanPath, Gid, Subject, Uid } from '../identity.ts'
import type { ActionRequest } from '../protocol/request.ts'
import { compilePolicy } from './compile.ts'
import type { CompileResult } from './compile.ts'
import type { CompileFacts, PathFact, PathUse, SocketFinding } from './compile-facts.ts'
import type { CompiledInterpreter, CompiledPolicy } from './compiled.ts'
import type { DecideFacts } from './decide.ts'
import { formatPolicyProblem } from '../toml/problem.ts'
import type { PathKind } from './profile-source.ts'

export function uidOf(value: number): Uid {
  assert.ok(isUid(value))
  return value
}

export function gidOf(value: number): Gid {
  assert.ok(isGid(value))
  return value
}

export function pathOf(value: string): CleanPath {
  assert.ok(isCleanPath(value))
  return value
}

const links: readonly (readonly [link: string, text: string])[] = [
  ['/bin', 'usr/bin'],
  ['/lib', 'usr/lib'],
]

const kinds: ReadonlyMap<string, PathKind> = new Map([
  ...[
    '/',
    '/usr',
    '/usr/bin',
    '/usr/lib',
    '/srv',
    '/srv/data',
    '/tmp',
    '/proc',
    '/proc/sys',
    '/proc/sys/fs',
    '/proc/sys/kernel',
    '/var/log/app',
    '/groups',
  ].map((path) => [path, 'directory'] as const),
  ...[
    '/usr/bin/true',
    '/usr/bin/{',
    '/etc/ld.so.cache',
    '/opt/tool',
    '/etc/hosts',
    '/usr/bin/script',
    '/opt/theirs',
    '/usr/bin/xdg-dbus-proxy',
  ].map((path) => [path, 'file'] as const),
  ...[
    'vm/swappiness',
    'net/ipv4/ip_forward',
    'kernel/hostname',
    'kernel/shmmax',
    'kernel/ns_last_pid',
  ].map((name) => [`/proc/sys/${name}`, 'file'] as const),
  ['/dev/kmsg', 'device'],
  ['/run/app/app.sock', 'socket'],
])

/** What reads /usr/bin/script. */
const testInterpreter: CompiledInterpreter = {
  path: pathOf('/bin/true'),
  argument: '-e',
  executable: pathOf('/usr/bin/true'),
}

/**
 * Control groups at /groups, merged /usr with the links /bin and /lib, a few files, one of them a script and one that uid 1000 may change, and one
 * path that others may write.
 */
function resolveTestPath(path: CleanPath, use: PathUse): PathFact {
  if (path.startsWith('/unsafe')) {
    return { kind: 'refused', code: 'path_unsafe', message: '"/unsafe" is writable by others' }
  }
  const link = links.find(([from]) => path === from || path.startsWith(`${from}/`))
  const real = link === undefined ? path : path.replace(link[0], `/${link[1]}`)
  const what = kinds.get(real)
  if (what === undefined && real.endsWith('.sock') && use === 'socket') {
    return { kind: 'awaited', real: pathOf(real), links: [] }
  }
  if (what === undefined) return { kind: 'absent' }
  const way = link === undefined ? [] : [{ path: pathOf(link[0]), text: link[1] }]
  const found = { kind: 'found', real: pathOf(real), what, links: way } as const
  if (use !== 'command') return real === '/groups' ? { ...found, holdsCgroups: true } : found
  if (real === '/usr/bin/script') return { ...found, interpreter: testInterpreter }
  return real === '/opt/theirs' ? { ...found, changeable: 'belongs to uid 1000' } : found
}

/** /srv holds a socket that is not named, /srv/data is in memory. */
function findTestSockets(path: CleanPath): SocketFinding {
  if (path === '/srv') return { found: ['/srv/data/db.sock', '/srv/own.sock'], mayHold: null }
  return { found: [], mayHold: path === '/srv/data' ? '/srv/data is a tmpfs' : null }
}

/** Plans are the profile's name here; the name `planless` is one that cannot be compiled. */
export const testFacts: CompileFacts = {
  accounts: {
    users: new Map([
      ['root', { uid: uidOf(0), gid: gidOf(0) }],
      ['ci', { uid: uidOf(1000), gid: gidOf(1000) }],
      ['nobody', { uid: uidOf(65534), gid: gidOf(65534) }],
    ]),
    groups: new Map([
      ['root', gidOf(0)],
      ['adm', gidOf(4)],
      ['sudo', gidOf(27)],
      ['nogroup', gidOf(65534)],
    ]),
  },
  architecture: 'x86_64',
  resolvePath: resolveTestPath,
  findSockets: findTestSockets,
  compilePlan: ({ name }) => {
    if (name === 'planless') throw new BelladonnaError('policy_invalid', 'no plan for this')
    if (name === 'broken') throw new TypeError('a bug')
    return new TextEncoder().encode(`plan of ${name}`)
  },
  compileProxyPlan: ({ name }) => new TextEncoder().encode(`plan of the proxy of ${name}`),
}

/** A policy that uses every key once. */
export const fullPolicy: string = `schema = 1

[action."app.restart"]
about = "Restart the app"
command = ["/bin/true", "{{{service}}}", "--level={level}", "{tag}", "{force}", "--host={host}", "{file}"]
run_as = "ci:adm"
env = { LANG = "C.UTF-8", __proto__ = "x" }
cwd = "/srv"
sha256 = ["${'b'.repeat(64)}", "${'a'.repeat(64)}"]
profile = "app"
approval = { need = 2, from = "oncall", within = "5m" }
approve_unseen_input = true
detach = true
risk = "reversible"
reason = "required"
[action."app.restart".params]
service = { one_of = ["web", "api"] }
level = { integer = { min = -1, max = 9 }, leading_dash = true }
tag = { match = "[a-z/ ]+", slash = true, space = true, max_length = 8 }
force = { flag = "--force" }
host = { match = "[a-z]+", repeat = { min = 0, max = 3 } }
file = { path = { root = "/var/log/app", kind = "file", access = "write", hard_links = true }, repeat = { min = 0, max = 2 } }

[action.look]
about = "Look"
command = ["/usr/bin/true"]
run_as = "root"
profile = "plain"

[action.tidy]
about = "Tidy up"
command = ["/usr/bin/script", "now"]
run_as = "root"
profile = "plain"

[profile.plain]

[profile.app]
network = "loopback"
read = ["/usr", "/usr/lib", "/etc/hosts", "/dev/kmsg"]
write = ["/srv/data", "/srv", "/proc/sys/vm/swappiness"]
sockets = [{ path = "/run/app/app.sock" }]
escapable = true
stdin = "stream"
output = "pass"
caps = ["CAP_SYSLOG", "CAP_CHOWN"]
syscalls = "default"
limits = { time = "1h", memory = "1G", processes = 4 }
observe = "prefer"

[[grant]]
who = ["user:ci", "uid:1001", "group:sudo", "gid:5", "group:sudo"]
may = ["look", "app.restart"]
until = 2030-01-01T00:00:00Z

[[grant]]
who = ["user:root"]
may = ["look", "tidy"]

[[grant]]
who = ["unit:deploy@blue.service", "group:adm"]
may = ["look"]
namespace = "any"
uses = 5
limit = { rate = "10/min", burst = 2 }

[approvers.oncall]
members = ["webauthn:x", "key:SHA256:abc"]
`

export function compileText(...texts: readonly string[]): CompileResult {
  const trees = texts.map((text, index) => parseTomlTree(`${index}.toml`, text))
  return compilePolicy(trees, testFacts)
}

/** The policy of a text that has no problem. */
export function policyOf(...texts: readonly string[]): CompiledPolicy {
  const result = compileText(...texts)
  if (result.kind === 'compiled') return result.policy
  assert.fail(result.problems.map(formatPolicyProblem).join('\n'))
}

/** The problems of a text as lines, without the file's name. */
export function problemsOf(...texts: readonly string[]): readonly string[] {
  const result = compileText(...texts)
  if (result.kind === 'compiled') assert.fail('no problem was found')
  return result.problems.map(formatPolicyProblem)
}

export function subjectOf(
  uid: number,
  groups: readonly number[] = [],
  more: Partial<Subject> = {},
): Subject {
  const gid = gidOf(groups[0] ?? uid)
  return {
    uid: uidOf(uid),
    gid,
    groups: groups.map(gidOf),
    pid: 7,
    foreign: false,
    unit: null,
    ...more,
  }
}

export function requestOf(
  action: string,
  values: Readonly<Record<string, string>> = {},
  more: Partial<ActionRequest> = {},
): ActionRequest {
  const parameters = Object.entries(values).map(([name, value]) => ({ name, value }))
  return { action, reason: '', nonce: null, parameters, ...more }
}

/** Nothing has been used yet. */
export function factsAt(nowMs: number): DecideFacts {
  return { nowMs, uses: new Map(), rates: new Map() }
}
