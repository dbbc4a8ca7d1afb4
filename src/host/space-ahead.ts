import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  openSync,
  write,
  writeSync,
} from 'node:fs'
import { promisify } from 'node:util'
import { isWantOfSpace } from './directory.ts'

/**
 * Zeros after the end of a file, written and synced before they are needed.
 *
 * An append into blocks that are there already changes no metadata, so its fdatasync need not wait for the file system's
 * journal (SPEED.md section 6).
 */
export type SpaceAhead = Disposable &
  Readonly<{
    /** Up to where the file is made of written blocks. */
    preparedBytes: () => number
    /** Adds a step, in the background. Does nothing while one is being added. */
    extend: () => void
    /** Whether the last step could not be added for want of space. */
    isRefused: () => boolean
  }>

const writeAsync = promisify(write)
const fdatasyncAsync = promisify(fdatasync)
const chunkBytes = 64 * 1024

/**
 * Opens the space after the end of an open file, and makes sure of one step.
 *
 * Zeros are written through a descriptor of its own in append mode: the kernel then takes the end of the file and writes
 * there in one step, so a background write never lands on a record, even if an append had to go beyond the prepared space
 * meanwhile.
 *
 * @param fail called when writing failed for another reason than want of space: the disk is not to be trusted any more
 */
export function openSpaceAhead(
  descriptor: number,
  endBytes: number,
  stepBytes: number,
  fail: (cause: unknown) => void,
): SpaceAhead {
  const flags = constants.O_WRONLY | constants.O_APPEND
  const appending = openSync(`/proc/self/fd/${descriptor}`, flags)
  const zeros = Buffer.alloc(Math.min(chunkBytes, stepBytes))
  // extend writes all four; dispose only `closed`.
  let prepared = fstatSync(descriptor).size
  let refused = false
  let busy = false
  let closed = false
  const settle = (error: unknown): void => {
    refused = isWantOfSpace(error)
    if (error !== undefined && !refused) fail(error)
    prepared = fstatSync(appending).size
  }
  const addStep = async (): Promise<void> => {
    busy = true
    try {
      for (let added = 0; added < stepBytes && !closed;) {
        added += (await writeAsync(appending, zeros, 0, zeros.length, null)).bytesWritten
      }
      await fdatasyncAsync(appending)
      settle(undefined)
    } catch (error) {
      settle(error)
    }
    busy = false
    if (closed) closeSync(appending)
  }
  try {
    for (; prepared < endBytes + stepBytes; prepared += zeros.length) writeSync(appending, zeros)
    fdatasyncSync(appending)
    settle(undefined)
  } catch (error) {
    settle(error)
  }
  return {
    preparedBytes: () => prepared,
    extend: () => {
      if (!busy && !closed) void addStep()
    },
    isRefused: () => refused,
    [Symbol.dispose]() {
      if (!busy && !closed) closeSync(appending)
      closed = true
    },
  }
}
