import { BelladonnaError } from '../../core/error.ts'
import { formatEntry } from '../../core/audit/entry-format.ts'
import type { Entry, EntryCommon } from '../../core/audit/entry.ts'
import { appendLeaf, leafHash, rootHash } from '../../core/audit/merkle.ts'
import type { TreeState } from '../../core/audit/merkle.ts'
import { growthProof } from '../../core/audit/merkle-proof.ts'
import { formatSignRequest } from '../../core/protocol/peer-frames.ts'
import type { NewEntry } from './entries.ts'

/** What the writer needs of the world. */
export type LogWriterHost = Readonly<{
  /** Returns once the records are on disk; throws `log_failed`, and then the process ends. */
  append: (records: readonly Uint8Array[]) => void
  /** Salt, time and trust of the next entry. */
  common: () => EntryCommon
}>

/** Where the log stood when the writer was opened. */
export type LogPosition = Readonly<{
  /** The tree that the executor signed last. */
  signed: TreeState
  /** Leaf hashes of the entries after that. */
  unsignedLeaves: readonly Uint8Array[]
}>

/** Gathers entries, commits them in groups, and keeps the tree. */
export type LogWriter = Readonly<{
  /** Adds an entry to the open group; `durable` is called by the `commit` that wrote it. Returns the entry's index. */
  record: (entry: NewEntry, durable: (index: number) => void) => number
  /** The same for an entry that nobody waits for. */
  recordQuietly: (entry: NewEntry) => void
  /** What the open group is: without entries, of quiet ones alone, or with one that somebody waits for. */
  group: () => 'empty' | 'quiet' | 'awaited'
  /** Writes the open group with one fdatasync, then calls its `durable` functions in order. */
  commit: () => void
  /** Entries that are durable. */
  size: () => number
  /** The SIGN frame for all durable entries, or null when there is nothing new or an answer is still out. */
  askSignature: () => Uint8Array | null
  /** Whether an answer is still out. */
  isAsking: () => boolean
  /** Takes the answer: the tree of that size is now the signed one. Throws `frame_invalid` when none was asked for. */
  signed: (size: number) => void
}>

type Waiting = Readonly<{ record: Uint8Array; durable: (index: number) => void }>

export function openLogWriter(host: LogWriterHost, position: LogPosition): LogWriter {
  let signedTree = position.signed
  let leaves = [...position.unsignedLeaves]
  let tree = leaves.reduce(appendLeaf, signedTree)
  /** The tree whose signature was asked for. */
  let asked: TreeState | null = null
  let group: Waiting[] = []
  let awaited = false
  const add = (entry: NewEntry, durable: (index: number) => void): number => {
    const record = formatEntry(withCommon(entry, host.common()))
    group.push({ record, durable })
    return tree.size + group.length - 1
  }

  return {
    record: (entry, durable) => {
      const index = add(entry, durable)
      awaited = true
      return index
    },
    recordQuietly: (entry) => {
      add(entry, () => undefined)
    },
    group: () => (group.length === 0 ? 'empty' : awaited ? 'awaited' : 'quiet'),
    commit: () => {
      // A `durable` function may record more; that goes into the next group, and is written before we return.
      while (group.length > 0) {
        const written = group
        group = []
        awaited = false
        const first = tree.size
        const hashes = written.map(({ record }) => leafHash(record))
        host.append(written.map(({ record }) => record))
        tree = hashes.reduce(appendLeaf, tree)
        leaves.push(...hashes)
        written.forEach(({ durable }, offset) => durable(first + offset))
      }
    },
    size: () => tree.size,
    askSignature: () => {
      if (asked !== null || tree.size === signedTree.size) return null
      asked = tree
      return formatSignRequest({
        treeSize: tree.size,
        previousSize: signedTree.size,
        root: rootHash(tree),
        consistency: signedTree.size === 0 ? [] : growthProof(signedTree, leaves),
      })
    },
    isAsking: () => asked !== null,
    signed: (size) => {
      if (asked === null || asked.size !== size) {
        throw new BelladonnaError(
          'frame_invalid',
          `a signature for ${size} entries was not asked for`,
        )
      }
      leaves = leaves.slice(size - signedTree.size)
      signedTree = asked
      asked = null
    },
  }
}

/** One entry of each kind has these members beside its own. The switch keeps the union's kinds apart for the compiler. */
function withCommon(entry: NewEntry, common: EntryCommon): Entry {
  switch (entry.kind) {
    case 'start':
      return { ...common, ...entry }
    case 'intent':
      return { ...common, ...entry }
    case 'denial':
      return { ...common, ...entry }
    case 'outcome':
      return { ...common, ...entry }
    case 'recovered':
      return { ...common, ...entry }
    case 'stop':
      return { ...common, ...entry }
    case 'policy':
      return { ...common, ...entry }
  }
}
