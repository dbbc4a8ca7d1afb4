/** Cgroups of a test's own: whoever is started in them cannot leave, so what is left of them is seen, and only that. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { newCgroupPaths, ownCgroups } from '../../src/host/cgroup.ts'
import { until } from './bridge.ts'

export type Pen = Disposable &
  Readonly<{
    /** The words that start a command in the pen. */
    around: (words: readonly string[]) => readonly string[]
    /** Processes and cgroups in it, as text. The kernel may need a moment to count one out that has been waited for. */
    left: () => Promise<readonly string[]>
  }>

/** Where the host has no cgroups nothing is held, and nothing seen. */
export function makePen(): Pen {
  const paths = Object.values(newCgroupPaths(ownCgroups(), '/'))
    .filter((path) => path !== '')
    .map((path) => path.replace('/belladonna.', '/belladonna-test.'))
  for (const path of paths) mkdirSync(path)
  const look = (): readonly string[] =>
    paths.flatMap((path) => [...processesIn(path), ...foldersIn(path)])
  const script =
    'for at do shift; [ "$at" != -- ] || break; echo $$ >"$at" || exit; done; exec "$@"'
  return {
    around: (words) => [
      ...['/bin/sh', '-c', script, '-'],
      ...paths.map((path) => join(path, 'cgroup.procs')),
      ...['--', ...words],
    ],
    async left() {
      await until(() => look().length === 0, 2000).catch(() => undefined)
      return look()
    },
    [Symbol.dispose]() {
      if (look().length === 0) for (const path of paths) rmdirSync(path)
    },
  }
}

function foldersIn(path: string): readonly string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `cgroup ${path}/${name}`)
}

function processesIn(path: string): readonly string[] {
  return readFileSync(join(path, 'cgroup.procs'), 'utf8')
    .split('\n')
    .filter((pid) => pid !== '')
    .map((pid) => `process ${pid} ${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}`)
}
