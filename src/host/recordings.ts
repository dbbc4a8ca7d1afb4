import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Recording, RecordingLack } from '../core/audit/entry.ts'
import type { RelayRecording } from '../core/protocol/run-output.ts'
import { isCode } from './directory.ts'

/**
 * The broker's view of `recordings/`: it can read there, and nothing else.
 *
 * Trust: the files are relays', each of its own run. What a relay says of its file is believed as what it says of the run's
 * output is, and held against the file by `audit verify`.
 */
export type Recordings = Readonly<{
  /** Has a recording written through to the disk. Null: there is none. `told` null: who wrote it ended without a word. */
  settle: (name: string, told: RelayRecording | null) => Promise<Recording | null>
  /** What a crash left of one. Null: nothing. */
  left: (name: string) => Recording | null
}>

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
const readFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
const chunkBytes = 1024 * 1024
const blockBytes = 512 // of st_blocks, stat(2)
const leastRead = 64 * chunkBytes
const format = 'belladonna/recording/v1'
const outOfSpace: readonly number[] = [28, 122] // ENOSPC, EDQUOT

/** Where the recording of that name lies in its directory. */
export function recordingFile(directory: string, name: string): string {
  return `${directory}/${name}.rec`
}

export function openRecordings(directory: string): Recordings {
  return {
    settle: async (name, told) => {
      const file = await openToRead(recordingFile(directory, name))
      if (typeof file === 'string') {
        if (told !== null) return missingOf(name, told)
        return file === 'none' ? null : { format, name, ...nothingRead, incomplete: 'relay_lost' }
      }
      try {
        const isDurable = await isSynced(file, directory)
        const { size, sha256 } = told ?? (await digestOf(file))
        const lack = told === null ? 'relay_lost' : lackOf(told)
        return { format, name, size, sha256, incomplete: isDurable ? lack : 'not_durable' }
      } finally {
        await file.close()
      }
    },
    left: (name) => leftOf(directory, name),
  }
}

function lackOf({ error }: RelayRecording): RecordingLack | null {
  if (error === null) return null
  return outOfSpace.includes(error) ? 'no_space' : 'failed'
}

/** A relay says that there is a recording, and there is not. */
function missingOf(name: string, { size, sha256 }: RelayRecording): Recording {
  return { format, name, size, sha256, incomplete: 'failed' }
}

/** What an entry says of a file that nobody could read: there is one, and so much of it is known. */
const nothingRead = { size: 0, sha256: createHash('sha256').digest('hex') } as const

/** A bridge goes on without what it cannot open, and the entry says so. */
async function openToRead(path: string): Promise<FileHandle | 'none' | 'unreadable'> {
  try {
    return await open(path, readFlags)
  } catch (error) {
    return isCode(error, 'ENOENT') ? 'none' : 'unreadable'
  }
}

/** The file, and its name. What failed once is not tried again. */
async function isSynced(file: FileHandle, directory: string): Promise<boolean> {
  try {
    await file.datasync()
    const names = await open(directory, O_RDONLY | O_DIRECTORY)
    try {
      await names.sync()
    } finally {
      await names.close()
    }
    return true
  } catch {
    return false
  }
}

/**
 * How much of a file is read. A relay that was taken over can make its own as long as it likes in no time, by a hole, and nobody
 * is to read that: of an incomplete recording an entry names the first bytes. The least is for file systems that compress.
 */
function mostOf({ blocks }: Readonly<{ blocks: number }>): number {
  return Math.max(blocks * blockBytes, leastRead)
}

/** Of as much as can be read. */
async function digestOf(file: FileHandle): Promise<Readonly<{ size: number; sha256: string }>> {
  const hash = createHash('sha256')
  const buffer = Buffer.alloc(chunkBytes)
  const most = mostOf(await file.stat())
  let size = 0
  for (;;) {
    const { bytesRead } = await file
      .read(buffer, 0, Math.min(buffer.length, most - size), size)
      .catch(() => ({ bytesRead: 0 }))
    if (bytesRead === 0) return { size, sha256: hash.digest('hex') }
    hash.update(buffer.subarray(0, bytesRead))
    size += bytesRead
  }
}

/** A start must not fail for want of a recording: that would be the end of the bridge, and the entry can say what there is. */
function leftOf(directory: string, name: string): Recording | null {
  let descriptor: number
  try {
    descriptor = openSync(recordingFile(directory, name), readFlags)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null
    return { format, name, ...nothingRead, incomplete: 'crash' }
  }
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) return null
    const isDurable = succeeds(() => {
      fdatasyncSync(descriptor)
      syncNames(directory)
    })
    const hash = createHash('sha256')
    const buffer = Buffer.alloc(chunkBytes)
    const most = mostOf(stat)
    let size = 0
    succeeds(() => {
      for (let count = -1; count !== 0; size += count) {
        count = readSync(descriptor, buffer, 0, Math.min(buffer.length, most - size), size)
        hash.update(buffer.subarray(0, count))
      }
    })
    const incomplete = isDurable ? 'crash' : 'not_durable'
    return { format, name, size, sha256: hash.digest('hex'), incomplete }
  } finally {
    closeSync(descriptor)
  }
}

function succeeds(act: () => void): boolean {
  try {
    act()
    return true
  } catch {
    return false
  }
}

function syncNames(directory: string): void {
  const descriptor = openSync(directory, O_RDONLY | O_DIRECTORY)
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
