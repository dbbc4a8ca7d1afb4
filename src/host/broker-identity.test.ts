import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { brokerIdentity, relayIdentity } from './broker-identity.ts'
import type { IdPlaces } from './reserved-id.ts'

const root = 'root:x:0:0:root:/root:/bin/sh'
const reserved = { uid: 61_200, gid: 61_200 }

const identities = [
  { name: 'nobody has the reserved id', want: reserved },
  {
    name: 'comments and empty lines count as nothing',
    passwd: '# x:x:61200:61200\n',
    want: reserved,
  },
  {
    name: 'the user belladonna has ids of its own',
    passwd: 'belladonna:x:991:990::/:/usr/sbin/nologin',
    want: { uid: 991, gid: 990 },
  },
  {
    name: 'the user belladonna counts before whoever has the reserved id',
    passwd: 'belladonna:x:991:990::/:/bin/false\nalice:x:61200:100::/:/bin/sh',
    want: { uid: 991, gid: 990 },
  },
]
for (const { name, passwd = '', want } of identities) {
  test(`broker identity: ${name}`, () => {
    assert.deepEqual(identityWith({ passwd }), want)
  })
}

const refusals = [
  { name: 'a user', passwd: 'alice:x:61200:100::/:/bin/sh', says: /61200 belongs to "alice"/ },
  { name: 'a user’s group', passwd: 'bob:x:1000:61200::/:/bin/sh', says: /belongs to "bob"/ },
  { name: 'a group', group: 'staff:x:61200:', says: /belongs to "staff"/ },
  { name: 'a dynamic user of systemd', dynamic: '61200', says: /DynamicUser/ },
  { name: 'root, by name', passwd: 'belladonna:x:0:0::/:/bin/sh', says: /no ids of an ordinary/ },
  { name: 'nobody, by name', passwd: 'belladonna:x:65534:1::/:/', says: /no ids of an ordinary/ },
  { name: 'no number', passwd: 'belladonna:x:x:1::/:/', says: /no ids of an ordinary/ },
]
for (const { name, says, ...places } of refusals) {
  test(`broker identity: refused when it is that of ${name}`, () => {
    assert.throws(() => identityWith(places), { code: 'start_failed', message: says })
  })
}

test('relay identity: reserved ids of its own, or those of the user belladonna-relay', () => {
  assert.deepEqual(relayWith({}), { uid: 61_201, gid: 61_201 })
  const passwd = 'belladonna-relay:x:993:992::/:/usr/sbin/nologin'
  assert.deepEqual(relayWith({ passwd }), { uid: 993, gid: 992 })
})

const relayRefusals = [
  { name: 'somebody’s', passwd: 'alice:x:61201:100::/:/bin/sh', says: /61201 belongs to "alice"/ },
  { name: 'the broker’s uid', passwd: 'belladonna-relay:x:61200:9::/:/', says: /of the broker/ },
  { name: 'the broker’s gid', passwd: 'belladonna-relay:x:9:61200::/:/', says: /of the broker/ },
  { name: 'root', passwd: 'belladonna-relay:x:0:0::/:/', says: /no ids of an ordinary/ },
]
for (const { name, says, passwd } of relayRefusals) {
  test(`relay identity: refused when it is ${name}`, () => {
    assert.throws(() => relayWith({ passwd }), { code: 'start_failed', message: says })
  })
}

function relayWith(places: Places): unknown {
  return identityWith(places, (at) => relayIdentity(reserved, at))
}

type Places = Readonly<{ passwd?: string; group?: string; dynamic?: string }>

function identityWith(
  { passwd = '', group = '', dynamic }: Places,
  identity: (places: IdPlaces) => unknown = brokerIdentity,
): unknown {
  const directory = mkdtempSync(join(tmpdir(), 'belladonna-ids.'))
  try {
    const places = {
      passwd: join(directory, 'passwd'),
      group: join(directory, 'group'),
      dynamic: join(directory, 'dynamic'),
    }
    writeFileSync(places.passwd, `${root}\n${passwd}\n`)
    writeFileSync(places.group, `root:x:0:\n${group}\n`)
    mkdirSync(places.dynamic)
    if (dynamic !== undefined) writeFileSync(join(places.dynamic, dynamic), '')
    return identity(places)
  } finally {
    rmSync(directory, { recursive: true })
  }
}
