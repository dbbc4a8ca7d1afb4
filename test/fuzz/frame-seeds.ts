/** A frame of each kind that services read, right, and some that are nearly so. */
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { formatIdentity } from '../../src/core/protocol/identity-frame.ts'
import { noInputs } from '../../src/core/protocol/input-frames.ts'
import { wireKind, wireLayout, wireVersion } from '../../src/core/protocol/layout.ts'
import * as peer from '../../src/core/protocol/peer-frames.ts'
import { formatAdopt, formatLoaded } from '../../src/core/protocol/reload-frames.ts'

const hash = (value: number): Uint8Array => new Uint8Array(32).fill(value)

export function frameSeeds(): readonly Uint8Array[] {
  return [...peerFrames(), ...launcherFrames()]
}

function peerFrames(): readonly Uint8Array[] {
  const resolved = {
    ...{ run: 7, timeMs: 1_800_000_000_000, notAfterMs: 1_800_000_030_000 },
    ...{ executableSha256: hash(2), actionDigest: hash(3), interpreterSha256: hash(4) },
    proxySha256: hash(8),
  }
  const files = [
    { device: 2n ** 64n - 1n, inode: 2n ** 63n, content: null },
    { device: 1n, inode: 0n, content: { sha256: '08'.repeat(32), size: 0 } },
  ]
  const stdin = { sha256: '05'.repeat(32), size: 2 ** 20 }
  const secrets = { token: '06'.repeat(32), key: '07'.repeat(32) }
  const declined = { run: 9, code: 'path_refused', parameter: 'file', enough: null, detail: 'é' }
  const tree = { treeSize: 9, previousSize: 5, root: hash(6) }
  const told = peer.formatDeclined({ ...declined, isTold: true })
  const bound = peer.formatResolved({ ...resolved, bound: { files: [], stdin: null, secrets } })
  const twice = Buffer.from(bound).toString('latin1').replace('\x03\0key', '\x05\0token')
  return [
    told.with(-1, 2),
    Buffer.from(twice, 'latin1'),
    peer.formatResolved({ ...resolved, bound: noInputs }),
    peer.formatResolved({ ...resolved, bound: { files: [], stdin, secrets } }),
    peer.formatResolved({ ...resolved, bound: { files, stdin: null, secrets: {} } }),
    peer.formatDeclined({ ...declined, isTold: true }),
    peer.formatDeclined({ ...declined, parameter: null, isTold: false }),
    peer.formatReceiptFrame(1, Buffer.from('{"action_digest":""}')),
    peer.formatIntent({ run: 1, actionDigest: hash(9) }),
    peer.formatRecorded({ run: 1, entry: 2 ** 33 }),
    peer.formatDropped(3),
    peer.formatSignRequest({ ...tree, consistency: [hash(1), hash(2)] }),
    peer.formatSignRequest({ ...tree, previousSize: 0, consistency: [] }),
    formatIdentity({
      ...{ publicKey: hash(1), policyDigest: hash(2), receiptCount: 3, receiptHead: hash(4) },
      ...{ signedSize: 5, signedRoot: hash(6) },
    }),
    formatLoaded({ kind: 'policy', digest: hash(1) }),
    formatLoaded({ kind: 'unusable', why: 'policy.json: not there' }),
    formatAdopt(hash(1)),
  ]
}

function launcherFrames(): readonly Uint8Array[] {
  const numbers = (size: number, ...at: readonly (readonly [number, number])[]): Buffer => {
    const body = Buffer.alloc(size)
    for (const [offset, value] of at) body.writeUInt32LE(value, offset)
    return body
  }
  const { hello, submit, exited, bytes, output } = wireLayout
  const cgroups = Buffer.from('0::/system.slice/web.service\n')
  const subject = numbers(
    submit.size,
    ...([
      [submit.offsets.run, 5],
      [submit.offsets.uid, 1000],
      [submit.offsets.gid, 1000],
      [submit.offsets.groupCount, 2],
      [submit.offsets.cgroupsSize, cgroups.length],
    ] as const),
  )
  const groups = numbers(8, [0, 27], [4, 4])
  const word = numbers(output.size, [0, wireVersion], [8, 900], [16, 800])
  const words = numbers(output.size, [0, wireVersion], [8, 900], [16, 800], [56, 900], [64, 800])
  const end = numbers(exited.size, [exited.offsets.run, 5], [exited.offsets.kind, 1])
  const part = numbers(bytes.size, [bytes.offsets.run, 5], [bytes.offsets.size, 7])
  return [
    formatFrame(wireKind.hello, numbers(hello.size, [0, wireVersion], [4, 0xffff])),
    formatFrame(wireKind.submit, subject, groups, cgroups, Buffer.from('request')),
    formatFrame(wireKind.exited, end),
    formatFrame(wireKind.exited, end, word),
    formatFrame(wireKind.exited, word),
    formatFrame(wireKind.exited, words),
    formatFrame(wireKind.bytes, part, Buffer.from('hunter2')),
    formatFrame(wireKind.reload),
  ]
}
