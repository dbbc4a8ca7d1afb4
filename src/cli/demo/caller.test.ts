import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { asCaller, chooseCaller } from './caller.ts'
import type { Caller } from './caller.ts'

const sudo = 'root:x:0:\nsudo:x:27:alice\n'

test('demo caller: an ordinary user asks for itself', () => {
  const caller = chooseCaller(1000)
  assert.deepEqual(caller, { kind: 'self', uid: 1000 })
  assert.deepEqual(asCaller(caller, ['bell', 'x']), ['bell', ['x']])
})

test('demo caller: root asks as nobody’s id with the group sudo, under no_new_privs', () => {
  const caller = chooseWith('', sudo)
  assert.deepEqual(caller, { kind: 'other', uid: 61_210, gid: 61_210, groups: [27] })
  const words = '--reuid 61210 --regid 61210 --groups 27 --no-new-privs bell x'.split(' ')
  assert.deepEqual(asCaller(caller, ['bell', 'x']), ['/usr/bin/setpriv', words])
})

const refusals = [
  { name: 'the id is a user’s', passwd: 'eve:x:61210:1::/:/\n', group: sudo, says: /"eve"/ },
  { name: 'the id is a group’s', passwd: '', group: `${sudo}tea:x:61210:\n`, says: /"tea"/ },
  { name: 'there is no group sudo', passwd: '', group: 'root:x:0:\n', says: /no group sudo/ },
]
for (const { name, passwd, group, says } of refusals) {
  test(`demo caller: refused when ${name}`, () => {
    assert.throws(() => chooseWith(passwd, group), { code: 'start_failed', message: says })
  })
}

function chooseWith(passwd: string, group: string): Caller {
  const directory = mkdtempSync(join(tmpdir(), 'belladonna-ids.'))
  try {
    const places = {
      passwd: join(directory, 'passwd'),
      group: join(directory, 'group'),
      dynamic: join(directory, 'dynamic'),
    }
    writeFileSync(places.passwd, passwd)
    writeFileSync(places.group, group)
    return chooseCaller(0, places)
  } finally {
    rmSync(directory, { recursive: true })
  }
}
