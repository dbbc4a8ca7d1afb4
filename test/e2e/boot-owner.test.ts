/** What the launcher starts from is its own alone, or it does not start. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const policy = `schema = 1
[profile.p]
${actionText('id', 'p', ['/usr/bin/id'])}
`
const others = `${caller.uid}:${caller.gid}`
const bootFile = 'boot file is not ours alone'
const directory = 'socket directory is not ours alone'
/** In a shell, before the launcher starts: `$1` is the boot file, `$2` its directory, where the sockets will be. */
const spoils: readonly (readonly [what: string, script: string, says: string])[] = [
  ['a boot file of somebody else', `chown ${others} "$1"`, bootFile],
  ['a boot file that its group may write', 'chmod 0620 "$1"', bootFile],
  ['a boot file that all may write', 'chmod 0602 "$1"', bootFile],
  ['a boot file that is none', 'rm "$1"; mkdir -m 700 "$1"', bootFile],
  ['a socket directory of somebody else', `chown ${others} "$2"`, directory],
  ['a socket directory that its group may write', 'chmod 0775 "$2"', directory],
  ['a socket directory that all may write', 'chmod 1757 "$2"', directory],
]
for (const [what, script, says] of spoils) {
  test(`promise 6: the launcher does not start with ${what}`, { skip }, async () => {
    const root = mkdtempSync('/tmp/belladonna.')
    const said = join(root, 'said')
    const words = `set -- "$1" "$(dirname "$1")" "$0"; ${script}; exec "$3" "$1" 2>"${said}"`
    const start = (program: string, boot: string): readonly string[] => {
      return ['/bin/sh', '-c', words, program, boot]
    }
    try {
      await assert.rejects(startBridge({ policy, root, start }), /launcher ended with 1/)
      assert.match(readFileSync(said, 'utf8'), new RegExp(says))
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
}
