import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { BelladonnaError } from '../../core/error.ts'

const path = '/proc/sys/vm/swappiness'
const lockName = '\0belladonna-demo-swappiness'
const attempts = 300
const pauseMs = 100

/** vm.swappiness as it is on the host, outside every sandbox. */
export function readSwappiness(): number {
  return Number(readFileSync(path, 'utf8'))
}

/** The value from before, put back when the scope ends, on an interrupt too. One demo at a time holds it. */
export type HeldSwappiness = AsyncDisposable & Readonly<{ before: number }>

/**
 * Waits for its turn and remembers the value. The lock is an abstract socket: the kernel lets go of it with us,
 * however we end, and no file is left.
 *
 * @throws {BelladonnaError} `start_failed` after 30 s
 */
export async function holdSwappiness(): Promise<HeldSwappiness> {
  const unlock = await lock()
  const before = readSwappiness()
  const restore = (): void => {
    if (readSwappiness() !== before) writeFileSync(path, `${before}\n`)
  }
  process.on('exit', restore)
  return {
    before,
    async [Symbol.asyncDispose]() {
      restore()
      process.off('exit', restore)
      await unlock()
    },
  }
}

async function lock(): Promise<() => Promise<void>> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const server = createServer()
    const held = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(lockName, () => resolve(true))
    })
    if (held) return async () => await new Promise((resolve) => server.close(() => resolve()))
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  throw new BelladonnaError('start_failed', 'another demo holds vm.swappiness for 30 s')
}
