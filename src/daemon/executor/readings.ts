import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { BelladonnaError } from '../../core/error.ts'
import { tooLarge } from '../../core/policy/inputs.ts'
import type { BoundInput, InputProblem } from '../../core/policy/inputs.ts'
import type { Permit } from '../../core/policy/decide.ts'
import { formatRead } from '../../core/protocol/input-frames.ts'
import type { InputBytes } from '../../core/protocol/input-frames.ts'
import type { Submission } from '../../core/protocol/launcher-frames.ts'

/** What was read of a request's inputs. `secrets` hold the values themselves: `wipe` them. */
export type ReadInputs = Readonly<{
  stdin: Readonly<{ sha256: string; size: number }> | null
  secrets: readonly Readonly<{ name: string; value: Uint8Array }>[]
}>

/** A request that is permitted once its inputs are known. */
export type Reading = Readonly<{
  submission: Submission
  permit: Permit
  inputs: readonly BoundInput[]
}>

/** What became of a reading. */
export type ReadAnswer =
  | Readonly<{ kind: 'read'; reading: Reading; read: ReadInputs }>
  | Readonly<{ kind: 'refused'; reading: Reading; problem: InputProblem }>

type State = Reading & {
  /** Index in `inputs` of the one that is being read. Changed by `take` alone, as is what follows. */
  at: number
  offset: number
  /** READ was sent and BYTES have not come. */
  asked: boolean
  readonly stdin: Hash
  stdinSize: number | null
  readonly secrets: { name: string; value: Uint8Array }[]
}

/**
 * How many READs may be unanswered: what the launcher holds for us must stay below its 4 MiB, or it takes us for dead, and
 * each answer is up to 128 KiB of it.
 */
export const maxUnanswered = 8

/** Reads sealed descriptors through the launcher, a part at a time, so that it holds one part of each and no more. */
export type Readings = Readonly<{
  begin: (reading: Reading) => void
  /** An answer, or null while there is more to read, or when nobody waits for these bytes any more. */
  take: (frame: InputBytes) => ReadAnswer | null
  /** The request was refused by another, or is over. */
  forget: (run: number) => Reading | undefined
  /** Whether its inputs are being read. */
  has: (run: number) => boolean
  count: () => number
}>

export function openReadings(toLauncher: (frame: Uint8Array) => void): Readings {
  const states = new Map<number, State>()

  /** Those that may not ask yet, in their order. */
  const waiting = new Set<State>()
  let unanswered = 0

  const ask = (state: State): void => {
    const { submission, inputs, at, offset } = state
    const place = inputs[at]?.place
    if (place === undefined) throw new BelladonnaError('frame_invalid', 'out of turn: read')
    if (unanswered >= maxUnanswered) {
      waiting.add(state)
      return
    }
    state.asked = true
    unanswered += 1
    toLauncher(formatRead(submission.run, place, offset))
  }

  /** It has its answer, or will get none: the launcher answers nothing about a run that was refused. */
  const answered = (state: State): void => {
    if (!state.asked) return
    state.asked = false
    unanswered -= 1
    const [next] = waiting
    if (next === undefined) return
    waiting.delete(next)
    ask(next)
  }

  const forget = (run: number): State | undefined => {
    const state = states.get(run)
    states.delete(run)
    if (state === undefined) return undefined
    waiting.delete(state)
    answered(state)
    return state
  }

  return {
    begin: (reading) => {
      const state = {
        ...reading,
        ...{ at: 0, offset: 0, asked: false },
        ...{ stdin: createHash('sha256'), stdinSize: null, secrets: [] },
      }
      states.set(reading.submission.run, state)
      ask(state)
    },
    take: (frame) => {
      const state = states.get(frame.run)
      if (state === undefined) return null
      const input = state.inputs[state.at]
      if (!state.asked || input?.place !== frame.input || state.offset !== frame.offset) {
        throw new BelladonnaError('frame_invalid', 'out of turn: bytes')
      }
      if (frame.size > input.maxBytes) {
        wipe(state.secrets)
        forget(frame.run)
        return { kind: 'refused', reading: state, problem: tooLarge(input) }
      }
      keep(state, input, frame)
      answered(state)
      if (state.at < state.inputs.length) {
        ask(state)
        return null
      }
      forget(frame.run)
      const { stdin, stdinSize, secrets } = state
      const sha256 = stdin.digest('hex')
      const bound = stdinSize === null ? null : { sha256, size: stdinSize }
      return { kind: 'read', reading: state, read: { stdin: bound, secrets } }
    },
    has: (run) => states.has(run),
    forget: (run) => {
      const state = forget(run)
      if (state !== undefined) wipe(state.secrets)
      return state
    },
    count: () => states.size,
  }
}

/** Takes a part, and goes on to the next input behind the last part of this one. A secret is one part. */
function keep(state: State, { secret }: BoundInput, { bytes, size }: InputBytes): void {
  if (secret === null) state.stdin.update(bytes)
  else {
    state.secrets.push({ name: secret, value: bytes.slice() })
    bytes.fill(0) // in the channel's buffer, which lives on
  }
  state.offset += bytes.length
  if (state.offset < size) return
  if (secret === null) state.stdinSize = size
  state.at += 1
  state.offset = 0
}

/** Overwrites values that have served. */
export function wipe(secrets: ReadInputs['secrets']): void {
  for (const { value } of secrets) value.fill(0)
}
