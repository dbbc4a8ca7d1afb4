/** A cgroup of a test's own: whoever is started in it cannot leave it, so what is left of them is seen, and only that. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { newCgroupPath } from '../../src/host/cgroup.ts'
import { until } from './bridge.ts'

export type Pen = Disposable &
  Readonly<{
    /** The words that start a command in the pen. */
    around: (words: readonly string[]) => readonly string[]
    /** Processes and cgroups in it, as text. The kernel may need a moment to count one out that has been waited for. */
    left: () => Promise<readonly string[]>
  }>

/** Without cgroup v2 nothing is held, and nothing seen. */
export function makePen(): Pen {
  const path = newCgroupPath().replace('/belladonna.', '/belladonna-test.')
  if (path !== '') mkdirSync(path)
  const look = (): readonly string[] =>
    path === ''
      ? []
      : [
          ...processesIn(path),
          ...readdirSync(path, { withFileTypes: true })
            .filter((entry) => entry.isDirectory())
            .map(({ name }) => `cgroup ${name}`),
        ]
  return {
    around: (words) =>
      path === ''
        ? words
        : ['/bin/sh', '-c', 'echo $$ >"$0" && exec "$@"', join(path, 'cgroup.procs'), ...words],
    async left() {
      await until(() => look().length === 0, 2000).catch(() => undefined)
      return look()
    },
    [Symbol.dispose]() {
      if (path !== '' && look().length === 0) rmdirSync(path)
    },
  }
}

function processesIn(path: string): readonly string[] {
  return readFileSync(join(path, 'cgroup.procs'), 'utf8')
    .split('\n')
    .filter((pid) => pid !== '')
    .map((pid) => `process ${pid} ${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}`)
}
