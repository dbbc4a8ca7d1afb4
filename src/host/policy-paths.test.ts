import assert from 'node:assert/strict'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { isCleanPath } from '../core/identity.ts'
import type { PathFact } from '../core/policy/compile-facts.ts'
import { architecture } from './boot-plan.ts'
import { resolvePolicyPath } from './policy-paths.ts'

const uid = process.geteuid?.() ?? 0
// Not in /tmp: a copy of a program there would be noexec on some hosts, and others may write the directory.
const directory = mkdtempSync(uid === 0 ? '/var/lib/belladonna-test.' : `${process.cwd()}/.test.`)
const script = join(directory, 'script')
const tool = join(directory, 'open/tool')

before(() => {
  chmodSync(directory, 0o755)
  mkdirSync(join(directory, 'open'))
  copyFileSync('/usr/bin/true', tool)
})
beforeEach(() => {
  chmodSync(join(directory, 'open'), 0o755)
  chmodSync(tool, 0o755)
})
after(() => rmSync(directory, { recursive: true, force: true }))

function command(path: string): PathFact {
  assert.ok(isCleanPath(path))
  return resolvePolicyPath(path, 'command', { uid, architecture: architecture() })
}

function scriptWith(text: string): PathFact {
  rmSync(script, { force: true })
  writeFileSync(script, text)
  chmodSync(script, 0o755)
  return command(script)
}

test('policy paths: a script is found with the program that reads it, and the links on the way to both', () => {
  const fact = scriptWith('#!/bin/sh -e\n')
  assert.ok(fact.kind === 'found')
  assert.equal(fact.real, script)
  assert.match(fact.interpreter?.executable ?? '', /^\/usr\/bin\/(?:dash|bash)$/)
  assert.deepEqual([fact.interpreter?.path, fact.interpreter?.argument], ['/bin/sh', '-e'])
  assert.ok(fact.links.some(({ path }) => path === '/bin' || path.endsWith('/sh')))
})

const scripts: readonly (readonly [text: string, code: string, message: RegExp])[] = [
  ['#!/usr/bin/env sh\n', 'command_invalid', /along PATH/],
  ['#!bin/sh\n', 'command_invalid', /absolute/],
  ['#!/bin/sh\r\n', 'command_invalid', /nobody sees/],
  [`#!/bin/sh ${'x'.repeat(300)}\n`, 'command_invalid', /256 bytes/],
  ['#!/nowhere/sh\n', 'command_invalid', /its interpreter "\/nowhere\/sh" does not exist/],
  ['#!/etc/passwd\n', 'command_invalid', /not an executable file/],
  ['#!/usr\n', 'command_invalid', /not an executable file/],
  [`#!${directory}/other\n`, 'command_invalid', /a script itself/],
  [`#!${directory}/link\n`, 'command_invalid', /along PATH/],
  [`#!${tool}\n`, 'path_unsafe', /writable by group or others/],
]
for (const [text, code, message] of scripts) {
  test(`promise 1: policy paths: ${JSON.stringify(text.slice(0, 30))} is no script to run`, () => {
    writeFileSync(join(directory, 'other'), '#!/bin/sh\n')
    chmodSync(join(directory, 'other'), 0o755)
    rmSync(join(directory, 'link'), { force: true })
    symlinkSync('/usr/bin/env', join(directory, 'link'))
    chmodSync(tool, 0o777)
    const fact = scriptWith(text)
    assert.ok(fact.kind === 'refused')
    assert.equal(fact.code, code)
    assert.match(fact.message, message)
  })
}

test('policy paths: of a program that others can change the fact says so, of no other', () => {
  const safe = command(tool)
  assert.ok(safe.kind === 'found')
  assert.equal(safe.changeable, undefined)
  chmodSync(tool, 0o757)
  const writable = command(tool)
  assert.ok(writable.kind === 'found')
  assert.match(writable.changeable ?? '', /tool" is writable/)
  chmodSync(tool, 0o755)
  chmodSync(join(directory, 'open'), 0o777)
  const exposed = command(tool)
  assert.ok(exposed.kind === 'found')
  assert.match(exposed.changeable ?? '', /open" is writable/)
})

test('promise 1: C12: policy paths: a script that others can change is refused, and a link where they can put one', () => {
  scriptWith('#!/bin/sh\n')
  chmodSync(script, 0o757)
  const fact = command(script)
  assert.ok(fact.kind === 'refused')
  assert.deepEqual(fact.code, 'path_unsafe')
  assert.match(fact.message, /must be root's alone/)
  rmSync(join(directory, 'open/link'), { force: true })
  symlinkSync('/usr/bin/true', join(directory, 'open/link'))
  chmodSync(join(directory, 'open'), 0o777)
  const linked = command(join(directory, 'open/link'))
  assert.ok(linked.kind === 'refused')
  assert.match(linked.message, /links are in it/)
})

test('policy paths: what is neither a program of this machine nor a script', () => {
  writeFileSync(script, 'echo x\n')
  const fact = command(script)
  assert.ok(fact.kind === 'refused')
  assert.match(fact.message, /not a 64-bit ELF program/)
  chmodSync(script, 0o644)
  assert.equal(command(script).kind, 'refused')
})
