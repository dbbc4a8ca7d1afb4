/**
 * The broker, belladonnad: decides first, records, explains. It has no privilege, no key, and cannot start a process.
 */
import { release } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { originOf, verifyCheckpoint } from '../../core/audit/checkpoint.ts'
import type { EntryCommon } from '../../core/audit/entry.ts'
import { formatHex, sha256 } from '../../core/audit/merkle.ts'
import { makeVerifierKey } from '../../core/audit/signed-note.ts'
import { parseDaemonSettings } from '../../core/configuration/daemon-settings.ts'
import type { DaemonSettings } from '../../core/configuration/daemon-settings.ts'
import { BelladonnaError } from '../../core/error.ts'
import { formatFrame } from '../../core/protocol/frame.ts'
import type { Frame } from '../../core/protocol/frame.ts'
import { parseIdentity } from '../../core/protocol/identity-frame.ts'
import type { CompiledProfile } from '../../core/policy/compiled.ts'
import type { ExecutorIdentity } from '../../core/protocol/identity-frame.ts'
import { parseHello } from '../../core/protocol/launcher-frames.ts'
import type { Hello } from '../../core/protocol/launcher-frames.ts'
import { wireKind } from '../../core/protocol/layout.ts'
import { formatFeatures } from '../../core/sandbox/features.ts'
import { version } from '../../core/version.ts'
import { openChannel } from '../../host/channel.ts'
import type { Channel } from '../../host/channel.ts'
import { openDiskRoom } from '../../host/disk-room.ts'
import { replaceFileOnceItFits } from '../../host/durable-file.ts'
import { openInstalledPolicy, tryInstalledPolicy } from '../../host/policy-store.ts'
import { randomBytes } from '../../host/random.ts'
import { openRecordings } from '../../host/recordings.ts'
import type { Recordings } from '../../host/recordings.ts'
import { readRecords } from '../../host/read-log.ts'
import { settleHeap } from '../../host/settled-heap.ts'
import { endService, inherited } from '../../host/inherited.ts'
import { createBroker } from './broker.ts'
import type { Broker, BrokerHost } from './broker.ts'
import { openDescription } from './described-policy.ts'
import type { LogWriter } from './log-writer.ts'
import { openLog } from './open-log.ts'
import { serveStatus } from './status-server.ts'

const end = (why: unknown): never => endService('belladonnad', why)

type Directories = Readonly<{ log: string; policy: string; receipts: string; recordings: string }>
type Links = Readonly<{ launcher: Channel; executor: Channel }>
/** What there is once both HELLO and IDENTITY have come. */
type Bridge = Readonly<{
  broker: Broker
  writer: LogWriter
  signed: (note: string) => void
  stop: () => void
}>

function openBridge(
  directories: Directories,
  mode: string,
  settings: DaemonSettings,
  links: Links,
  hello: Hello,
  identity: ExecutorIdentity,
  batchEnd: () => void,
): Bridge {
  const policy = openInstalledPolicy(directories.policy)
  if (policy.digest !== formatHex(identity.policyDigest)) {
    throw new BelladonnaError('policy_invalid', 'the executor has another policy in force')
  }
  const hostId = formatHex(sha256(identity.publicKey))
  const features = formatFeatures(hello.features)
  const versions = { belladonna: version, node: process.versions.node, kernel: release() }
  const receipts = readRecords(`${directories.receipts}/receipts.wal`, 'receipts')
  const recordings = openRecordings(directories.recordings)
  const { writer, isShort } = openLog(
    `${directories.log}/entries.wal`,
    receipts,
    identity,
    { hostId, features, versions },
    commonOf,
    settings.spaceAheadBytes,
    (name) => recordings.left(name),
  )
  const settling = openSettling(recordings, batchEnd)
  const broker = createBroker(
    {
      hostId,
      recordWithinMs: settings.recordWithinMs,
      toLauncher: links.launcher.send,
      toExecutor: links.executor.send,
      nowMs: Date.now,
      record: writer.record,
      isShort,
      isTight: openDiskRoom(directories.log, () => performance.now()),
      loadPolicy: () => tryInstalledPolicy(directories.policy),
      recordQuietly: writer.recordQuietly,
      settleRecording: settling.settle,
    },
    policy,
  )
  const key = makeVerifierKey(originOf(hostId), identity.publicKey)
  const started = Date.now()
  const describe = openDescription(hello.features)
  describe(policy) // before anybody asks
  const server = serveStatus(inherited.bridgeListener, settings.statusClients, () => {
    const { digest, segments, actions, escapable, profiles } = describe(broker.policy.inForce())
    const reloads = broker.policy.report()
    return {
      version,
      mode,
      host: hostId,
      policy: { digest, segments, trust: 'unsigned', actions, escapable, reloads },
      started_ms: started,
      entries: writer.size(),
      pending: broker.pending(),
      counts: { ...broker.counts },
      features,
      profiles,
      limits: limitsOf(mode, broker.policy.inForce().policy.profiles, features),
    }
  })
  const signing = keepSigned(writer, links.executor, settings.signEveryMs, async (note) => {
    const { size } = verifyCheckpoint(note, key)
    await replaceFileOnceItFits(
      directories.log,
      'checkpoint',
      new TextEncoder().encode(note),
      0o644,
    )
    return size
  })
  return {
    broker,
    writer,
    signed: signing.signed,
    stop: () => {
      server.close()
      settling.finish(() => {
        writer.record({ kind: 'stop', reason: 'requested' }, () => undefined)
        writer.commit()
        signing.finish(() => process.exit(0))
      })
    },
  }
}

