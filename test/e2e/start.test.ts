/** `npm start`: what it shows, how it ends, and that nothing is left of it however it ends. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkout, runAs } from '../support/bridge.ts'
import { copyCheckout } from '../support/copied-checkout.ts'
import { makePen } from '../support/pen.ts'
import type { Pen } from '../support/pen.ts'

const skip = process.geteuid?.() !== 0
const demo = join(checkout, 'src/cli/demo.ts')

type Ended = Readonly<{ status: number | null; said: string; root: string }>
type StartOptions = Readonly<{
  args?: readonly string[]
  /** Once this was said, the signal is sent, or the reader goes. */
  when?: RegExp
  then?: NodeJS.Signals | 'hang up'
}>

/** Runs the demo in a pen, and reads what it says until it ends. */
async function start(pen: Pen, { args = [], when, then }: StartOptions): Promise<Ended> {
  const [program = '', ...words] = pen.around([process.execPath, demo, ...args])
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  let isDone = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    if (isDone || when === undefined || !when.test(said)) return
    isDone = true
    if (then === 'hang up') child.stdout.destroy()
    else child.kill(then)
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  clearTimeout(timer)
  return { status, said, root: /below (\/tmp\/belladonna\.\w{6})/.exec(said)?.[1] ?? '' }
}

/** What a start could change on the host. Its sockets lie in its root; a namespace lives by a process or a mount. */
async function hostState(pen: Pen): Promise<unknown> {
  return {
    left: await pen.left(),
    mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
    swappiness: readFileSync('/proc/sys/vm/swappiness', 'utf8'),
    routes: readFileSync('/proc/net/route', 'utf8'),
    users: readFileSync('/etc/passwd', 'utf8') + readFileSync('/etc/group', 'utf8'),
  }
}

const shows = [
  /mode: privileged/,
  /features: .*seccomp/,
  /read back outside the sandbox/,
  /decided {3}permit, by "g-/,
  /signature verified/,
  /not_granted/,
  /parameter_invalid/,
  /\n {3}verified\n/,
]

test(
  'L9: npm start -- --once twice, and two at once: the same host before and after',
  { skip, timeout: 120_000 },
  async () => {
    using pen = makePen()
    const before = await hostState(pen)
    const once = async (): Promise<void> => {
      const { status, said, root } = await start(pen, { args: ['--once'] })
      assert.equal(status, 0, said)
      for (const want of shows) assert.match(said, want)
      assert.ok(root !== '' && !existsSync(root), root)
    }
    await once()
    await Promise.all([once(), once()])
    assert.deepEqual(await hostState(pen), before)
  },
)

const ends: readonly (StartOptions & { name: string; status: number })[] = [
  { name: 'SIGINT before the bridge is up', when: /below/, then: 'SIGINT', status: 130 },
  { name: 'SIGINT once it is up', when: /version:/, then: 'SIGINT', status: 130 },
  { name: 'SIGINT while the sysctl is changed', when: /bell says/, then: 'SIGINT', status: 130 },
  { name: 'SIGINT after the change', when: /denied by policy/, then: 'SIGINT', status: 130 },
  { name: 'SIGTERM at the last request', when: /bad argument/, then: 'SIGTERM', status: 143 },
  { name: 'SIGHUP at the last request', when: /bad argument/, then: 'SIGHUP', status: 129 },
  { name: 'SIGINT while it stays up', when: /status --root/, then: 'SIGINT', status: 0 },
  { name: 'a reader that goes at once', when: /below/, then: 'hang up', status: 141 },
  { name: 'a reader that goes later', when: /bell says/, then: 'hang up', status: 141 },
]
for (const { name, status, ...options } of ends) {
  test(
    `L9: npm start, ${name}: nothing is left, and the sysctl is as before`,
    { skip },
    async () => {
      using pen = makePen()
      const before = await hostState(pen)
      const ended = await start(pen, options)
      assert.equal(ended.status, status, ended.said)
      assert.ok(ended.root !== '' && !existsSync(ended.root), ended.root)
      assert.deepEqual(await hostState(pen), before)
    },
  )
}

test('npm start: a word that it does not know is a usage error', async () => {
  using pen = makePen()
  const { status, said } = await start(pen, { args: ['--onec'] })
  assert.equal(status, 2)
  assert.equal(said, 'usage: npm start [-- --once]\n')
})

test(
  'an ordinary user gets what works without root, and is told the rest',
  { skip, timeout: 60_000 },
  async () => {
    using copy = copyCheckout(0o755)
    const words = ['/bin/sh', join(copy.root, 'tools/run'), join(copy.root, 'src/cli/demo.ts')]
    const { status, stdout } = await runAs([...words, '--once'], { uid: 61_291, groups: [] })
    assert.equal(status, 0, stdout)
    assert.match(stdout, /mode: unprivileged/)
    assert.match(stdout, /promises 4 and 5 do not hold/)
    assert.match(stdout, /\n {3}verified\n/)
    const root = /below (\S+),/.exec(stdout)?.[1] ?? ''
    assert.ok(root !== '' && !existsSync(root), root)
  },
)
