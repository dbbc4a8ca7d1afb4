/** Somebody who does something for as long as a test looks at what comes of it. */
import { spawn } from 'node:child_process'
import { exitOf } from './bridge.ts'

/** Runs a program as this user that says a word when all is in place; it must still run when `work` is done, and is killed then. */
export async function whileRunning<T>(
  [program = '', ...args]: readonly string[],
  uid: number,
  work: () => Promise<T>,
): Promise<T> {
  const child = spawn(program, args, { uid, gid: uid, stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve())
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`${program} ended with ${String(code)}`)))
  })
  try {
    const result = await work()
    if (child.exitCode !== null) throw new Error(`it ended with ${String(child.exitCode)}`)
    return result
  } finally {
    child.kill('SIGKILL')
    await exitOf(child)
  }
}

const holdLease = `$SIG{IO} = 'IGNORE'; $| = 1; open(F, '+<', $ARGV[0]) or die $!;
fcntl(F, 1024, 1) or die $!; print 'held'; sleep 1 while 1`

/** While this user has a write lease on the file (F_SETLEASE, F_WRLCK): who opens it waits for its holder, up to 45 s. */
export async function whileLeased<T>(
  path: string,
  uid: number,
  work: () => Promise<T>,
): Promise<T> {
  return await whileRunning(['/usr/bin/perl', '-e', holdLease, path], uid, work)
}
