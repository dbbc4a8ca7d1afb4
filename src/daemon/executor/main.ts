/**
 * The executor. Root's side of the conversation: decides again, writes receipts, opens gates, signs checkpoints.
 *
 * It reads flat frames, the text of cgroups, first lines of scripts, the installed policy, and its own state; it parses no
 * JSON that others wrote.
 */
import { originOf } from '../../core/audit/checkpoint.ts'
import { noReceipts, followReceipt } from '../../core/audit/receipt.ts'
import { formatVerifierKey, makeVerifierKey } from '../../core/audit/signed-note.ts'
import { parseDaemonSettings } from '../../core/configuration/daemon-settings.ts'
import { BelladonnaError } from '../../core/error.ts'
import { parseHex } from '../../core/json/hex.ts'
import type { CompiledPolicy } from '../../core/policy/compiled.ts'
import { formatFrame } from '../../core/protocol/frame.ts'
import type { Frame } from '../../core/protocol/frame.ts'
import { formatIdentity } from '../../core/protocol/identity-frame.ts'
import { formatExecutorReady, formatKept, parseHello } from '../../core/protocol/launcher-frames.ts'
import { wireKind } from '../../core/protocol/layout.ts'
import { capabilityMask } from '../../core/sandbox/capabilities.ts'
import { openAppendFile } from '../../host/append-file.ts'
import { openBusDirectories } from '../../host/bus-directory.ts'
import { openChannel } from '../../host/channel.ts'
import { openMeasure } from '../../host/executable.ts'
import { loadCommitmentKey } from '../../host/commitment-key.ts'
import { openCopies } from '../../host/executable-copy.ts'
import { openGrantedPaths } from '../../host/granted-path.ts'
import { openInputCopies } from '../../host/input-copy.ts'
import { keepPublicKey, loadHostKey } from '../../host/host-key.ts'
import { bridgePaths } from '../../host/layout.ts'
import { ownUid } from '../../host/own-uid.ts'
import { openInstalledPolicy, tryInstalledPolicy } from '../../host/policy-store.ts'
import { settleHeap } from '../../host/settled-heap.ts'
import { endService, inherited } from '../../host/inherited.ts'
import { createSigner } from './checkpoints.ts'
import { createExecutor } from './executor.ts'
import type { Executor } from './executor.ts'
import { rememberCommands, rememberPlans } from './remember.ts'
import { keepSignedTree, loadSignedTree } from './signed-tree.ts'
import { openUsedGrants } from './used-grants.ts'

const end = (why: unknown): never => endService('belladonna-executor', why)

/** The word between root and settings is the mode: it is for the broker, which tells it in its status. */
function main([root = '', , words = '']: readonly string[]): void {
  const settings = parseDaemonSettings(words)
  const paths = bridgePaths(root)
  const uid = ownUid()
  const key = loadHostKey(paths.state, uid)
  const verifierKey = makeVerifierKey(originOf(key.hostId), key.publicKey)
  keepPublicKey(paths.state, uid, formatVerifierKey(verifierKey))
  const policy = openInstalledPolicy(paths.policy)
  // Follows the chain of our own receipts to its end; a break in it stops the start.
  let head = noReceipts
  const receipts = openAppendFile(`${paths.receipts}/receipts.wal`, {
    purpose: 'receipts',
    stepBytes: settings.spaceAheadBytes,
    mode: 0o640, // the broker reads them at its start; the directory is its group's
    onRecord: (record) => {
      head = followReceipt(head, record).head
    },
  })
  const signed = loadSignedTree(paths.state, uid, verifierKey)
  const copyExecutable = openCopies(paths.copies)
  const copyInput = openInputCopies(paths.copies)

  const executor = createExecutor(
    {
      hostId: key.hostId,
      toLauncher: (frame) => launcher.send(frame),
      toBroker: (frame) => broker.send(frame),
      nowMs: Date.now,
      measure: openMeasure(uid, copyExecutable),
      openPaths: (named, users) => openGrantedPaths(copyInput, named, users),
      makeBus: openBusDirectories(paths.buses),
      planOf: rememberPlans(),
      commandOf: rememberCommands(),
      appendReceipts: (records) => receipts.append(records),
      isShort: () => receipts.isShort(),
      loadPolicy: () => tryInstalledPolicy(paths.policy),
      adopted: (next) => launcher.send(formatKept(keptBy(next.policy))),
      sign: key.sign,
      commitmentKey: loadCommitmentKey(paths.state, uid),
      usedGrants: openUsedGrants(paths.state, uid, head.count > 0),
      settings,
    },
    policy,
    head,
  )
  const signTree = createSigner(
    {
      key: verifierKey,
      sign: key.sign,
      receiptHead: executor.receiptHead,
      keep: async (note) => await keepSignedTree(paths.state, note),
    },
    signed,
  )
  const broker = openChannel(inherited.peer, {
    frame: (frame) => {
      if (frame.kind !== wireKind.sign) executor.fromBroker(frame)
      else signTree(frame.body.slice()).then(sendSigned, end)
    },
    batchEnd: executor.batchEnd,
    closed: end,
  })
  const sendSigned = (note: string): void => {
    broker.send(formatFrame(wireKind.signed, new TextEncoder().encode(note)))
  }
  const greet = (): void => {
    settleHeap()
    broker.send(
      formatIdentity({
        publicKey: key.publicKey,
        policyDigest: parseHex(policy.digest),
        receiptCount: head.count,
        receiptHead: parseHex(head.hash),
        signedSize: signed.size,
        signedRoot: signed.root,
      }),
    )
    launcher.send(formatExecutorReady(keptBy(policy.policy)))
  }
  const launcher = openChannel(inherited.launcher, {
    frame: greetFirst(greet, executor),
    batchEnd: executor.batchEnd,
    closed: end,
  })
}

/** What any profile keeps: bit n for capability n. */
function keptBy({ profiles }: CompiledPolicy): bigint {
  return capabilityMask(profiles.flatMap(({ caps }) => caps.map(({ number }) => number)))
}

/** The launcher's first frame is HELLO, and only that one. */
function greetFirst(greet: () => void, executor: Executor): (frame: Frame) => void {
  let greeted = false
  return (frame) => {
    if (greeted) {
      executor.fromLauncher(frame)
      return
    }
    if (frame.kind !== wireKind.hello) throw new BelladonnaError('frame_invalid', 'no hello')
    parseHello(frame.body)
    greeted = true
    greet()
  }
}

process.on('SIGTERM', () => process.exit(0))
try {
  main(process.argv.slice(2))
} catch (error) {
  end(error)
}
