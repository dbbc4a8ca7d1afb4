import { Socket } from 'node:net'
import { cutFrames } from '../core/protocol/frame.ts'
import type { Frame } from '../core/protocol/frame.ts'

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

/**
 * Speaks frames over an inherited stream socket.
 *
 * Trusted with nothing: who writes to the other end can at most make us stop.
 */
export function openChannel(descriptor: number, events: ChannelEvents): Channel {
  const socket = new Socket({ fd: descriptor, readable: true, writable: true })
  let rest: Uint8Array = empty
  let open = true
  const stop = (why: unknown): void => {
    if (!open) return
    open = false
    socket.destroy()
    events.closed(why)
  }
  socket.on('data', (chunk: Uint8Array) => {
    if (!open) return
    try {
      rest = cutFrames(rest.length === 0 ? chunk : join(rest, chunk), events.frame)
      events.batchEnd()
    } catch (error) {
      stop(error)
    }
  })
  socket.on('end', () => stop(otherSideEnded))
  socket.on('error', stop)
  return {
    send: (frame) => {
      if (open) socket.write(frame)
    },
    close: () => {
      open = false
      socket.destroy()
    },
  }
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length)
  bytes.set(first)
  bytes.set(second, first.length)
  return bytes
}
