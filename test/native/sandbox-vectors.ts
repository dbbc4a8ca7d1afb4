/**
 * The content of spec/vectors/plan.json, plan-command.json, seccomp.json and landlock.json, as the code makes it today.
 *
 * Tests compare it with the files. After a change that is meant, `node test/native/sandbox-vectors.ts` writes them
 * again; whoever reviews that diff reviews a change of what sandboxes allow.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { isGid, isUid } from '../../src/core/identity.ts'
import type { ProfileSource } from '../../src/core/policy/profile-source.ts'
import { formatCommand } from '../../src/core/sandbox/command.ts'
import type { Command } from '../../src/core/sandbox/command.ts'
import { cleanPath } from '../../src/core/sandbox/fixed-mounts.ts'
import { bindForPath } from '../../src/core/sandbox/path-bind.ts'
import { planForProfile } from '../../src/core/sandbox/plan-for-profile.ts'
import { planForBroker, planForExecutor } from '../../src/core/sandbox/plan-for-service.ts'
import { formatPlan } from '../../src/core/sandbox/plan.ts'
import type { Plan } from '../../src/core/sandbox/plan.ts'
import { landlockFor } from '../../src/core/sandbox/landlock.ts'
import { writeLandlock } from '../../src/core/sandbox/landlock-bytes.ts'
import { newByteWriter } from '../../src/core/sandbox/wire-bytes.ts'
import type { SeccompPolicy } from '../../src/core/sandbox/seccomp-policy.ts'
import { callsOfSet } from '../../src/core/sandbox/syscall-sets.ts'
import { compileSeccomp } from '../../src/core/sandbox/seccomp.ts'

const roots = ['/srv/in', '/var/log/app'].map(cleanPath)
const usr = { path: cleanPath('/usr'), kind: 'directory' } as const
const links = ['bin', 'lib', 'lib64', 'sbin'].map((name) => {
  return { path: cleanPath(`/${name}`), text: `usr/${name}` }
})

/** The profile of an action that names none of its own on Debian. */
export const plainProfile: ProfileSource = {
  name: 'plain',
  network: 'none',
  tcp: { connect: null, bind: null },
  read: [{ path: cleanPath('/etc/ld.so.cache'), kind: 'file' }, usr],
  write: [],
  sockets: [],
  escapable: false,
  links,
  stdin: 'none',
  output: 'pass',
  caps: [],
  syscalls: 'default',
  limits: { timeMs: 30_000, memoryBytes: 268_435_456, processes: 32, outputBytes: 0 },
  observe: 'off',
}

/** One that asks for something of everything. */
export const richProfile: ProfileSource = {
  ...plainProfile,
  name: 'rich',
  network: 'loopback',
  tcp: { connect: [443, 8443], bind: [0] },
  write: [
    { path: cleanPath('/proc/sys/vm/swappiness'), kind: 'file' },
    { path: cleanPath('/usr/local/state'), kind: 'directory' },
    { path: cleanPath('/var/lib/app'), kind: 'directory' },
  ],
  sockets: [{ path: cleanPath('/run/dbus/system_bus_socket'), dbus: null }],
  escapable: true,
  stdin: 'stream',
  caps: [{ name: 'CAP_NET_BIND_SERVICE', number: 10 }],
}

/** Its runs have a place for a terminal of their own. */
const cappedProfile: ProfileSource = {
  ...plainProfile,
  stdin: 'stream',
  output: 'capped',
  limits: { ...plainProfile.limits, outputBytes: 1_048_576 },
}

/** Every program there is, by the name that vectors and tests have for it. */
export const seccompPolicies: Readonly<Record<SeccompName, SeccompPolicy>> = {
  default: { kind: 'run', calls: null, unixSockets: false, network: false },
  default_network: { kind: 'run', calls: null, unixSockets: false, network: true },
  default_unix: { kind: 'run', calls: null, unixSockets: true, network: false },
  system_service: {
    kind: 'run',
    calls: callsOfSet('system-service'),
    unixSockets: false,
    network: true,
  },
  no_network: { kind: 'run', calls: callsOfSet('no-network'), unixSockets: false, network: false },
  basic: { kind: 'run', calls: callsOfSet('basic'), unixSockets: false, network: false },
  service: { kind: 'service' },
}

/** Programs that let through whatever they do not refuse, and those that let through only what they list. */
export const refusingNames = ['default', 'default_network', 'default_unix', 'service'] as const
export const listingNames = ['system_service', 'no_network', 'basic'] as const
export type SeccompName = (typeof refusingNames)[number] | (typeof listingNames)[number]
export const seccompNames: readonly SeccompName[] = [...refusingNames, ...listingNames]

const broker = planForBroker({
  architecture: 'x86_64',
  mounts: [
    { source: usr.path, target: usr.path, writable: false, executable: true },
    {
      source: cleanPath('/srv/belladonna/src'),
      target: cleanPath('/belladonna/src'),
      writable: false,
      executable: false,
    },
    {
      source: cleanPath('/var/lib/belladonna/log'),
      target: cleanPath('/var/lib/belladonna/log'),
      writable: true,
      executable: false,
    },
  ],
  links,
})

