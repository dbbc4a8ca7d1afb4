/**
 * What a filtered run reaches of a bus, by a bus that allows everything. Each attempt is made twice: through the filter,
 * and by the same program in a profile that differs from it in `escapable = true` and no filter, where it succeeds.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { checkout, run, runAs, until } from '../support/bridge.ts'
import { busctl, startDbusBridge } from '../support/dbus-bridge.ts'
import type { DbusBridge } from '../support/dbus-bridge.ts'
import { driver } from '../support/dbus-peer.ts'
import type { Call, Peer } from '../support/dbus-peer.ts'
import { formatMessage, messageType } from '../support/dbus-wire.ts'
import type { Message } from '../support/dbus-wire.ts'
import { manager, otherName, restart } from '../support/private-bus.ts'

const skip = process.geteuid?.() !== 0
let at: DbusBridge
before(async () => {
  if (!skip) at = await startDbusBridge()
})
after(async () => {
  if (!skip) await at[Symbol.asyncDispose]()
})

/** Speaks as a run of this action. */
async function as<T>(action: string, act: (peer: Peer) => Promise<T>): Promise<T> {
  const { peer, end, hangUp } = await at.reach(action)
  try {
    return await act(peer)
  } finally {
    hangUp()
    await end
  }
}

/** What comes of a call: the value of the answer, or its error without the common prefix. */
function said(reply: Message | null): string {
  if (reply === null) return 'nothing'
  if (reply.type === messageType.return) return 'done'
  return (reply.errorName ?? '').replace('org.freedesktop.DBus.Error.', '')
}

test(
  'dbus: the named call goes through, and the service sees the ids of the run',
  { skip },
  async () => {
    const before = at.bus.asked.length
    assert.equal(await as('filtered', async (peer) => said(await peer.call(restart))), 'done')
    const answer = await at.bridge.bell(['as.daemon'])
    assert.equal(answer.status, 0, answer.stderr)
    const call = `${manager.interface}.RestartUnit`
    const body = ['a.service', 'replace']
    assert.deepEqual(at.bus.asked.slice(before), [
      { path: manager.path, call, body, uid: 0 },
      { path: manager.path, call, body, uid: 1 },
    ])
  },
)

test('dbus: a call on any object is that, where the policy names no path', { skip }, async () => {
  const elsewhere = { ...restart, path: '/elsewhere' }
  const answers = async (action: string): Promise<string> =>
    await as(action, async (peer) => said(await peer.call(elsewhere)))
  assert.equal(await answers('anywhere'), 'done')
  assert.equal(await answers('filtered'), 'AccessDenied')
})

/** A call, and what a filtered run hears. Who reaches the bus itself hears `done`. */
const refused: readonly (readonly [name: string, call: Call, answer: string])[] = [
  ['another member', { ...restart, member: 'StopUnit' }, 'AccessDenied'],
  ['another interface', { ...restart, interface: 'org.example.Manager' }, 'AccessDenied'],
  ['no interface', { ...manager, interface: '', member: 'RestartUnit' }, 'AccessDenied'],
  ['another destination', { ...restart, destination: otherName }, 'ServiceUnknown'],
  ['another object', { ...restart, path: '/org/freedesktop/systemd1/unit/a' }, 'AccessDenied'],
  ['what lies below the object', { ...restart, path: `${manager.path}/x` }, 'AccessDenied'],
  [
    'the standard properties',
    { ...manager, interface: 'org.freedesktop.DBus.Properties', member: 'Get' },
    'AccessDenied',
  ],
  [
    'a member that begins like the named one',
    { ...restart, member: 'RestartUnitX' },
    'AccessDenied',
  ],
  [
    'a name to own',
    { ...driver, member: 'RequestName', body: ['org.example.Mine', 0] },
    'ServiceUnknown',
  ],
  [
    'the named name to own',
    { ...driver, member: 'RequestName', body: [manager.destination, 1] },
    'AccessDenied',
  ],
  [
    'who another peer is',
    { ...driver, member: 'GetConnectionUnixUser', body: [otherName] },
    'ServiceUnknown',
  ],
  [
    'who owns another name',
    { ...driver, member: 'GetNameOwner', body: [otherName] },
    'NameHasNoOwner',
  ],
  [
    'to eavesdrop, with a blank',
    { ...driver, member: 'AddMatch', body: ['eavesdrop =true'] },
    'AccessDenied',
  ],
  [
    'to eavesdrop, with a tab',
    { ...driver, member: 'AddMatch', body: ["type='signal',eavesdrop\t='true'"] },
    'AccessDenied',
  ],
  ['to eavesdrop', { ...driver, member: 'AddMatch', body: ['eavesdrop=true'] }, 'AccessDenied'],
  [
    'to eavesdrop, with a quote',
    { ...driver, member: 'AddMatch', body: ["type='method_call',eavesdrop='true'"] },
    'AccessDenied',
  ],
  ['to reload the bus', { ...driver, member: 'ReloadConfig' }, 'AccessDenied'],
]
for (const [name, call, answer] of refused) {
  test(
    `dbus: ${name} is refused to a filtered run, and not to an escapable one`,
    { skip },
    async () => {
      const wanted = call.interface === '' ? withoutInterface(call) : call
      assert.equal(await as('filtered', async (peer) => said(await peer.call(wanted))), answer)
      assert.equal(await as('open', async (peer) => said(await peer.call(wanted))), 'done')
    },
  )
}

