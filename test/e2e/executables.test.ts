/** Scripts and programs that others can change, on a real bridge: what was hashed is what runs (ADR 0018). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { compileText } from '../native/compile.ts'
import { actionText } from '../support/action-text.ts'
import { caller, readProc, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'
import { buildSwapper } from '../support/swapping.ts'
import { whileRunning } from '../support/while-running.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const theirs = join(directory, 'theirs')
const script = join(directory, 'report')
const tool = join(theirs, 'tool')
let bridge: TestBridge

/** Says which of the two it is, and its own digest as the run sees it. */
const program = (word: string): string => `
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) { puts("${word}"); if (argc > 1) sleep(1); return 0; }`
const good = join(directory, 'good')
const evil = join(directory, 'evil')

function action(name: string, command: readonly string[], more = ''): string {
  return `${actionText(name, 'place', command)}
${more}`
}

const digestOf = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex')

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  for (const [path, word] of [
    [good, 'good'],
    [evil, 'evil'],
  ] as const) {
    compileText(path, program(word))
  }
  buildSwapper(directory)
  for (const place of [theirs, `${theirs}.evil`]) {
    mkdirSync(place)
    copyFileSync(evil, join(place, 'tool'))
    chmodSync(join(place, 'tool'), 0o755)
  }
  chownSync(theirs, caller.uid, caller.gid)
  putTool(good)
  putScript('#!/bin/sh -e\nprintf "%s\\n" "$0" "$-" "$@"\nsed -n 1p "$0"\n')
  const named = action('named', [script, 'a b', '{x}'])
  bridge = await startBridge({
    policy: `schema = 1
[profile.place]
read = ["/usr", "${directory}"]
${named}
[action.named.params.x]
match = '.*'
${action('pinned', [script], `sha256 = ["${digestOf(script)}"]`)}
${action('tool', [tool], `sha256 = ["${digestOf(good)}"]`)}
${action('slow', [tool, 'slow'], `sha256 = ["${digestOf(good)}"]`)}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["named", "pinned", "tool", "slow"]
`,
  })
})
after(async () => {
  if (skip === false) await bridge[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

function putTool(from: string): void {
  const next = `${tool}.new`
  copyFileSync(from, next)
  chmodSync(next, 0o755)
  chownSync(next, caller.uid, caller.gid)
  renameSync(next, tool)
}

function putScript(text: string): void {
  writeFileSync(`${script}.new`, text)
  chmodSync(`${script}.new`, 0o755)
  renameSync(`${script}.new`, script)
}

/** Whether a process was started with this as its first word. */
function isRunning(program: string): boolean {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .some((pid) => readProc(`${pid}/cmdline`).startsWith(`${program}\0`))
}

/** The resolved actions of all runs of an action so far. */
function resolvedActions(name: string): readonly string[] {
  return bridge
    .entries()
    .flatMap((entry) => (entry.kind === 'intent' ? entry.action : []))
    .filter((text) => text.startsWith(`{"action":"${name}",`))
}

test(
  'promise 1: a script runs as the kernel would run it: interpreter, its argument, real path, arguments',
  { skip },
  async () => {
    const { status, stdout, stderr } = await bridge.bell(['named', 'x=*'])
    assert.equal(stderr, '')
    assert.deepEqual(stdout.split('\n'), [script, 'e', 'a b', '*', '#!/bin/sh -e', ''])
    assert.equal(status, 0)
  },
)

test(
  'promise 3: the resolved action of a script holds its digest and that of its interpreter',
  { skip },
  async () => {
    await bridge.bell(['pinned'])
    const text = resolvedActions('pinned').at(-1) ?? ''
    assert.ok(
      text.includes(`"executable":{"path":"${script}","sha256":"${digestOf(script)}"}`),
      text,
    )
    assert.match(
      text,
      /"interpreter":\{"path":"\/usr\/bin\/(?:dash|bash)","sha256":"[0-9a-f]{64}"\}/,
    )
  },
)

test(
  'promise 1: a program that others can change runs as the copy that was hashed, and the copy goes',
  { skip },
  async () => {
    const { status, stdout } = await bridge.bell(['tool'])
    assert.deepEqual([status, stdout], [0, 'good\n'])
    const copies = join(bridge.root, 'var/lib/belladonna/copies')
    const slow = bridge.bell(['slow'])
    await until(() => isRunning(tool), 5000)
    assert.equal(readdirSync(copies).length, 1)
    putTool(evil)
    const refused = await bridge.bell(['tool'])
    assert.match(refused.stderr, /executable_unsafe/)
    putTool(good)
    assert.equal((await slow).stdout, 'good\n')
    await until(() => readdirSync(copies).length === 0, 5000)
  },
)

const swaps: readonly (readonly [name: string, words: () => readonly string[]])[] = [
  ['two programs change places', () => ['exchange', tool, `${tool}.evil`]],
  ['its content is written over', () => ['rewrite', tool, good, evil]],
  ['it is a link to the other now and then', () => ['link', tool, evil]],
  ['so is its directory', () => ['exchange', theirs, `${theirs}.evil`]],
]
for (const [name, words] of swaps) {
  test(
    `promise 3: C12: a program that others can change runs as hashed or not at all: ${name}`,
    { skip },
    async () => {
      putTool(evil)
      renameSync(tool, `${tool}.evil`)
      putTool(good)
      const uid = words().includes(theirs) ? 0 : caller.uid
      const runs = await whileRunning([join(directory, 'swap'), ...words()], uid, async () => {
        const results: string[] = []
        while (results.length < 150) {
          const { status, stdout, stderr } = await bridge.bell(['tool'])
          assert.equal(stdout, status === 0 ? 'good\n' : '', stderr)
          results.push(stdout)
        }
        return results
      })
      const ran = runs.filter((text) => text !== '').length
      assert.ok(ran > 0 && ran < runs.length, `${ran} of ${runs.length} ran`)
      const digest = digestOf(good)
      for (const text of resolvedActions('tool')) assert.ok(text.includes(digest))
    },
  )
}

test(
  'promise 6: a script whose first line changed since the policy was installed is refused',
  { skip },
  async () => {
    for (const text of [
      '#!/bin/sh\necho x\n',
      '#!/bin/bash -e\n',
      '#!/usr/bin/env sh\n',
      'echo x\n',
      '#!/bin/sh -e\r\n',
    ]) {
      putScript(text)
      const { status, stderr } = await bridge.bell(['named', 'x=1'])
      assert.equal(status, 126, text)
      assert.match(stderr, /executable_unsafe/)
    }
    putScript('#!/bin/sh -e\necho back\n')
    assert.equal((await bridge.bell(['named', 'x=1'])).stdout, 'back\n')
  },
)

test(
  'promise 6: a script, its directory or its interpreter that others can change is refused',
  { skip },
  async () => {
    chmodSync(script, 0o777)
    assert.match((await bridge.bell(['named', 'x=1'])).stderr, /executable_unsafe/)
    chmodSync(script, 0o644)
    assert.equal((await bridge.bell(['named', 'x=1'])).status, 126)
    chmodSync(script, 0o755)
    chmodSync(directory, 0o777)
    assert.match((await bridge.bell(['named', 'x=1'])).stderr, /executable_unsafe/)
    chmodSync(directory, 0o755)
    assert.equal((await bridge.bell(['named', 'x=1'])).status, 0)
  },
)

test(
  'promise 6: what is no program is neither opened nor copied: a pipe, a directory, a link, a script',
  { skip },
  async () => {
    const places: readonly (readonly [string, () => void])[] = [
      ['a pipe', () => execFileSync('mkfifo', ['-m', '755', tool])],
      ['a directory', () => mkdirSync(tool)],
      ['a link', () => symlinkSync(good, tool)],
      ['a script', () => writeFileSync(tool, '#!/bin/sh\n', { mode: 0o755 })],
      ['nothing', () => undefined],
    ]
    for (const [name, put] of places) {
      rmSync(tool, { recursive: true, force: true })
      put()
      if (name !== 'nothing') lchownSync(tool, caller.uid, caller.gid)
      const { status, stderr } = await bridge.bell(['tool'])
      assert.equal(status, 126, name)
      assert.match(stderr, /executable_unsafe/, name)
    }
    rmSync(tool, { recursive: true, force: true })
    putTool(good)
    // The path rests for ten times as long as the copying of the script took.
    await until(async () => (await bridge.bell(['tool'])).status === 0, 5_000)
  },
)
