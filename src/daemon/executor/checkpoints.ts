import { BelladonnaError } from '../../core/error.ts'
import { signCheckpoint } from '../../core/audit/checkpoint.ts'
import type { Checkpoint } from '../../core/audit/checkpoint.ts'
import type { Sign } from '../../core/audit/ed25519.ts'
import { emptyRoot } from '../../core/audit/merkle.ts'
import { verifyConsistency } from '../../core/audit/merkle-proof.ts'
import type { ReceiptHead } from '../../core/audit/receipt.ts'
import type { VerifierKey } from '../../core/audit/signed-note.ts'
import { parseHex } from '../../core/json/hex.ts'
import { parseSignRequest } from '../../core/protocol/peer-frames.ts'

/** The tree that was signed last; size 0 before the first. */
export type SignedTree = Readonly<{ size: number; root: Uint8Array }>

export const nothingSigned: SignedTree = { size: 0, root: emptyRoot }

export type CheckpointHost = Readonly<{
  key: VerifierKey
  sign: Sign
  receiptHead: () => ReceiptHead
  /** Resolves once the note is durable in the executor's own state. */
  keep: (note: string) => Promise<void>
}>

/**
 * Signs the log's tree, as its first witness: only a tree that the last signed one is a prefix of, one request at a time,
 * and only after the note is durable here. A broker that rewrites, forks or shortens what was signed gets no signature.
 *
 * @throws {BelladonnaError} `frame_invalid` on a second request in flight, `log_corrupt` on a tree that did not grow
 */
export function createSigner(
  host: CheckpointHost,
  first: SignedTree,
): (body: Uint8Array) => Promise<string> {
  let last = first
  let busy = false
  return async (body) => {
    if (busy) throw new BelladonnaError('frame_invalid', 'out of turn: a second sign request')
    busy = true
    const request = parseSignRequest(body)
    const claim = {
      olderSize: last.size,
      newerSize: request.treeSize,
      olderRoot: last.root,
      newerRoot: request.root,
    }
    if (request.previousSize !== last.size || !verifyConsistency(claim, request.consistency)) {
      throw new BelladonnaError(
        'log_corrupt',
        `a tree of ${request.treeSize} entries does not grow out of the signed ${last.size}`,
      )
    }
    const note = signCheckpoint(
      checkpointOf(host, request.treeSize, request.root),
      host.key,
      host.sign,
    )
    await host.keep(note)
    last = { size: request.treeSize, root: request.root }
    busy = false
    return note
  }
}

function checkpointOf(host: CheckpointHost, size: number, root: Uint8Array): Checkpoint {
  const head = host.receiptHead()
  return {
    origin: host.key.name,
    size,
    root,
    receipts: { count: head.count, head: parseHex(head.hash) },
  }
}
