import { sigpipeStatus, isReaderGone } from '../reader-gone.ts'

/** What makes the demo end early: a signal, or that nobody reads what it prints any more. */
export type Interrupt = Readonly<{
  /** Aborted once it happens; its reason is not shown. */
  signal: AbortSignal
  /** Resolves once it happens. */
  happened: Promise<undefined>
  /** Status to exit with: 128 + the signal's number. 0 while nothing has happened. */
  status: () => number
}>

const signals = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const

/** From here on no signal but SIGKILL ends this process at once: the bridge and the sysctl come first. */
export function catchInterrupts(): Interrupt {
  const controller = new AbortController()
  const { promise, resolve } = Promise.withResolvers<undefined>()
  let status = 0
  const interrupt = (because: number): void => {
    if (status === 0) status = because
    controller.abort()
    resolve(undefined)
  }
  for (const [name, number] of Object.entries(signals)) {
    process.on(name, () => interrupt(128 + number))
  }
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) =>
      interrupt(isReaderGone(error) ? sigpipeStatus : 1),
    )
  }
  return { signal: controller.signal, happened: promise, status: () => status }
}
