import { BelladonnaError } from '../error.ts'
import { maxFrameBytes, wireLayout } from './layout.ts'

/** A whole frame; `body` shares memory with the bytes it was cut from. */
export type Frame = Readonly<{ kind: number; body: Uint8Array }>

const headBytes = wireLayout.head.size

/** Head and body, ready to be sent. */
export function formatFrame(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  if (size > maxFrameBytes) throw new BelladonnaError('input_invalid', `frame of ${size} bytes`)
  const frame = new Uint8Array(headBytes + size)
  const view = new DataView(frame.buffer)
  view.setUint32(wireLayout.head.offsets.size, size, true)
  view.setUint16(wireLayout.head.offsets.kind, kind, true)
  let at = headBytes
  for (const part of parts) {
    frame.set(part, at)
    at += part.length
  }
  return frame
}

/**
 * Cuts whole frames off the front of `bytes`, calling `handle` for each, and returns what is left.
 *
 * @throws {BelladonnaError} `frame_invalid` for a head that no frame of ours has; the stream is then lost
 */
export function cutFrames(bytes: Uint8Array, handle: (frame: Frame) => void): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  while (bytes.length - at >= headBytes) {
    const size = view.getUint32(at + wireLayout.head.offsets.size, true)
    const kind = view.getUint16(at + wireLayout.head.offsets.kind, true)
    const zero = view.getUint16(at + wireLayout.head.offsets.zero, true)
    if (zero !== 0 || size > maxFrameBytes) {
      throw new BelladonnaError('frame_invalid', `frame head: size ${size}, zero ${zero}`)
    }
    const end = at + headBytes + size
    if (end > bytes.length) break
    handle({ kind, body: bytes.subarray(at + headBytes, end) })
    at = end
  }
  return bytes.subarray(at)
}
