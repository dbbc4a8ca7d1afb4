import { otherSideEnded } from './channel.ts'

/** Descriptors that the launcher gives to its services (native/sandbox/sandbox.c, `start_service`). */
export const inherited = { launcher: 3, peer: 4, bridgeListener: 5 } as const

/** Prints why a service cannot go on, and ends it. The launcher then ends its peer and all runs, and starts both anew. */
export function endService(name: string, why: unknown): never {
  if (why === otherSideEnded) process.exit(1) // the launcher says which process died, and why
  const text = why instanceof Error ? `${why.message}${causeOf(why)}` : String(why)
  process.stderr.write(`${name}: ${text}\n`)
  process.exit(1)
}

function causeOf(error: Error): string {
  return error.cause instanceof Error ? `: ${error.cause.message}` : ''
}
