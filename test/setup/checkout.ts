/**
 * A small checkout of its own for tests of tools/setup, with stand-ins for what would need the network or change the
 * machine: npm, dpkg-query, apt-get, node and the C build only write down how they were called.
 */
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const repository = join(import.meta.dirname, '..', '..')
const nobody = 61_299

export type Result = Readonly<{ status: number | null; stdout: string; stderr: string }>
export type Checkout = Disposable &
  Readonly<{
    root: string
    write: (path: string, text: string) => void
    /** How the stand-ins were called since the last time somebody asked. */
    takeCalls: () => readonly string[]
    setUp: (kind: string, extra?: NodeJS.ProcessEnv) => Result
    setUpAsNobody: (kind: string, extra?: NodeJS.ProcessEnv) => Result
    startSetUp: (kind: string) => Promise<number | null>
    /** As root, where /usr/sbin and dpkg's folder are this checkout's own: `sbin` and `dpkg` in it. */
    setUpWithOwnSystem: (kind: string, extra?: NodeJS.ProcessEnv) => Result
  }>

const standIns: Readonly<Record<string, string>> = {
  npm: `[ "$1" = --prefix ] && prefix=$2 && shift 2
echo "npm $(basename "$prefix"): $* [nodedir=$npm_config_nodedir] [cache=\${npm_config_cache-}] [compile cache off=$NODE_DISABLE_COMPILE_CACHE] [\${PATH%%:*}]" >>"$CALLS"
sleep "\${NPM_SECONDS-0}"
[ -z "\${NPM_FAILS-}" ] || { echo 'npm error code ENOTFOUND' >&2; exit 1; }
mkdir -p "$prefix/node_modules/.bin"
echo 'npm warn Unknown user config "nodedir"' >&2`,
  'dpkg-query': `shift 2
for package; do [ "$package" = "\${MISSING-}" ] || printf ' installed=%s ' "$package"; done`,
  'apt-get': `echo "apt-get $* [$DEBIAN_FRONTEND]" >>"$CALLS"
case "$*" in *install*) /usr/sbin/policy-rc.d x start; echo "hook says $?" >>"$CALLS" ;; esac
exit "\${APT_STATUS-0}"`,
  node: 'for last; do :; done; echo "strip" >>"$CALLS"; mkdir -p "$last"',
  uname: 'echo "${MACHINE-Linux x86_64}"',
}

export function makeCheckout(): Checkout {
  const top = mkdtempSync(join(tmpdir(), 'belladonna setup.'))
  const root = join(top, 'a checkout')
  const calls = join(top, 'calls')
  const write = (path: string, text: string): void => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text, { mode: 0o755 })
  }
  chmodSync(top, 0o755)
  for (const folder of ['', 'tools/node/', 'tools/lint/']) write(`${folder}package-lock.json`, '{}')
  for (const path of ['package.json', 'bin/bell', 'src/a.ts', 'native/a.c']) write(path, '{}')
  write(
    'native/build',
    '#!/bin/sh\ncd "$(dirname "$0")" && mkdir -p out && echo "build $*" >>"$CALLS"\n',
  )
  for (const [name, text] of Object.entries(standIns))
    write(`stand-ins/${name}`, `#!/bin/sh\n${text}\n`)
  for (const name of ['setup', 'strip-types.ts']) {
    cpSync(join(repository, 'tools', name), join(root, 'tools', name))
  }
  writeFileSync(calls, '')
  chmodSync(calls, 0o666)

  const environment = (extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
    ...{ PATH: `${join(root, 'stand-ins')}:/usr/bin:/bin`, HOME: top, CALLS: calls },
    ...{ npm_config_nodedir: '/usr', ...extra },
  })
  const run = (command: readonly string[], extra?: NodeJS.ProcessEnv, uid?: number): Result => {
    const [program = '', ...args] = command
    const identity = uid === undefined ? {} : { uid, gid: uid }
    return spawnSync(program, args, {
      encoding: 'utf8',
      env: environment(extra),
      cwd: '/',
      ...identity,
    })
  }
  const setup = join(root, 'tools/setup')
  return {
    root,
    write,
    takeCalls() {
      const lines = readFileSync(calls, 'utf8').split('\n').slice(0, -1)
      writeFileSync(calls, '')
      return lines
    },
    setUp: (kind, extra) => run(['sh', setup, kind], extra),
    setUpAsNobody: (kind, extra) =>
      run(['sh', setup, kind], extra, process.getuid?.() === 0 ? nobody : undefined),
    async startSetUp(kind) {
      const child = spawn('sh', [setup, kind], {
        env: environment({ NPM_SECONDS: '0.3' }),
        stdio: 'ignore',
      })
      const { promise, resolve } = Promise.withResolvers<number | null>()
      child.on('close', resolve)
      return promise
    },
    setUpWithOwnSystem(kind, extra) {
      for (const folder of ['sbin', 'dpkg']) mkdirSync(join(root, folder), { recursive: true })
      const script =
        'mount --bind "$1/sbin" /usr/sbin && mount --bind "$1/dpkg" /var/lib/dpkg && exec sh "$2" "$3"'
      return run(['unshare', '--mount', 'sh', '-c', script, '-', root, setup, kind], extra)
    },
    [Symbol.dispose]() {
      if (existsSync(top)) rmSync(top, { recursive: true })
    },
  }
}
