/** What permitted callers do that costs others: after each of it the services that answer must be the same processes. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { caller, checkout, run, startBridge } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
/** As many and as long as parameters may be. */
const names = Array.from({ length: 64 }, (_, at) => `p${at}-${'n'.repeat(60)}`.slice(0, 64))
let bridge: TestBridge

function action(name: string, command: readonly string[], more = 'profile = "place"'): string {
  return `[action.${name}]
about = "x"
command = ${JSON.stringify(command)}
run_as = "root"
risk = "read-only"
${more}
`
}

before(async () => {
  if (skip !== false) return
  bridge = await startBridge({
    policy: `schema = 1
[profile.place]
read = ["/usr"]
[profile.bound]
stdin = "bound"
${action('hello', ['/usr/bin/echo', 'hello'])}
${action('many', ['/usr/bin/true', ...names.map((name) => `{${name}}`)])}
[action.many.params]
${names.map((name) => `${JSON.stringify(name)} = { one_of = ["x"] }`).join('\n')}
${action('words', ['/usr/bin/true', ...Array<string>(20).fill('{x}')])}
[action.words.params.x]
match = '[a-z]*'
max_length = 4096
repeat = { max = 64 }
${action('limited', ['/usr/bin/cat'], 'profile = "bound"')}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["hello", "many", "words"]
[[grant]]
who = ["uid:${caller.uid}"]
may = ["limited"]
limit = { rate = "1/h", burst = 1 }
`,
  })
})
after(async () => {
  if (skip === false) await bridge[Symbol.asyncDispose]()
})

type Pids = ReturnType<TestBridge['pids']>

/** Nobody died of it. */
async function assertServed(pids: Pids): Promise<void> {
  const { status, stdout, stderr } = await bridge.bell(['hello'])
  assert.deepEqual([status, stdout], [0, 'hello\n'], stderr)
  assert.deepEqual(bridge.pids(), pids)
}

test(
  'promise 7: a refusal fits into its frame, however much would be enough',
  { skip },
  async () => {
    const pids = bridge.pids()
    const { status, stderr } = await bridge.bell(['--json', 'many', 'unknown=x'])
    assert.equal(status, 125)
    assert.match(stderr, /"code":"parameter_unknown"/)
    assert.match(stderr, /"enough":"only these parameters: p0-n+, p1-n+, .*…"/)
    await assertServed(pids)
  },
)

test('promise 7: arguments that no command can have are a refusal', { skip }, async () => {
  const pids = bridge.pids()
  const long = Array<string>(16).fill(`x=${'a'.repeat(4000)}`)
  for (const values of [long, Array<string>(64).fill('x=a')]) {
    const { status, stderr } = await bridge.bell(['--json', 'words', ...values])
    assert.equal(status, 125)
    assert.match(stderr, /"code":"not_recorded"/)
    await assertServed(pids)
  }
})

/** The broker asks for a signature each second, so what it says then comes before what the launcher says next. */
const signMs = 1000

test(
  'promise 7: a refusal that overtakes its request keeps nobody waiting',
  { skip, timeout: 60_000 },
  async () => {
    const pids = bridge.pids()
    const limited = async (): Promise<BellResult> =>
      await bridge.bell(['--json', '--bind-stdin', 'limited'], { stdin: 'x' })
    assert.equal((await limited()).stdout, 'x')
    process.kill(pids.executor, 'SIGSTOP')
    await sleep(2 * signMs)
    const refused = await limited()
    process.kill(pids.executor, 'SIGCONT')
    assert.match(refused.stderr, /"code":"rate_limited"/)
    await assertServed(pids)
    const reload = ['policy', 'reload', '--root', bridge.root]
    const { status, stderr } = await run([join(checkout, 'bin/belladonna'), ...reload])
    assert.equal(status, 0, stderr)
    await assertServed(pids)
  },
)
