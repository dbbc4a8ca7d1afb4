import { isCleanPath, isGid, isUid } from '../identity.ts'
import {
  anyBoolean,
  anyString,
  guarded,
  integerWithin,
  listOf,
  mapOf,
  misshapen,
  oneOf,
  orNull,
  recordOf,
  stringWhere,
} from '../json/shape.ts'
import type { Shape } from '../json/shape.ts'
import { parseBase64 } from '../json/base64.ts'
import { parseStrictJson } from '../json/strict.ts'
import { isIdentifier, requestLimits } from '../protocol/request.ts'
import type { TcpPorts } from '../sandbox/landlock.ts'
import { filteredSockets } from '../sandbox/bus-place.ts'
import { syscallSetNames } from '../sandbox/syscall-sets.ts'
import type { Automaton } from './automaton.ts'
import {
  architectures,
  formatCompiledPolicy,
  pathAccesses,
  pathContents,
  pathWhats,
  risks,
  sealGrant,
  sealProfile,
} from './compiled.ts'
import type {
  CompiledAction,
  CompiledApproval,
  CompiledApprovers,
  CompiledGrant,
  CompiledInterpreter,
  CompiledLimit,
  CompiledParameter,
  CompiledPolicy,
  CompiledPrincipal,
  CompiledProfile,
  CompiledProxy,
  CompiledRepeat,
  RunAs,
  RunAsNames,
} from './compiled.ts'
import { isBusName, isInterfaceName, isMemberName, isObjectPath } from './dbus-call.ts'
import type { DbusCall } from './dbus-call.ts'
import { isUnitName } from './names.ts'
import type { PathLink, ProfileCapability, ProfilePath, ProfileSocket } from './profile-source.ts'
import { maxBurst, maxIntervalUs, maxUses } from './rate.ts'
import { isParameterName } from './template.ts'
import type { TemplateElement } from './template.ts'

/**
 * Reads an installed policy. Only the exact text that `formatCompiledPolicy` writes is accepted, so that a digest of the
 * text and one of the meaning are the same thing.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseCompiledPolicy(text: string): CompiledPolicy {
  const policy = recordOf((members) => ({
    type: members.take('type', oneOf(['belladonna/policy/v1'])),
    architecture: members.take('architecture', oneOf(architectures)),
    actions: members.take('actions', listOf(action)),
    profiles: members.take('profiles', listOf(profile)),
    grants: members.take('grants', listOf(grant)),
    approvers: members.take('approvers', listOf(approvers)),
  }))(
    parseStrictJson(text, { maxBytes: maxCompiledBytes, maxMembers: maxCompiledMembers }),
    'policy',
  )
  if (formatCompiledPolicy(policy) !== text) throw misshapen('policy', 'not canonical JSON')
  return policy
}

/** Largest installed policy. */
export const maxCompiledBytes: number = 64 * 1024 * 1024
const maxCompiledMembers = 8_000_000

const id = stringWhere(isIdentifier, 'a name')
const parameterName = stringWhere(isParameterName, 'a name')
const path = guarded(isCleanPath, 'a clean absolute path')
const uid = guarded(isUid, 'a uid')
const gid = guarded(isGid, 'a gid')
const digest = stringWhere((text) => /^[0-9a-f]{64}$/.test(text), 'a SHA-256 digest')
const count = integerWithin(0, Number.MAX_SAFE_INTEGER)
const anyInteger = integerWithin(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)

const element: Shape<TemplateElement> = recordOf((members) =>
  members.take('kind', oneOf(['literal', 'parameter'])) === 'literal'
    ? { kind: 'literal', text: members.take('text', anyString) }
    : {
        kind: 'parameter',
        before: members.take('before', anyString),
        name: members.take('name', parameterName),
        after: members.take('after', anyString),
      },
)

const table: Shape<Automaton> = recordOf((members) => ({
  starts: members.take('starts', listOf(integerWithin(0, 0x10ffff))),
  classes: members.take('classes', listOf(count)),
  class_count: members.take('class_count', count),
  transitions: members.take('transitions', listOf(integerWithin(-1, Number.MAX_SAFE_INTEGER))),
  accepting: members.take('accepting', listOf(count)),
}))

