/** `belladonna check` and `belladonna actions` say what really happens, and change nothing. */
import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { actions } from '../../src/cli/actions.ts'
import { check } from '../../src/cli/check.ts'
import { caller, startBridge } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0

const policyWith = (tool: string): string => `schema = 1
[profile.plain]
[profile.tool]
read = ["/usr", "${tool}"]
[action.twice]
about = "x"
command = ["/usr/bin/printf", "%s.", "a", "--n={n}", "{loud}", "{words}"]
run_as = "daemon"
env = { LANG = "C.UTF-8" }
cwd = "/tmp"
profile = "plain"
risk = "read-only"
[action.twice.params]
n = { integer = { min = 0, max = 9 } }
loud = { flag = "LOUD" }
words = { match = "[a-z]+", repeat = { min = 0, max = 2 } }
[action.hidden]
about = "A program that only root may read"
command = ["${tool}"]
run_as = "root"
profile = "tool"
[[grant]]
who = ["uid:${caller.uid}"]
may = ["twice", "hidden"]
uses = 2
`

type Answer = Readonly<Record<string, unknown>>

function ask(call: typeof actions, question: Parameters<typeof actions>[0]): Answer {
  const lines: string[] = []
  const keep = (line: string): void => void lines.push(line)
  call(question, { print: keep, complain: keep })
  const answer: Answer = JSON.parse(lines.join('\n'))
  return answer
}

function checked(root: string, action: string, values: readonly string[] = []): Answer {
  const question = { root, source: undefined, as: undefined, json: true }
  return ask(
    (options, output) => check({ ...options, action, values, reason: '' }, output),
    question,
  )
}

/** What `task` returns as the caller of the tests: this process is that user meanwhile, and root again afterwards. */
function asCaller<T>(task: () => T): T {
  const [groups, gid] = [process.getgroups?.() ?? [], process.getegid?.() ?? 0]
  process.setgroups?.([...caller.groups])
  process.setegid?.(caller.gid)
  process.seteuid?.(caller.uid)
  try {
    return task()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(gid)
    process.setgroups?.(groups)
  }
}

/** A program of root's that nobody else may read. Below /var/lib, for a policy names no way that others can write. */
function hiddenTool(): Disposable & Readonly<{ path: string }> {
  const folder = mkdtempSync('/var/lib/belladonna-test.')
  const path = join(folder, 'tool')
  copyFileSync('/usr/bin/true', path)
  chmodSync(folder, 0o755)
  chmodSync(path, 0o700)
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}

/** The resolved action of the last run, but for what is of a run. */
function lastAction(bridge: TestBridge): Answer {
  const intent = bridge.entries().findLast((entry) => entry.kind === 'intent')
  const { host, nonce, not_after_ms, ...rest }: Answer = JSON.parse(intent?.action ?? '{}')
  assert.ok([host, nonce, not_after_ms].every((member) => member !== undefined))
  return rest
}

test(
  'promise 6: check says of a request what then runs, and counts nothing',
  { skip },
  async () => {
    using tool = hiddenTool()
    await using bridge = await startBridge({ policy: policyWith(tool.path) })
    const values = ['n=7', 'words=b', 'loud=true', 'words=a']
    const answers = [1, 2, 3, 4].map(() => asCaller(() => checked(bridge.root, 'twice', values)))
    for (const answer of answers) assert.deepEqual(answer, answers[0])
    assert.equal(answers[0]?.['decision'], 'permit')
    const { status, stdout } = await bridge.bell(['twice', ...values])
    assert.deepEqual([status, stdout], [0, 'a.--n=7.LOUD.b.a.'])
    assert.deepEqual(answers[0]['resolved'], lastAction(bridge))
  },
)

test(
  'check: who may not read the counts or the program is told so; root sees both',
  { skip },
  async () => {
    using tool = hiddenTool()
    await using bridge = await startBridge({ policy: policyWith(tool.path) })
    const usedBy = (answer: Answer): unknown => Object(answer['grant'])['used']
    const hashOf = (answer: Answer): unknown =>
      Object(Object(answer['resolved'])['executable'])['sha256']
    const asRoot = (): Answer =>
      ask(
        (options, output) =>
          check({ ...options, action: 'hidden', values: [], reason: '' }, output),
        {
          ...{ root: bridge.root, source: undefined, as: `uid:${caller.uid}`, json: true },
        },
      )
    const own = asCaller(() => checked(bridge.root, 'hidden'))
    assert.deepEqual([own['decision'], usedBy(own), hashOf(own)], ['permit', null, null])
    for (const used of [0, 1]) {
      assert.deepEqual([asRoot()['decision'], usedBy(asRoot())], ['permit', used])
      assert.match(String(hashOf(asRoot())), /^[0-9a-f]{64}$/)
      assert.equal((await bridge.bell(['twice', 'n=1'])).status, 0)
    }
    assert.deepEqual([asRoot()['code'], usedBy(asRoot())], ['grant_used_up', 2])
    assert.match((await bridge.bell(['--json', 'hidden'])).stderr, /"code":"grant_used_up"/)
  },
)

test(
  'actions: lists to each what a request of theirs would not be refused for want of',
  { skip },
  async () => {
    using tool = hiddenTool()
    await using bridge = await startBridge({ policy: policyWith(tool.path) })
    const question = { root: bridge.root, source: undefined, as: undefined, json: true }
    const idsOf = ({ actions: list }: Answer): unknown =>
      Array.isArray(list) && list.map((action: unknown): unknown => Object(action)['id'])
    assert.deepEqual(idsOf(asCaller(() => ask(actions, question))), ['hidden', 'twice'])
    assert.deepEqual(idsOf(ask(actions, question)), [])
  },
)
