/** What permitted callers do that costs others: after each of it the services that answer must be the same processes. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { caller, startBridge } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
/** As many and as long as parameters may be. */
const names = Array.from({ length: 64 }, (_, at) => `p${at}-${'n'.repeat(60)}`.slice(0, 64))
let bridge: TestBridge

function action(name: string, command: readonly string[], more = ''): string {
  return `[action.${name}]
about = "x"
command = ${JSON.stringify(command)}
run_as = "root"
profile = "place"
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
${action('hello', ['/usr/bin/echo', 'hello'])}
${action('many', ['/usr/bin/true', ...names.map((name) => `{${name}}`)])}
[action.many.params]
${names.map((name) => `${JSON.stringify(name)} = { one_of = ["x"] }`).join('\n')}
${action('words', ['/usr/bin/true', ...Array<string>(20).fill('{x}')])}
[action.words.params.x]
match = '[a-z]*'
max_length = 4096
repeat = { max = 64 }
[[grant]]
who = ["uid:${caller.uid}"]
may = ["hello", "many", "words"]
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
