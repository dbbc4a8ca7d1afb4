/** What the launcher says to a supervisor by sd_notify(3). Here a program of ours listens; test/machine has systemd itself. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkout, childrenOf, exitOf, run, until } from '../support/bridge.ts'
import { isStruck } from '../support/strike.ts'
import { compile, openScratch } from '../native/compile.ts'

const skip = process.geteuid?.() !== 0
const belladonna = join(checkout, 'bin/belladonna')

for (const [name, socketIn] of [
  ['a path', (place: string) => join(place, 'notify')],
  ['an abstract name', (place: string) => `@${place}`],
] as const) {
  test(
    `supervisor: ready when clients are let in, alive while both services are, stopping: ${name}`,
    { skip },
    async () => {
      using scratch = openScratch()
      const root = mkdtempSync('/tmp/belladonna.')
      chmodSync(root, 0o755)
      const socket = socketIn(scratch.path)
      const listener = spawn(compile(scratch.path, 'listener.c'), [socket])
      let heard = ''
      listener.stdout.setEncoding('utf8').on('data', (text: string) => (heard += text))
      await until(() => heard.startsWith('bound\n'), 5_000)
      const count = (word: string): number => heard.split(word).length - 1
      const example = join(checkout, 'packaging/policy/example.toml')
      await run([belladonna, 'policy', 'install', '--root', root, example])
      const env = { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: '100000' }
      const up = spawn(belladonna, ['up', '--root', root], { stdio: 'ignore', env })
      try {
        await until(() => count('READY=1') === 1, 20_000)
        assert.ok(heard.startsWith('bound\nREADY=1\n'), heard)
        assert.equal((await run([belladonna, 'status', '--root', root])).status, 0)
        await until(() => count('WATCHDOG=1') >= 5, 10_000)
        // While there are no services nobody is told that all is well: new ones take half a second at least.
        assert.ok(childrenOf(up.pid ?? 0).filter(isStruck).length > 0)
        await sleep(100)
        const before = count('WATCHDOG=1')
        await sleep(300)
        assert.equal(count('WATCHDOG=1'), before)
        await until(() => count('WATCHDOG=1') > before + 3, 20_000)
        assert.equal(count('READY=1'), 1)
        up.kill('SIGTERM')
        assert.equal(await exitOf(up), 0)
        await until(() => heard.endsWith('STOPPING=1\n'), 2_000)
      } finally {
        if (up.exitCode === null) up.kill('SIGKILL')
        listener.kill('SIGKILL')
        await exitOf(up)
        rmSync(root, { recursive: true, force: true })
      }
    },
  )
}