const repeat: Shape<CompiledRepeat> = recordOf((members) => ({
  min: members.take('min', integerWithin(0, requestLimits.parameters)),
  max: members.take('max', integerWithin(1, requestLimits.parameters)),
}))

const parameter: Shape<CompiledParameter> = recordOf((members, where) => {
  const name = members.take('name', parameterName)
  const kind = members.take('kind', oneOf(['one_of', 'integer', 'match', 'path', 'flag', 'secret']))
  if (kind === 'flag') return { name, kind, argument: members.take('argument', anyString) }
  if (kind === 'secret') return { name, kind }
  const leading_dash = members.take('leading_dash', anyBoolean)
  const common = { name, leading_dash, repeat: members.take('repeat', orNull(repeat)) }
  switch (kind) {
    case 'one_of':
      return { ...common, kind, values: members.take('values', listOf(anyString)) }
    case 'integer':
      return {
        ...common,
        kind,
        min: members.take('min', anyInteger),
        max: members.take('max', anyInteger),
      }
    case 'match':
      return {
        ...common,
        kind,
        pattern: members.take('pattern', anyString),
        max_length: members.take('max_length', count),
        table: members.take('table', table),
      }
    case 'path':
      if (leading_dash) throw misshapen(where, 'a path with leading_dash')
      return {
        ...{ ...common, leading_dash, kind },
        root: members.take('root', path),
        what: members.take('what', oneOf(pathWhats)),
        access: members.take('access', oneOf(pathAccesses)),
        hard_links: members.take('hard_links', anyBoolean),
        content: members.take('content', oneOf(pathContents)),
      }
  }
})

const runAs: Shape<RunAs> = recordOf((members) => ({
  uid: members.take('uid', uid),
  gid: members.take('gid', gid),
  groups: members.take('groups', listOf(gid)),
}))

const runAsNames: Shape<RunAsNames> = recordOf((members) => ({
  user: members.take('user', anyString),
  group: members.take('group', orNull(anyString)),
}))

const approval: Shape<CompiledApproval> = recordOf((members) => ({
  need: members.take('need', integerWithin(1, 16)),
  from: members.take('from', id),
  within_ms: members.take('within_ms', count),
}))

const interpreter: Shape<CompiledInterpreter> = recordOf((members) => ({
  path: members.take('path', path),
  argument: members.take('argument', orNull(anyString)),
  executable: members.take('executable', path),
}))

const action: Shape<CompiledAction> = recordOf((members) => ({
  id: members.take('id', id),
  about: members.take('about', anyString),
  command: members.take('command', listOf(element)),
  executable: members.take('executable', path),
  interpreter: members.take('interpreter', orNull(interpreter)),
  sha256: members.take('sha256', listOf(digest)),
  run_as: members.take('run_as', runAs),
  run_as_names: members.take('run_as_names', runAsNames),
  env: members.take('env', mapOf(anyString, anyString)),
  cwd: members.take('cwd', path),
  profile: members.take('profile', id),
  risk: members.take('risk', oneOf(risks)),
  reason: members.take('reason', oneOf(['required', 'optional'])),
  approval: members.take('approval', orNull(approval)),
  approve_unseen_input: members.take('approve_unseen_input', anyBoolean),
  detach: members.take('detach', anyBoolean),
  params: members.take('params', listOf(parameter)),
}))

const profilePath: Shape<ProfilePath> = recordOf((members) => ({
  path: members.take('path', path),
  kind: members.take('kind', oneOf(['directory', 'file', 'device'])),
}))

const syscallChoice: Shape<CompiledProfile['syscalls']> = (value, where) =>
  Array.isArray(value) ? listOf(anyString)(value, where) : oneOf(syscallSetNames)(value, where)

const dbusCall: Shape<DbusCall> = recordOf((members) => ({
  name: members.take('name', stringWhere(isBusName, "a bus's name")),
  interface: members.take('interface', stringWhere(isInterfaceName, "an interface's name")),
  member: members.take('member', stringWhere(isMemberName, "a member's name")),
  path: members.take('path', orNull(stringWhere(isObjectPath, "an object's path"))),
}))