function withoutInterface(call: Call): Call {
  return Object.fromEntries(Object.entries(call).filter(([name]) => name !== 'interface'))
}

test(
  'dbus: monitoring is refused to a filtered run, and not to an escapable one',
  { skip },
  async () => {
    // `as` and u32: an empty list of rules, and no flags.
    const call = {
      ...driver,
      interface: 'org.freedesktop.DBus.Monitoring',
      member: 'BecomeMonitor',
    }
    assert.equal(
      await as('filtered', async (peer) => said(await monitor(peer, call))),
      'AccessDenied',
    )
    await as('open', async (peer) => {
      assert.equal(said(await monitor(peer, call)), 'done')
      const other = await at.bus.peer()
      await other.call(restart)
      other.close()
      await until(() => peer.heard.some(({ member }) => member === 'RestartUnit'), 3000)
    })
  },
)

/** Its body is of the signature `asu`, which our messages have not: the bytes of two u32 zeros are the same. */
async function monitor(peer: Peer, call: Call): Promise<Message | null> {
  let found: Message | null = null
  const serial = peer.next()
  const message = { ...call, type: messageType.call, serial, body: [0, 0] }
  const bytes = formatMessage(message)
  const signature = bytes.indexOf(Buffer.from([8, 1, 0x67, 0, 2, 0x75, 0x75, 0]))
  assert.ok(signature > 0 && bytes.length % 4 === 0)
  const longer = Buffer.from([8, 1, 0x67, 0, 3, 0x61, 0x73, 0x75, 0])
  const fields = Buffer.concat([bytes.subarray(0, signature), longer])
  fields.writeUInt32LE(fields.length - 16, 12)
  const padding = Buffer.alloc((8 - (fields.length % 8)) % 8)
  peer.raw(Buffer.concat([fields, padding, Buffer.alloc(8)]))
  await until(() => {
    found = peer.heard.find(({ replySerial }) => replySerial === serial) ?? null
    return found !== null
  }, 3000)
  return found
}

test('dbus: a filtered run sees the names that it may call, and no others', { skip }, async () => {
  const names = async (action: string): Promise<readonly unknown[]> =>
    await as(action, async (peer) => {
      const list = (await peer.call({ ...driver, member: 'ListNames' }))?.body ?? []
      return list.filter((name) => name !== peer.name())
    })
  const seen = await names('filtered')
  assert.deepEqual(
    seen.toSorted(),
    ['org.freedesktop.DBus', manager.destination, at.bus.service.name()].toSorted(),
  )
  assert.ok((await names('open')).includes(otherName))
})

test('dbus: a filtered run hears nothing that others say to all', { skip }, async () => {
  const signal = { path: manager.path, interface: manager.interface, member: 'JobRemoved' }
  const hears = async (action: string): Promise<boolean> =>
    await as(action, async (peer) => {
      await peer.call({ ...driver, member: 'AddMatch', body: ["type='signal'"] })
      const { service } = at.bus
      service.send({ ...signal, type: messageType.signal, serial: service.next(), body: ['x'] })
      await peer.call(restart) // what was sent before has come by then
      return peer.heard.some(({ member }) => member === 'JobRemoved')
    })
  assert.deepEqual([await hears('filtered'), await hears('open')], [false, true])
})

test(
  'dbus: a call that quotes the serial of a reply is a call (CVE-2026-94422)',
  { skip },
  async () => {
    const before = at.bus.asked.length
    await as('filtered', async (peer) => {
      const asks = {
        destination: peer.name(),
        path: '/x',
        interface: 'org.example.X',
        member: 'Ask',
      }
      const { service } = at.bus
      service.send({ ...asks, type: messageType.call, serial: service.next() })
      await until(() => peer.heard.some(({ member }) => member === 'Ask'), 3000)
      const replySerial = peer.heard.find(({ member }) => member === 'Ask')?.serial ?? 0
      await peer.call({ ...restart, member: 'StopUnit', replySerial }, 500)
    })
    assert.deepEqual(at.bus.asked.slice(before), [])
  },
)

