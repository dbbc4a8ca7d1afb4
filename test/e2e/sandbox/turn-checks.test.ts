/**
 * Frames of a service for a run that is opening or running: each is tried against the launcher as it is, and against one that does
 * not look at the state of the run, which must let it through. Their executor permits whatever is asked.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { wirePlanFlag } from '../../../src/core/protocol/layout.ts'
import type { Plan } from '../../../src/core/sandbox/plan.ts'
import { bridgePaths } from '../../../src/host/layout.ts'
import { actionText } from '../../support/action-text.ts'
import { exitOf, until } from '../../support/bridge.ts'
import { servicesOf } from './bare-bridge.ts'
import type { BareBridge, RunOptions } from './bare-bridge.ts'
import { openTwoLaunchers } from './two-launchers.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const policy = `schema = 1
[profile.place]
write = ["${directory}"]
[profile.kept]
output = "recorded"
${actionText('any', 'place', ['/usr/bin/true'])}
${actionText('other', 'kept', ['/usr/bin/true'])}
`

const both = openTwoLaunchers(directory, policy, [
  {
    file: 'launcher/run.c',
    from: '  if (slot->state >= SLOT_OPENING) return false;\n',
    to: '',
  },
  {
    file: 'launcher/run.c',
    from: '  if (slot->state != SLOT_PREPARED) return false;\n  memcpy(slot->ticket',
    to: '  memcpy(slot->ticket',
  },
])

/** One that needs a proxy: until that is ready it does not open. */
function proxied(bare: BareBridge): Plan {
  const plan = bare.plan('place')
  return { ...plan, flags: plan.flags | wirePlanFlag.proxied }
}

/** Does it, and says whether both services were ended for it. What is asked next is answered again. */
async function endsBoth(bare: BareBridge, act: () => Promise<void>): Promise<boolean> {
  const services = servicesOf(bare.bridge)
  assert.equal(services.length, 2)
  await act()
  const isUp = async (): Promise<boolean> =>
    (await bare.run(bare.plan('place'), ['/usr/bin/true'])).status === 0
  await until(isUp, 20_000)
  const left = servicesOf(bare.bridge).filter((pid) => services.includes(pid))
  assert.notEqual(left.length, 1)
  return left.length === 0
}

/** A run that stays, with what its client hears of it; then the broker refuses it. */
async function refuseOnce(
  bare: BareBridge,
  plan: Plan,
  argv: readonly string[],
  options: RunOptions,
  isThere: (stdout: string) => boolean,
): Promise<Readonly<{ status: number | null; stdout: string; stderr: string }>> {
  const { bridge } = bare
  bare.arrange(plan, argv, options)
  const identity = ['--reuid=61290', '--regid=61290', '--groups=27']
  const words = [...identity, bridge.bellPath, '-S', bridge.socket, 'any']
  const child = spawn('/usr/bin/setpriv', words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const closed = new Promise((resolve) => child.once('close', resolve))
  await until(() => isThere(stdout), 10_000)
  writeFileSync(join(bridgePaths(bridge.root).log, 'refuse'), '')
  const status = await exitOf(child)
  await closed
  return { status, stdout, stderr }
}

test(
  'promise 4: L4: a broker that refuses a run whose command runs ends the conversation, and does not pass off a run as none',
  { skip, timeout: 60_000 },
  async () => {
    for (const [bare, isOurs] of both()) {
      const busy = ['/usr/bin/dash', '-c', 'echo runs; exec sleep 60']
      const ended = await endsBoth(bare, async () => {
        const there = (stdout: string): boolean => stdout === 'runs\n'
        const { stderr } = await refuseOnce(bare, bare.plan('place'), busy, {}, there)
        assert.match(stderr, isOurs ? /a process of the bridge died/ : /not_granted/)
      })
      assert.equal(ended, isOurs)
    }
  },
)

test(
  'promise 4: L4: a broker that refuses a run whose gate is about to open ends the conversation',
  { skip, timeout: 60_000 },
  async () => {
    for (const [bare, isOurs] of both()) {
      const started = join(directory, `proxy-${isOurs ? 'ours' : 'weaker'}`)
      // A proxy that runs, so OPEN was taken, and never says that it can be used.
      const proxy = ['/usr/bin/dash', '-c', `: >${started}; exec sleep 60`]
      const ran = join(directory, `ran-${isOurs ? 'ours' : 'weaker'}`)
      const ended = await endsBoth(bare, async () => {
        const words = ['/usr/bin/touch', ran]
        const there = (): boolean => existsSync(started)
        const { stderr } = await refuseOnce(bare, proxied(bare), words, { proxy }, there)
        assert.match(stderr, isOurs ? /a process of the bridge died/ : /not_granted/)
      })
      assert.deepEqual([ended, existsSync(ran)], [isOurs, false])
    }
  },
)

/** So that a run of it opens: it says that it can be used. */
const readyProxy = ['/usr/bin/dash', '-c', 'echo; exec sleep 60']
const kinds: readonly (readonly [
  of: string,
  plan: (bare: BareBridge) => Plan,
  more: RunOptions,
])[] = [
  ['a run', (bare) => bare.plan('place'), {}],
  ['a run that waits for its proxy', proxied, { proxy: readyProxy }],
  ['a run that waits for its recording', (bare) => bare.plan('kept'), {}],
]
for (const [of, plan, more] of kinds) {
  test(
    `L3 L4: a second OPEN of ${of} ends both services, and only for its turn`,
    { skip, timeout: 60_000 },
    async () => {
      for (const [bare, isOurs] of both()) {
        const words = ['/usr/bin/dash', '-c', 'sleep 0.2; exit 7']
        const once = await bare.run(plan(bare), words, more)
        assert.equal(once.status, 7, once.stderr)
        const ended = await endsBoth(bare, async () => {
          const { status, stderr } = await bare.run(plan(bare), words, { ...more, opens: 2 })
          if (isOurs) assert.match(stderr, /a process of the bridge died/)
          else assert.equal(status, 7, stderr)
        })
        assert.equal(ended, isOurs)
      }
    },
  )
}