export function planVectors(): unknown {
  const plans: readonly (readonly [string, Plan])[] = [
    ['plain', planForProfile(plainProfile, { architecture: 'x86_64' })],
    ['rich', planForProfile(richProfile, { architecture: 'x86_64' })],
    ['roots', planForProfile(plainProfile, { architecture: 'x86_64', roots })],
    ['broker', broker],
    ['executor', planForExecutor({ architecture: 'aarch64' })],
    ['capped', planForProfile(cappedProfile, { architecture: 'x86_64' })],
  ]
  return plans.map(([name, plan]) => ({ name, plan: shown(plan), bytes: hex(formatPlan(plan)) }))
}

export function commandVectors(): unknown {
  const [uid, gid, group] = [1000, 1001, 4]
  assert.ok(isUid(uid) && isGid(gid) && isGid(group))
  const command: Command = {
    uid,
    gid,
    groups: [group],
    executable: cleanPath('/usr/bin/systemctl'),
    stamp: {
      device: 65_024n,
      inode: 1_234_567n,
      size: 1_119_896n,
      mtimeNs: 1_700_000_000_123_456_789n,
      ctimeNs: 1_700_000_000_223_456_789n,
    },
    cwd: cleanPath('/'),
    argv: ['/usr/bin/systemctl', 'restart', 'näme with space.service', ''],
    env: ['LANG=C.UTF-8'],
    binds: [],
  }
  const script: Command = {
    ...command,
    executable: cleanPath('/usr/bin/dash'),
    argv: ['/bin/sh', '/usr/local/sbin/backup'],
    binds: [
      {
        source: cleanPath('/usr/local/sbin/backup'),
        target: cleanPath('/usr/local/sbin/backup'),
        stamp: { ...command.stamp, inode: 7_654_321n, size: 120n },
        writable: false,
        executable: false,
        isLive: false,
        isSingle: false,
        access: 0n,
      },
    ],
  }
  const path: Command = {
    ...command,
    argv: ['/usr/bin/systemctl', '/var/log/app/2026/a.log'],
    binds: [
      bindForPath(
        {
          path: cleanPath('/var/log/app/2026/a.log'),
          what: 'file',
          access: 'write',
          parameter: 'p',
          hard_links: false,
          content: 'live',
        },
        { device: 65_024n, inode: 42n },
      ),
    ],
  }
  return Object.entries({ systemctl: command, script, path }).map(([name, value]) => {
    return { name, command: snakeCased(value), bytes: hex(formatCommand(value)) }
  })
}

export function seccompVectors(): unknown {
  return (['x86_64', 'aarch64'] as const).flatMap((architecture) =>
    seccompNames.map((policy) => {
      const program = compileSeccomp(architecture, seccompPolicies[policy])
      const instructions = instructionsOf(program)
      return { architecture, policy, instructions }
    }),
  )
}

export function landlockVectors(): unknown {
  const facts = { devices: new Map(), unixSockets: false }
  const any = { connect: null, bind: null }
  const rich = planForProfile(richProfile, { architecture: 'x86_64' }).mounts
  const cases = [
    ['plain', landlockFor(planForProfile(plainProfile, { architecture: 'x86_64' }).mounts, { ...facts, tcp: any })],
    ['rich', landlockFor(rich, { ...facts, unixSockets: true, tcp: { connect: [443, 8443], bind: [0] } })],
    ['broker', landlockFor(broker.mounts, { ...facts, tcp: any })],
    ['ports alone', landlockFor([], { ...facts, tcp: { connect: [], bind: [8080] } })],
  ] as const
  return cases.map(([name, landlock]) => {
    const writer = newByteWriter('landlock')
    writeLandlock(writer, landlock)
    return { name, landlock: snakeCased(landlock), bytes: hex(writer.bytes()) }
  })
}

/** A vector file below spec/vectors. */
export function vectorFile(name: string): URL {
  return new URL(`../../spec/vectors/${name}`, import.meta.url)
}

export function readVectors(name: string): unknown {
  return JSON.parse(readFileSync(vectorFile(name), 'utf8'))
}

/** The seccomp program of a plan has vectors of its own; here is only how long it is. */
function shown(plan: Plan): unknown {
  const { seccomp, ...rest } = plan
  return snakeCased({ ...rest, seccompInstructions: seccomp.length / 8 })
}

function instructionsOf(program: Uint8Array): readonly string[] {
  return Array.from({ length: program.length / 8 }, (_, index) =>
    hex(program.subarray(index * 8, index * 8 + 8)),
  )
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** As JSON: members in snake case, and what does not fit a double as decimal text. */
function snakeCased(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (Array.isArray(value)) return value.map(snakeCased)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeCased(member),
    ]),
  )
}

if (import.meta.main) {
  const files = [
    ['plan.json', planVectors()],
    ['plan-command.json', commandVectors()],
    ['seccomp.json', seccompVectors()],
    ['landlock.json', landlockVectors()],
  ] as const
  for (const [name, vectors] of files) {
    writeFileSync(vectorFile(name), `${JSON.stringify(vectors, null, 2)}\n`)
  }
}
