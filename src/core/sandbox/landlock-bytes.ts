/** Landlock's part of a plan as bytes. @see spec/plan.md, "Landlock" */
import { BelladonnaError } from '../error.ts'
import { isCleanPath } from '../identity.ts'
import type { Landlock } from './landlock.ts'
import { landlockProblem } from './landlock.ts'
import { maxPathBytes } from './mount.ts'
import type { ByteReader, ByteWriter } from './wire-bytes.ts'
import { malformed } from './wire-bytes.ts'

/** Counts that the launcher refuses to go above. */
export const landlockBounds = { paths: 512, ports: 128 } as const

/** What the head of a plan says of the rules that follow it. */
export type LandlockHead = Pick<Landlock, 'handledFs' | 'handledNet'> &
  Readonly<{ pathCount: number; portCount: number }>

const encoder = new TextEncoder()

/**
 * Appends the rules: u64 access and str16 path each, then u64 access and u16 port each. Returns what the head must say.
 *
 * @throws {BelladonnaError} `input_invalid` if the launcher would refuse them
 */
export function writeLandlock(writer: ByteWriter, landlock: Landlock): LandlockHead {
  const problem = landlockProblem(landlock) ?? boundProblem(landlock)
  if (problem !== undefined) {
    throw new BelladonnaError('input_invalid', `format landlock: ${problem}`)
  }
  for (const { access, path } of landlock.paths) {
    writer.u64(access)
    writer.str16(path)
  }
  for (const { access, port } of landlock.ports) {
    writer.u64(access)
    writer.u16(port)
  }
  const { handledFs, handledNet, paths, ports } = landlock
  return { handledFs, handledNet, pathCount: paths.length, portCount: ports.length }
}

/** Reads what `writeLandlock` wrote; throws `frame_invalid` on anything that it would not have written. */
export function readLandlock(reader: ByteReader, head: LandlockHead): Landlock {
  const { handledFs, handledNet, pathCount, portCount } = head
  const paths = times(pathCount, () => {
    const [access, path] = [reader.u64(), reader.str16()]
    if (!isCleanPath(path)) throw malformed('landlock', 'not a clean path')
    return { access, path }
  })
  const ports = times(portCount, () => ({ access: reader.u64(), port: reader.u16() }))
  const landlock = { handledFs, handledNet, paths, ports }
  const problem = landlockProblem(landlock) ?? boundProblem(landlock)
  if (problem !== undefined) throw malformed('landlock', problem)
  return landlock
}

function boundProblem({ paths, ports }: Landlock): string | undefined {
  if (paths.length > landlockBounds.paths) return `${paths.length} paths`
  if (ports.length > landlockBounds.ports) return `${ports.length} ports`
  const isTooLong = paths.some(({ path }) => encoder.encode(path).length > maxPathBytes)
  return isTooLong ? 'a path too long' : undefined
}

function times<T>(count: number, make: () => T): readonly T[] {
  return Array.from({ length: count }, make)
}
