/** A host that forbids what every run begins with: `up --unprivileged` says so and ends, and nobody is told that it is ready. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../../support/action-text.ts'
import { caller, checkout, exitOf, runAs, until } from '../../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const root = mkdtempSync('/tmp/belladonna.')
const user = { uid: caller.uid, groups: [] }
const belladonna = join(checkout, 'bin/belladonna')

before(async () => {
  if (skip) return
  chmodSync(root, 0o755)
  const file = join(root, 'policy.toml')
  writeFileSync(file, `schema = 1\n[profile.plain]\n${actionText('x', 'plain', ['/usr/bin/true'])}`)
  for (const path of [root, file]) chownSync(path, caller.uid, caller.uid)
  const { status, stderr } = await runAs(
    [belladonna, 'policy', 'install', '--root', root, file],
    user,
  )
  assert.equal(status, 0, stderr)
})
after(() => rmSync(root, { recursive: true, force: true }))

/** In a user namespace of our own with all ids, whose limits are ours to lower (user_namespaces(7), namespaces(7)). */
const limited = `echo; read -r _; echo 0 >/proc/sys/user/max_$0_namespaces
exec setpriv --reuid ${caller.uid} --regid ${caller.gid} --clear-groups --inh-caps=-all --ambient-caps=-all "$@"`

type End = Readonly<{ status: number | null; stdout: string; stderr: string }>

async function upWithout(kind: string): Promise<End> {
  const up = ['timeout', '10', belladonna, 'up', '--unprivileged', '--root', root]
  const child = spawn('unshare', ['-U', '--keep-caps', '/bin/sh', '-c', limited, kind, ...up])
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  await until(() => stdout !== '' || child.exitCode !== null, 5_000)
  for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${map}`, '0 0 65536')
  child.stdin.end('\n')
  return { status: await exitOf(child), stdout: stdout.trim(), stderr }
}

for (const kind of ['user', 'mnt', 'net']) {
  test(
    `promise 8: unprivileged: without ${kind} namespaces nothing is started, and it says why`,
    { skip, timeout: 60_000 },
    async () => {
      const { status, stdout, stderr } = await upWithout(kind)
      assert.deepEqual([status, stdout], [1, ''], stderr)
      assert.match(stderr, /namespaces of a run: No space left on device/)
    },
  )
}
