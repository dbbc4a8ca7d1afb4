import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { cutFrames } from '../core/protocol/frame.ts'
import type { Frame } from '../core/protocol/frame.ts'
import { isCode } from './directory.ts'

/** What happens on a channel. `frames` of one read come together, then `batchEnd`: that is the group of a group commit. */
export type ChannelEvents = Readonly<{
  frame: (frame: Frame) => void
  batchEnd: () => void
  /** The channel is over: the other side closed it, or one of the two functions above threw. */
  closed: (why: unknown) => void
}>

export type Channel = Readonly<{ send: (frame: Uint8Array) => void; close: () => void }>

const empty = new Uint8Array(0)

/** Why a channel is over when nothing went wrong on our side. */
export const otherSideEnded = 'the other side closed the channel'

const readBytes = 64 * 1024

/**
 * Speaks frames over an inherited stream socket.
 *
 * Trusted with nothing: who writes to the other end can at most make us stop.
 */
export function openChannel(descriptor: number, events: ChannelEvents): Channel {
  let rest: Uint8Array = empty
  let open = true
  const stop = (why: unknown): void => {
    if (!open) return
    open = false
    socket.destroy()
    events.closed(why)
  }
  const read = (chunk: Uint8Array): void => {
    if (!open) return
    try {
      rest = cutFrames(rest.length === 0 ? chunk : join(rest, chunk), events.frame)
      events.batchEnd()
    } catch (error) {
      stop(error)
    }
  }
  const onread = {
    buffer: new Uint8Array(readBytes),
    callback: (size: number, buffer: Uint8Array): boolean => {
      const chunk = buffer.slice(0, size) // handlers may keep what is in a frame, and the next read overwrites the buffer
      buffer.fill(0, 0, size) // a secret may have been in it
      read(chunk)
      return true
    },
  }
  const socket = new Socket({ fd: descriptor, readable: true, writable: true, onread })
  socket.on('end', () => stop(otherSideEnded))
  socket.on('error', stop)
  socket.resume()
  return {
    send: (frame) => {
      if (!open || socket.destroyed) return
      try {
        // Nothing may overtake what the socket still holds.
        const sent = socket.writableLength > 0 ? 0 : writeNow(descriptor, frame)
        if (sent < frame.length) socket.write(frame.subarray(sent))
      } catch (error) {
        stop(error)
      }
    },
    close: () => {
      open = false
      socket.destroy()
    },
  }
}

/** How many bytes the kernel takes at once: without the way through the event loop a frame is gone 20 us earlier. */
function writeNow(descriptor: number, frame: Uint8Array): number {
  try {
    return writeSync(descriptor, frame)
  } catch (error) {
    if (isCode(error, 'EAGAIN')) return 0
    throw error
  }
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length)
  bytes.set(first)
  bytes.set(second, first.length)
  first.fill(0)
  second.fill(0)
  return bytes
}
