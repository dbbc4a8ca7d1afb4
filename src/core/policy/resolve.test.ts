import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { CleanPath, Subject } from '../identity.ts'
import { sha256Hex } from '../json/digest.ts'
import { parseHex } from '../json/hex.ts'
import type { RunAs } from './compiled.ts'
import { decide } from './decide.ts'
import type { Permit } from './decide.ts'
import { indexPolicy } from './policy-index.ts'
import type { GrantedPath } from './granted-path.ts'
import type { FileIdentity, ResolvedFile } from './input-files.ts'
import {
  factsAt,
  fullPolicy,
  pathOf,
  policyOf,
  requestOf,
  subjectOf,
} from './policy.test-support.ts'
import type { ResolvedInputs } from '../protocol/input-frames.ts'
import { commitmentOf } from './inputs.ts'
import { isPinned, resolveAction } from './resolve.ts'
import type { DbusCall } from './dbus-call.ts'
import type { ProfileSocket } from './profile-source.ts'

/** A resolved action as an object: what its text says. */
type Resolved = Readonly<{
  action: string
  action_version: string
  policy: string
  argv: readonly string[]
  executable: Readonly<{ path: CleanPath; sha256: string }>
  interpreter: Readonly<{ path: CleanPath; sha256: string }> | null
  run_as: RunAs
  env: Readonly<Record<string, string>>
  cwd: CleanPath
  profile: string
  proxy: VectorProxy | null
  escapable: boolean
  subject: Pick<Subject, 'uid' | 'gid' | 'groups' | 'unit'>
  host: string
  nonce: string
  not_after_ms: number
  inputs: Readonly<Record<string, ResolvedFile>>
}> &
  Omit<ResolvedInputs, 'files'>
type VectorProxy = Readonly<{
  allow: Readonly<Record<CleanPath, readonly string[]>>
  path: CleanPath
  sha256: string
}>
type Vectors = Readonly<{
  valid: readonly Readonly<{ name: string; resolved: Resolved; text: string; digest: string }>[]
  commitments: readonly Readonly<{
    key: string
    nonce: string
    name: string
    value: string
    commitment: string
  }>[]
  mutations: readonly Readonly<{
    name: string
    member: string
    value: unknown
    digest: string
  }>[]
}>

const { valid, mutations, commitments }: Vectors = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/resolved-action.json', import.meta.url), 'utf8'),
)

function lookPermit(): Permit {
  const index = indexPolicy(policyOf(fullPolicy))
  const decision = decide(index, subjectOf(0), requestOf('look'), factsAt(0))
  assert.equal(decision.kind, 'permit')
  return decision
}
const permit = lookPermit()

/** A path of a permit of which this member comes. */
function pathOfInput([path, { kind: what, sha256 }]: readonly [string, ResolvedFile]): GrantedPath {
  return {
    ...{
      parameter: 'p',
      path: pathOf(what === 'new' ? `${path}/x` : path),
      what,
      hard_links: false,
    },
    access: what === 'new' ? 'write' : 'read',
    content: sha256 === null ? 'live' : 'bound',
  }
}

function identityOf({ device, inode, sha256, size }: ResolvedFile): FileIdentity {
  const content = sha256 === null || size === null ? null : { sha256, size }
  return { device: BigInt(device), inode: BigInt(inode), content }
}

/** What `resolveAction` makes of a permit that says what the vector says. */
function resolveVector(vector: Resolved): ReturnType<typeof resolveAction> {
  const { action: id, executable, run_as, env, cwd, argv, subject } = vector
  const interpreter = vector.interpreter && {
    ...{ path: vector.interpreter.path, argument: null },
    executable: vector.interpreter.path,
  }
  return resolveAction(
    {
      ...permit,
      action: { ...permit.action, id, executable: executable.path, interpreter, run_as, env, cwd },
      version: vector.action_version,
      profile: {
        ...permit.profile,
        ...{ digest: vector.profile, escapable: vector.escapable },
        sockets: vector.proxy === null ? [] : socketsOf(vector.proxy),
        proxy: vector.proxy && { executable: vector.proxy.path, argv: [], plan: '' },
      },
      argv,
      paths: Object.entries(vector.inputs).map(pathOfInput),
    },
    { ...subject, pid: 1, foreign: false },
    {
      policyDigest: vector.policy,
      hostId: vector.host,
      nonce: vector.nonce,
      notAfterMs: vector.not_after_ms,
      executableSha256: executable.sha256,
      interpreterSha256: vector.interpreter?.sha256 ?? null,
      proxySha256: vector.proxy?.sha256 ?? null,
      bound: {
        files: Object.values(vector.inputs).map(identityOf),
        ...{ stdin: vector.stdin, secrets: vector.secrets },
      },
    },
  )
}

