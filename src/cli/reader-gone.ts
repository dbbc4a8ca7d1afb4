import { BelladonnaError } from '../core/error.ts'
import { exitStatuses, reportError } from './exit.ts'

/**
 * What a program does that cannot write what it has to say. If the reader of a pipe has gone, as in `… | head -1`, it ends
 * as cat(1) does, by SIGPIPE and without a word; any other failure (a full disk) is reported, since output that is missing
 * must not look like success.
 */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (isReaderGone(error)) endBySigpipe()
    const failure = new BelladonnaError('output_failed', 'write standard output', { cause: error })
    process.exit(reportError(failure, (line) => process.stderr.write(`${line}\n`)))
  })
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (isReaderGone(error)) endBySigpipe()
    process.exit(exitStatuses.output_failed)
  })
}

/** Is this the error of a write to a pipe or socket that nobody reads any more? */
export function isReaderGone(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EPIPE' || error.code === 'ECONNRESET'
}

/** Status of a program that SIGPIPE ended, as a shell shows it. */
export const sigpipeStatus: number = 128 + 13

/** Node ignores SIGPIPE; taking a listener away gives the signal its default action back, see signal(7). */
function endBySigpipe(): never {
  const listener = (): void => undefined
  process.on('SIGPIPE', listener)
  process.off('SIGPIPE', listener)
  process.kill(process.pid, 'SIGPIPE')
  process.exit(sigpipeStatus)
}
