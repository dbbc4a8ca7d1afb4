import { lstatSync, readlinkSync, statSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { isCleanPath, isGid, isUid } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'
import type { PathLink } from '../core/policy/profile-source.ts'
import { defaultConfiguration } from '../core/configuration/configuration.ts'
import type { Configuration } from '../core/configuration/configuration.ts'
import { formatDaemonSettings } from '../core/configuration/daemon-settings.ts'
import { formatBoot } from '../core/protocol/boot.ts'
import type { BootService } from '../core/protocol/boot.ts'
import { noSupervisor } from '../core/protocol/supervisor.ts'
import type { Supervisor } from '../core/protocol/supervisor.ts'
import { formatCommand } from '../core/sandbox/command.ts'
import {
  planForBroker,
  planForExecutor,
  planForRecorder,
  planForRelay,
} from '../core/sandbox/plan-for-service.ts'
import type { ServiceMount } from '../core/sandbox/plan-for-service.ts'
import { formatPlan } from '../core/sandbox/plan.ts'
import type { Plan } from '../core/sandbox/plan.ts'
import { brokerIdentity, relayIdentity } from './broker-identity.ts'
import { cgroupsBelow, newCgroupPaths, ownCgroups, removeLeftCgroups } from './cgroup.ts'
import { findCheckout } from './checkout.ts'
import type { Checkout } from './checkout.ts'
import { holdDirectory } from './directory.ts'
import type { Owner } from './directory.ts'
import { replaceFile } from './durable-file.ts'
import { stampOf } from './file-stamp.ts'
import { checkStateMachine } from './host-key.ts'
import { bridgePaths } from './layout.ts'
import { ownUid } from './own-uid.ts'
import { readRecords } from './read-log.ts'
import { systemPlaces } from './reserved-id.ts'
import { openUsedGrantsFile } from './used-grants-file.ts'
import type { BridgePaths } from './layout.ts'

/** What a bridge is started with. What is optional is for tests: other programs in their place, coverage of both services. */
export type BridgeOptions = Readonly<{
  /** `--root`, or the empty string. */
  root: string
  /** Everything runs with the caller's own ids; promises 4 and 5 do not hold. */
  unprivileged: boolean
  configuration?: Configuration
  supervisor?: Supervisor
  brokerProgram?: CleanPath
  executorProgram?: CleanPath
  environment?: readonly string[]
  brokerEnvironment?: readonly string[]
  brokerMounts?: readonly ServiceMount[]
}>

/** A prepared bridge: `launcher bootFile` starts it. */
export type PreparedBridge = Readonly<{ paths: BridgePaths; launcher: string; bootFile: string }>

const codeRoot = '/belladonna'

/**
 * Makes the bridge's directories and writes the boot file.
 *
 * @throws {BelladonnaError} `path_unsafe` when somebody else could write in the way, `start_failed`, `state_invalid` on another machine than
 *   the one that the state was made on
 */
export function prepareBridge(options: BridgeOptions): PreparedBridge {
  const uid = ownUid()
  const own = { uid, gid: process.getegid?.() ?? 0 }
  const configuration = options.configuration ?? defaultConfiguration
  const { brokerUser, cgroupParent, perUser } = configuration
  const broker = options.unprivileged ? own : brokerIdentity(systemPlaces, brokerUser)
  const paths = bridgePaths(options.root)
  const relay = options.unprivileged ? own : relayIdentity(broker)
  holdDirectories(options.root, paths, { own, broker, relay })
  checkState(paths, uid)
  const checkout = findCheckout()
  const cgroups = cgroupParent === null ? ownCgroups() : cgroupsBelow(cgroupParent)
  removeLeftCgroups(cgroups, paths.run)
  const boot = formatBoot({
    runSocket: paths.runSocket,
    bridgeSocket: paths.bridgeSocket,
    perUser,
    supervisor: options.supervisor ?? noSupervisor,
    isInside: cgroupParent === null,
    cgroups: newCgroupPaths(cgroups, paths.run),
    executor: executorService(options, checkout, own),
    broker: brokerService(options, checkout, paths, broker),
    relay: relayService(options, checkout, relay),
    recorder: recorderService(options, checkout, paths, relay),
  })
  replaceFile(paths.run, 'boot', boot, 0o600)
  return { paths, launcher: checkout.launcher, bootFile: paths.bootFile }
}

/** What the executor would end for, again and again. */
function checkState({ state, receipts }: BridgePaths, uid: number): void {
  checkStateMachine(state, uid)
  if (hasRecord(`${receipts}/receipts.wal`)) openUsedGrantsFile(state, uid, true)
}

function hasRecord(path: string): boolean {
  try {
    const [first] = readRecords(path, 'receipts')
    return first !== undefined
  } catch {
    return false // what a crash left of it, or worse, is the executor's to judge
  }
}

type Owners = Readonly<{ own: Owner; broker: Owner; relay: Owner }>

function holdDirectories(root: string, paths: BridgePaths, { own, broker, relay }: Owners): void {
  const make = (path: string, mode: number, owner: Owner = own): void => {
    holdDirectory(path, mode, owner, own.uid)
  }
  if (root !== '') {
    for (const part of ['/etc', '/var', '/var/lib', '/run']) make(root + part, 0o755)
  }
  make(paths.etc, 0o755)
  make(paths.lib, 0o755)
  make(paths.log, 0o700, broker)
  make(paths.policy, 0o755)
  // Set-group-id: what the executor makes in there has the broker's group, which may read it.
  make(paths.receipts, 0o2750, { uid: own.uid, gid: broker.gid })
  // What is recorded is a relay's to write and the broker's to read: neither can change, replace or remove what is there.
  make(paths.recordings, 0o2750, { uid: relay.uid, gid: broker.gid })
  make(paths.state, 0o700)
  make(paths.copies, 0o700)
  make(paths.run, 0o755)
  make(paths.buses, 0o700)
}

function executorService(options: BridgeOptions, checkout: Checkout, own: Owner): BootService {
  const program = options.executorProgram ?? `${checkout.source}/daemon/executor/main.ts`
  const flags = nodeFlags(checkout, checkout.stripped?.directory)
  const argv = [checkout.node, ...flags, program, options.root, ...wordsOf(options)]
  const plan = planForExecutor({ architecture: architecture() })
  return service(
    options.unprivileged ? withoutWalls(plan) : plan,
    own,
    checkout.node,
    checkout.node,
    argv,
    [`LD_PRELOAD=${checkout.preload}`, ...(options.environment ?? [])],
  )
}

function brokerService(
  options: BridgeOptions,
  checkout: Checkout,
  paths: BridgePaths,
  owner: Owner,
): BootService {
  const { unprivileged } = options
  const at = (real: string, inside: string): string => (unprivileged ? real : codeRoot + inside)
  const node = cleanPath(at(checkout.node, '/node'))
  const argv = [
    ...[
      node,
      ...nodeFlags(checkout, at(checkout.stripped?.directory ?? '', '/stripped')),
      options.brokerProgram ??
        at(`${checkout.source}/daemon/broker/main.ts`, '/src/daemon/broker/main.ts'),
    ],
    ...[at(paths.log, '/log'), at(paths.policy, '/policy'), at(paths.receipts, '/receipts')],
    at(paths.recordings, '/recordings'),
    ...wordsOf(options),
  ]
  const full = planForBroker({
    architecture: architecture(),
    mounts: [...brokerMounts(checkout, paths), ...(options.brokerMounts ?? [])],
    links: hostLinks(),
  })
  return service(unprivileged ? withoutWalls(full) : full, owner, node, checkout.node, argv, [
    `LD_PRELOAD=${at(checkout.preload, '/undumpable.so')}`,
    ...(options.brokerEnvironment ?? []),
  ])
}

/** Node's flags of a service; `stripped` is where it sees the stripped sources. */
function nodeFlags(checkout: Checkout, stripped = ''): readonly string[] {
  const quiet = '--disable-warning=ExperimentalWarning'
  if (checkout.stripped === null) return [quiet]
  return [quiet, '--import', `${stripped}/${checkout.stripped.loaderName}`]
}

function relayService(options: BridgeOptions, { relay }: Checkout, owner: Owner): BootService {
  const plan = planForRelay(architecture(), relay)
  const own = options.unprivileged ? withoutWalls(plan) : plan
  return service(own, owner, relay, relay, ['belladonna-relay'], [])
}

function recorderService(
  options: BridgeOptions,
  { relay }: Checkout,
  { recordings }: BridgePaths,
  owner: Owner,
): BootService {
  const directory = cleanPath(recordings)
  const plan = planForRecorder(architecture(), relay, directory)
  const own = options.unprivileged ? withoutWalls(plan) : plan
  return service(own, owner, relay, relay, ['belladonna-relay'], [], directory)
}

/** The broker's whole world: libraries, Node, our code, its log, and what it may read of root's. */
function brokerMounts(checkout: Checkout, paths: BridgePaths): readonly ServiceMount[] {
  const mount = (
    source: string,
    inside: string,
    rights: 'read' | 'run' | 'write',
  ): ServiceMount => ({
    source: cleanPath(source),
    target: cleanPath(inside),
    writable: rights === 'write',
    executable: rights === 'run',
  })
  return [
    mount('/usr', '/usr', 'run'),
    mount(checkout.node, `${codeRoot}/node`, 'run'),
    mount(checkout.preload, `${codeRoot}/undumpable.so`, 'run'),
    mount(checkout.source, `${codeRoot}/src`, 'read'),
    mount(checkout.manifest, `${codeRoot}/package.json`, 'read'),
    ...(checkout.stripped === null
      ? []
      : [mount(checkout.stripped.directory, `${codeRoot}/stripped`, 'read')]),
    mount(paths.log, `${codeRoot}/log`, 'write'),
    mount(paths.policy, `${codeRoot}/policy`, 'read'),
    mount(paths.receipts, `${codeRoot}/receipts`, 'read'),
    mount(paths.recordings, `${codeRoot}/recordings`, 'read'),
  ]
}

/** /bin, /lib and the like where they are links into /usr, as on every merged Debian. */
function hostLinks(): readonly PathLink[] {
  return ['/bin', '/lib', '/lib32', '/lib64', '/libx32', '/sbin'].flatMap((path) => {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    return stat?.isSymbolicLink() === true
      ? [{ path: cleanPath(path), text: readlinkSync(path) }]
      : []
  })
}

/** Without root nobody can be walled off from the caller; seccomp and no_new_privs stay. */
function withoutWalls(plan: Plan): Plan {
  return { ...plan, namespaces: 0, capabilities: 0n, mounts: [] }
}

function service(
  plan: Plan,
  owner: Owner,
  executable: CleanPath,
  realExecutable: string,
  argv: readonly string[],
  env: readonly string[],
  cwd: CleanPath = cleanPath('/'),
): BootService {
  const { uid, gid } = owner
  if (!isUid(uid) || !isGid(gid)) throw new BelladonnaError('start_failed', 'ids of a service')
  const stamp = stampOf(statSync(realExecutable, { bigint: true }))
  const command = formatCommand({
    uid,
    gid,
    groups: [],
    executable,
    stamp,
    cwd,
    binds: [],
    argv,
    env,
  })
  return { plan: formatPlan(plan), command }
}

/** What both services get as their last words. */
function wordsOf({ unprivileged, configuration }: BridgeOptions): readonly string[] {
  const settings = formatDaemonSettings(configuration ?? defaultConfiguration)
  return [unprivileged ? 'unprivileged' : 'privileged', settings]
}

/** The machine that seccomp programs are for. */
export function architecture(): 'x86_64' | 'aarch64' {
  if (process.arch === 'x64') return 'x86_64'
  if (process.arch === 'arm64') return 'aarch64'
  throw new BelladonnaError('host_unsupported', `no seccomp tables for ${process.arch}`)
}

function cleanPath(path: string): CleanPath {
  if (!isCleanPath(path)) throw new BelladonnaError('start_failed', `path ${JSON.stringify(path)}`)
  return path
}
