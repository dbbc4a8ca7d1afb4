import type { Frame } from './frame.ts'

/** Frames of the launcher that wait while the policy is read again, in the order in which they came. */
export type Hold = Readonly<{
  /** From now on frames are kept. */
  begin: () => void
  isHolding: () => boolean
  /** Keeps the frame; false when nothing is held, and the frame is to be handled now. */
  keep: (frame: Frame) => boolean
  /** Hands all kept frames to `handle`. If that begins again, the rest goes on waiting. */
  release: (handle: (frame: Frame) => void) => void
}>

/** The launcher has 128 places, and one request in each, so what is kept is bounded. */
export function openHold(): Hold {
  let kept: Frame[] | null = null
  return {
    begin: () => {
      kept ??= []
    },
    isHolding: () => kept !== null,
    keep: (frame) => {
      if (kept === null) return false
      kept.push({ kind: frame.kind, body: frame.body.slice() })
      return true
    },
    release: (handle) => {
      const frames = kept ?? []
      kept = null
      for (const frame of frames) handle(frame)
    },
  }
}