const socket: Shape<ProfileSocket> = recordOf((members) => ({
  path: members.take('path', path),
  dbus: members.take('dbus', orNull(listOf(dbusCall))),
}))

const link: Shape<PathLink> = recordOf((members) => ({
  path: members.take('path', path),
  text: members.take('text', anyString),
}))

const capability: Shape<ProfileCapability> = recordOf((members) => ({
  name: members.take('name', anyString),
  number: members.take('number', integerWithin(0, 63)),
}))

const port = integerWithin(0, 0xffff)
const tcpPorts: Shape<TcpPorts> = recordOf((members) => ({
  connect: members.take('connect', orNull(listOf(port))),
  bind: members.take('bind', orNull(listOf(port))),
}))

const limits: Shape<CompiledProfile['limits']> = recordOf((members) => ({
  time_ms: members.take('time_ms', count),
  memory_bytes: members.take('memory_bytes', count),
  processes: members.take('processes', count),
  output_bytes: members.take('output_bytes', count),
}))

const plan: Shape<string> = (value, where) => {
  const text = anyString(value, where)
  parseBase64(text)
  return text
}

const proxy: Shape<CompiledProxy> = recordOf((members) => ({
  executable: members.take('executable', path),
  argv: members.take('argv', listOf(anyString)),
  plan: members.take('plan', plan),
}))

const profile: Shape<CompiledProfile> = recordOf((members, where) => {
  const sealed = sealProfile({
    name: members.take('name', id),
    network: members.take('network', oneOf(['none', 'loopback', 'host'])),
    tcp: members.take('tcp', tcpPorts),
    read: members.take('read', listOf(profilePath)),
    write: members.take('write', listOf(profilePath)),
    sockets: members.take('sockets', listOf(socket)),
    escapable: members.take('escapable', anyBoolean),
    proxy: members.take('proxy', orNull(proxy)),
    links: members.take('links', listOf(link)),
    stdin: members.take('stdin', oneOf(['none', 'bound', 'stream'])),
    output: members.take('output', oneOf(['pass', 'capped', 'recorded'])),
    caps: members.take('caps', listOf(capability)),
    syscalls: members.take('syscalls', syscallChoice),
    limits: members.take('limits', limits),
    observe: members.take('observe', oneOf(['off', 'prefer'])),
    plan: members.take('plan', plan),
  })
  if (members.take('digest', digest) !== sealed.digest) throw misshapen(where, 'wrong digest')
  if ((sealed.proxy === null) !== (filteredSockets(sealed.sockets).length === 0)) {
    throw misshapen(where, 'a proxy without a filter, or a filter without one')
  }
  return sealed
})

const principal: Shape<CompiledPrincipal> = recordOf((members) => {
  const kind = members.take('kind', oneOf(['user', 'group', 'unit']))
  if (kind === 'unit') {
    return { kind, name: members.take('name', stringWhere(isUnitName, "a unit's name")) }
  }
  return { kind, id: members.take('id', uid), name: members.take('name', orNull(anyString)) }
})

const limit: Shape<CompiledLimit> = recordOf((members) => ({
  interval_us: members.take('interval_us', integerWithin(1, maxIntervalUs)),
  burst: members.take('burst', integerWithin(1, maxBurst)),
}))

const grant: Shape<CompiledGrant> = recordOf((members, where) => {
  const sealed = sealGrant({
    who: members.take('who', listOf(principal)),
    may: members.take('may', listOf(id)),
    until_ms: members.take('until_ms', orNull(count)),
    namespace: members.take('namespace', oneOf(['own', 'any'])),
    uses: members.take('uses', orNull(integerWithin(1, maxUses))),
    limit: members.take('limit', orNull(limit)),
  })
  if (members.take('id', anyString) !== sealed.id) throw misshapen(where, 'wrong id')
  return sealed
})

const approvers: Shape<CompiledApprovers> = recordOf((members) => ({
  name: members.take('name', id),
  members: members.take('members', listOf(anyString)),
}))
