import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatBase64 } from '../../core/json/base64.ts'
import type { Permit } from '../../core/policy/decide.ts'
import { decide } from '../../core/policy/decide.ts'
import { indexPolicy } from '../../core/policy/policy-index.ts'
import { fullPolicy, gidOf, policyOf, uidOf } from '../../core/policy/policy.test-support.ts'
import { parseCommand } from '../../core/sandbox/command.ts'
import { rememberCommands, rememberPlans } from './remember.ts'

const subject = { uid: uidOf(0), gid: gidOf(0), groups: [], pid: 1, foreign: false, unit: null }
const index = indexPolicy(policyOf(fullPolicy))
const request = { action: 'look', reason: '', nonce: null, parameters: [] }
const decision = decide(index, subject, request, { nowMs: 0, uses: null, rates: null })
const stamp = { device: 1n, inode: 2n, size: 3n, mtimeNs: 4n, ctimeNs: 5n }
const sha256 = new Uint8Array(32)
const measured = { sha256, stamp, interpreter: null, copy: null, release: (): void => undefined }

test('remember: a command is made again for other arguments, another file, another action', () => {
  assert(decision.kind === 'permit')
  const commandOf = rememberCommands()
  const words = (permit: Permit, file = measured): readonly [readonly string[], bigint] => {
    const { argv, stamp } = parseCommand(commandOf(permit, file, []))
    return [argv, stamp.inode]
  }
  const other = { ...decision, argv: ['/usr/bin/true', 'more'] }
  const changed = { ...measured, stamp: { ...stamp, inode: 9n } }
  const first = commandOf(decision, measured, [])
  assert.equal(commandOf({ ...decision, argv: [...decision.argv] }, measured, []), first)
  assert.deepEqual(words(other), [['/usr/bin/true', 'more'], 2n])
  assert.deepEqual(words(decision), [['/usr/bin/true'], 2n])
  assert.deepEqual(words(decision, changed), [['/usr/bin/true'], 9n])
  const action = { ...decision.action, env: { A: 'b' } }
  assert.deepEqual(parseCommand(commandOf({ ...decision, action }, measured, [])).env, ['A=b'])
})

test('remember: a plan is decoded once', () => {
  assert(decision.kind === 'permit')
  const planOf = rememberPlans()
  const first = planOf(decision.profile)
  assert.equal(formatBase64(first), decision.profile.plan)
  assert.equal(planOf(decision.profile), first)
})