test(
  'dbus: the real dbus-send gets the named call through, and hears why not of another',
  { skip },
  async () => {
    assert.equal((await at.bridge.bell(['restart'])).status, 0)
    const stop = await at.bridge.bell(['stop'])
    assert.deepEqual([stop.status, /AccessDenied/.test(stop.stderr)], [1, true])
  },
)

test(
  'dbus: busctl, which authenticates in one piece, needs a proxy of 0.1.6',
  { skip: skip || (!existsSync(busctl) && `no ${busctl}`) },
  async () => {
    const { stdout: version } = await run(['/usr/bin/xdg-dbus-proxy', '--version'])
    const [major = 0, minor = 0, patch = 0] = (version.match(/\d+/g) ?? []).map(Number)
    const takesIt = major > 0 || minor > 1 || patch >= 6
    const before = at.bus.asked.length
    const { status, stdout, stderr } = await at.bridge.bell(['busctl'])
    assert.deepEqual([status, at.bus.asked.length - before], takesIt ? [0, 1] : [1, 0], version)
    if (takesIt) assert.match(stdout, /^o "\/org\/freedesktop\/systemd1\/job\/1"$/m)
    else assert.match(stderr, /not connected/)
  },
)

test('dbus: what remains: a filtered run can say a signal, and be called', { skip }, async () => {
  const other = await at.bus.peer()
  await other.call({ ...driver, member: 'AddMatch', body: ["type='signal',member='Said'"] })
  await as('filtered', async (peer) => {
    const said = { path: '/x', interface: 'org.example.X', member: 'Said' }
    peer.send({ ...said, type: messageType.signal, serial: peer.next() })
    const asks = { ...said, member: 'Ask', destination: peer.name() }
    other.send({ ...asks, type: messageType.call, serial: other.next() })
    await until(() => peer.heard.some(({ member }) => member === 'Ask'), 3000)
    await until(() => other.heard.some(({ member }) => member === 'Said'), 3000)
  })
  other.close()
})

test('dbus: a call without a destination reaches nobody', { skip }, async () => {
  const before = at.bus.asked.length
  await as('filtered', async (peer) => {
    const nowhere = { path: manager.path, interface: manager.interface, member: 'StopUnit' }
    assert.equal(said(await peer.call(nowhere)), 'UnknownMethod')
    const own = { path: driver.path, interface: driver.interface, member: 'RequestName' }
    const mine = { ...own, body: ['org.example.Mine', 0] }
    assert.equal(said(await peer.call(mine)), 'UnknownMethod')
  })
  assert.deepEqual(at.bus.asked.slice(before), [])
  const { service } = at.bus
  const owned = { ...driver, member: 'NameHasOwner', body: ['org.example.Mine'] }
  assert.equal((await service.call(owned))?.body?.[0], 0)
})

test(
  'dbus: status, check, policy check and the entries say what is filtered',
  { skip },
  async () => {
    const { root } = at.bridge
    const command = join(checkout, 'bin/belladonna')
    const says = async (...words: readonly string[]): Promise<string> => {
      const { stdout, stderr } = await run([command, ...words])
      return stdout + stderr
    }
    const call = `${manager.destination} ${manager.interface}.RestartUnit ${manager.path}`
    const status = await says('status', '--root', root)
    assert.ok(status.includes(`of ${at.bus.socket} only ${call}`), status)
    assert.ok(status.includes('profile filtered: calls by D-Bus are held without arguments'))
    assert.ok(!status.includes('profile filtered is escapable'))
    const { stdout: asked } = await runAs([command, 'check', '--root', root, 'restart'], {})
    assert.ok(asked.includes(`may call    ${call} (of ${JSON.stringify(at.bus.socket)}`), asked)
    const checked = await says('policy', 'check', join(root, 'policy.toml'))
    assert.ok(
      checked.includes(`filtered profile filtered: of ${at.bus.socket} only ${call}`),
      checked,
    )
    assert.equal((await at.bridge.bell(['restart'])).status, 0)
    await until(() => at.bridge.entries().at(-1)?.kind === 'outcome', 5000)
    const [intent, outcome] = at.bridge.entries().slice(-2)
    assert.ok(intent?.kind === 'intent' && outcome?.kind === 'outcome')
    const { proxy } = JSON.parse(intent.action)
    assert.deepEqual(proxy.allow, { [at.bus.socket]: [call] })
    const program = readFileSync('/usr/bin/xdg-dbus-proxy')
    assert.equal(proxy.sha256, createHash('sha256').update(program).digest('hex'))
    assert.ok(outcome.features.includes('dbus_filtered') && !outcome.features.includes('escapable'))
    const shown = await says(
      'audit',
      'show',
      '--root',
      root,
      String(at.bridge.entries().length - 1),
    )
    assert.ok(
      shown.includes(`filtered  ${JSON.stringify(at.bus.socket)}, but for ["${call}"]`),
      shown,
    )
  },
)