function commonOf(): EntryCommon {
  return { salt: formatHex(randomBytes(16)), timeMs: Date.now(), policy: 'unsigned' }
}

/** What does not hold in this mode (DESIGN.md promise 8): said, not implied. */
function limitsOf(
  mode: string,
  profiles: readonly CompiledProfile[],
  features: readonly string[],
): readonly string[] {
  const always = [
    ...profiles.flatMap(({ name, escapable, proxy }) => [
      ...(escapable ? [`profile ${name} is escapable: its runs reach servers that obey root`] : []),
      ...(proxy === null ? [] : [`profile ${name}: calls by D-Bus are held without arguments`]),
    ]),
    'no observation: this version has no probe',
    ...(features.includes('peer_pidfd')
      ? []
      : ['unit: grants match nobody: this kernel names no peer by a descriptor (Linux 6.5)']),
    'once holds only without a restored snapshot: no TPM counter, no witness',
  ]
  if (mode === 'privileged') return always
  return [...always, 'unprivileged: promises 4 and 5 do not hold, all processes share one uid']
}

/** How long a bridge that stops waits for what was recorded. Then the next start says what there is. */
const settleWithinMs = 1000

/** Recordings on their way to the disk. `batchEnd` is called after each. */
function openSettling(
  recordings: Recordings,
  batchEnd: () => void,
): Readonly<{ settle: BrokerHost['settleRecording']; finish: (done: () => void) => void }> {
  const pending = new Set<Promise<void>>()
  return {
    settle: (name, told, done) => {
      const settled = recordings.settle(name, told).then((found) => {
        pending.delete(settled)
        done(found)
        batchEnd()
      })
      pending.add(settled)
      settled.catch(end)
    },
    finish: (done) => {
      if (pending.size === 0) done()
      else void Promise.race([Promise.all(pending), sleep(settleWithinMs)]).then(done, end)
    },
  }
}

/** Asks for a signature every `everyMs` while there is something to sign, one at a time. */
function keepSigned(
  writer: LogWriter,
  executor: Channel,
  everyMs: number,
  keep: (note: string) => Promise<number>,
): Readonly<{ signed: (note: string) => void; finish: (done: () => void) => void }> {
  let done: (() => void) | null = null
  const ask = (): void => {
    const frame = writer.askSignature()
    if (frame !== null) executor.send(frame)
    else if (done !== null && !writer.isAsking()) done()
  }
  setInterval(ask, everyMs)
  return {
    signed: (note) => {
      keep(note).then((size) => {
        writer.signed(size)
        if (done !== null) ask()
      }, end)
    },
    finish: (callback) => {
      done = callback
      ask()
    },
  }
}

/**
 * Commits within `delayMs`, unless a group that somebody waits for takes the entries along before. A crash in between leaves
 * the run `unknown`, as one just before the outcome would have.
 */
function committer(delayMs: number): (writer: LogWriter) => void {
  let timer: NodeJS.Timeout | null = null
  return (writer) => {
    timer ??= setTimeout(() => {
      timer = null
      try {
        writer.commit()
      } catch (error) {
        end(error)
      }
    }, delayMs)
  }
}

function main([
  log = '',
  policy = '',
  receipts = '',
  recordings = '',
  mode = '',
  words = '',
]: readonly string[]): void {
  const settings = parseDaemonSettings(words)
  let hello: Hello | null = null
  let identity: ExecutorIdentity | null = null
  let bridge: Bridge | null = null
  const commitLater = committer(settings.outcomeDelayMs)
  const meet = (): void => {
    if (hello === null || identity === null) return
    const links = { launcher, executor }
    const directories = { log, policy, receipts, recordings }
    bridge = openBridge(directories, mode, settings, links, hello, identity, batchEnd)
    settleHeap()
    launcher.send(formatFrame(wireKind.brokerReady))
  }
  const fromLauncher = (frame: Frame): void => {
    if (bridge !== null) bridge.broker.fromLauncher(frame)
    else if (frame.kind === wireKind.hello && hello === null) {
      hello = parseHello(frame.body)
      meet()
    } else throw new BelladonnaError('frame_invalid', 'the launcher is out of turn')
  }
  const fromExecutor = (frame: Frame): void => {
    if (bridge !== null && frame.kind === wireKind.signed) {
      bridge.signed(new TextDecoder().decode(frame.body))
    } else if (bridge !== null) bridge.broker.fromExecutor(frame)
    else if (frame.kind === wireKind.identity && identity === null) {
      identity = parseIdentity(frame.body)
      meet()
    } else throw new BelladonnaError('frame_invalid', 'the executor is out of turn')
  }
  const batchEnd = (): void => {
    if (bridge?.writer.group() === 'awaited') bridge.writer.commit()
    else if (bridge?.writer.group() === 'quiet') commitLater(bridge.writer)
  }
  const launcher = openChannel(inherited.launcher, { frame: fromLauncher, batchEnd, closed: end })
  const executor = openChannel(inherited.peer, { frame: fromExecutor, batchEnd, closed: end })
  process.on('SIGTERM', () => {
    if (bridge === null) process.exit(0)
    bridge.stop()
  })
}

try {
  main(process.argv.slice(2))
} catch (error) {
  end(error)
}