function socketsOf({ allow }: VectorProxy): readonly ProfileSocket[] {
  return Object.entries(allow).map(([path, calls]) => {
    return { path: pathOf(path), dbus: calls.map(callOf) }
  })
}

function callOf(text: string): DbusCall {
  const [name = '', call = '', path = null] = text.split(' ')
  const dot = call.lastIndexOf('.')
  return { name, interface: call.slice(0, dot), member: call.slice(dot + 1), path }
}

for (const { name, resolved, text, digest } of valid) {
  test(`resolved action: vector: ${name}`, () => {
    assert.deepEqual(resolveVector(resolved), { text, digest })
    assert.equal(sha256Hex(text), digest)
  })
}

const [example] = valid
for (const { name, member, value, digest } of mutations) {
  test(`promise 3: ${name} is another action`, () => {
    assert.ok(example !== undefined && member in example.resolved)
    assert.notEqual(digest, example.digest)
    assert.equal(resolveVector({ ...example.resolved, [member]: value }).digest, digest)
  })
}

test('promise 3: no two of the mutations have one digest', () => {
  assert.equal(new Set(mutations.map(({ digest }) => digest)).size, mutations.length)
})

test('promise 3: each member that can change is changed by some mutation', () => {
  const fixed = ['type']
  const changed = new Set(mutations.map(({ member }) => member))
  const members = Object.keys(example?.resolved ?? {}).filter((member) => !fixed.includes(member))
  assert.deepEqual([...changed].sort(), members.sort())
})

test('resolved action: of a proxy whose hash is not known the calls are known', () => {
  const proxy = { executable: pathOf('/usr/bin/xdg-dbus-proxy'), argv: [], plan: '' }
  const facts = { policyDigest: '', hostId: '', nonce: '', notAfterMs: 0 }
  const { text } = resolveAction(
    { ...permit, profile: { ...permit.profile, proxy, sockets: [] } },
    subjectOf(0),
    { ...facts, executableSha256: '', interpreterSha256: null },
  )
  assert.match(text, /"proxy":\{"allow":\{\},"path":"\/usr\/bin\/xdg-dbus-proxy","sha256":null\}/)
})

test('resolved action: the pid of who asks is not part of it', () => {
  assert.ok(example !== undefined)
  assert.ok(!example.text.includes('pid'))
})

const [a, b] = ['a'.repeat(64), 'b'.repeat(64)]
const pins: readonly (readonly [name: string, sha256: readonly string[], isOne: boolean])[] = [
  ['no pin takes any executable', [], true],
  ['the pinned executable', [a], true],
  ['one of two pinned ones', [b, a], true],
  ['another one than the pinned', [b], false],
]
for (const [name, sha256, isOne] of pins) {
  test(`resolved action: ${name}: ${isOne ? 'resolves' : 'is refused'}`, () => {
    const pinned = { ...permit, action: { ...permit.action, sha256 } }
    const facts = {
      policyDigest: a,
      hostId: a,
      nonce: a,
      notAfterMs: 0,
      executableSha256: a,
      interpreterSha256: null,
    }
    assert.equal(isPinned(pinned.action, a), isOne)
    if (isOne) assert.match(resolveAction(pinned, subjectOf(0), facts).text, /^\{"action":"look"/)
    else {
      const invalid = { code: 'input_invalid' }
      assert.throws(() => resolveAction(pinned, subjectOf(0), facts), invalid)
    }
  })
}

for (const { key, nonce, name, value, commitment } of commitments) {
  test(`commitment: vector: ${name} of ${value.length / 2} bytes`, () => {
    const secret = { nonce, name, value: parseHex(value) }
    assert.equal(commitmentOf(parseHex(key), secret), commitment)
  })
}

test('commitment: of vectors no two are alike', () => {
  assert.equal(new Set(commitments.map(({ commitment }) => commitment)).size, commitments.length)
})
