/** On most hosts mounts are shared (systemd makes them so); what a run binds must then still be its own. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const logs = join(directory, 'logs')
const inside = join(logs, 'd')
let bridge: TestBridge

/** Says that it runs, and looks only once it is told to. */
const look = 'echo at > "$1/at"; while [ ! -e "$1/go" ]; do sleep 0.05; done; ls "$1/sub"'

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  mkdirSync(logs)
  execFileSync('mount', ['-t', 'tmpfs', 'none', logs])
  execFileSync('mount', ['--make-shared', logs])
  mkdirSync(join(inside, 'sub'), { recursive: true })
  for (const path of [logs, inside, join(inside, 'sub')]) chmodSync(path, 0o755)
  bridge = await startBridge({
    policy: `schema = 1
[profile.plain]
${actionText('look', 'plain', ['/usr/bin/dash', '-c', look, 'x', '{d}'])}
[action.look.params]
d = { path = { root = "${logs}", kind = "directory", access = "write" } }
[[grant]]
who = ["uid:${caller.uid}"]
may = ["look"]
`,
  })
})
after(async () => {
  if (skip !== false) return
  await bridge[Symbol.asyncDispose]()
  execFileSync('umount', ['-R', logs])
  rmSync(directory, { recursive: true, force: true })
})

test(
  'L9 C32: what the host mounts in a directory of a run’s own bind, while it goes on, is not seen by it',
  { skip },
  async () => {
    // The first run builds the template; the second one is of the kind that most are.
    for (let run = 0; run < 2; run += 1) {
      const answer = bridge.bell(['look', 'd=d'])
      await until(() => existsSync(join(inside, 'at')), 5_000)
      execFileSync('mount', ['-t', 'tmpfs', 'none', join(inside, 'sub')])
      writeFileSync(join(inside, 'sub/of-the-host'), '')
      writeFileSync(join(inside, 'go'), '')
      assert.deepEqual(await answer, { status: 0, stdout: '', stderr: '' })
      execFileSync('umount', [join(inside, 'sub')])
      for (const name of ['go', 'at']) rmSync(join(inside, name))
    }
  },
)
