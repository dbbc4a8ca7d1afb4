/** Clients that break the wire of D-Bus before a filtered bus: whatever becomes of them, no call but the named one arrives. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { until } from '../support/bridge.ts'
import { startDbusBridge } from '../support/dbus-bridge.ts'
import type { DbusBridge } from '../support/dbus-bridge.ts'
import { driver, startPeer } from '../support/dbus-peer.ts'
import type { Call, Peer } from '../support/dbus-peer.ts'
import { formatMessage, messageType } from '../support/dbus-wire.ts'
import { manager, restart } from '../support/private-bus.ts'
import type { Asked } from '../support/private-bus.ts'

const skip = process.geteuid?.() !== 0
let at: DbusBridge
before(async () => {
  if (!skip) at = await startDbusBridge()
})
after(async () => {
  if (!skip) await at[Symbol.asyncDispose]()
})

/** What a client may say before it is let in: lines as bytes, and whether a bus would take them. */
const handshakes: readonly (readonly [name: string, lines: string])[] = [
  ['whitespace that daemons read otherwise (CVE-2018-6560)', 'AUTH EXTERNAL 30\r\nBEGIN\tX\r\n'],
  ['a line that begins with a blank', ' AUTH EXTERNAL 30\r\n BEGIN\r\n'],
  ['BEGIN before it was let in', 'BEGIN\r\n'],
  ['a NUL in a line', 'AUTH EXTERNAL 30\r\n\0BEGIN\r\n'],
  ['no authentication at all', ''],
  ["somebody else's uid", 'AUTH EXTERNAL 31303030\r\nBEGIN\r\n'],
]
for (const [name, lines] of handshakes) {
  test(`dbus: ${name}, and then a call that is not named, reaches nobody`, { skip }, async () => {
    const before = at.bus.asked.length
    await rawly('filtered', async (peer) => {
      peer.raw(Buffer.from(`\0${lines}`))
      peer.raw(formatMessage({ ...driver, member: 'Hello', type: messageType.call, serial: 1 }))
      peer.raw(formatMessage({ ...restart, member: 'StopUnit', type: messageType.call, serial: 2 }))
      await new Promise((resolve) => setTimeout(resolve, 300))
    })
    assert.deepEqual(at.bus.asked.slice(before), [])
  })
}

async function rawly(action: string, act: (peer: Peer) => Promise<void>): Promise<void> {
  const { end, ...way } = at.way(action)
  await act(startPeer(way))
  way.to.end()
  await end
}

test('dbus: a message in pieces is one message', { skip }, async () => {
  const before = at.bus.asked.length
  const { peer, end, hangUp } = await at.reach('filtered')
  const bytes = formatMessage({ ...restart, type: messageType.call, serial: peer.next() })
  for (const byte of bytes) {
    peer.raw(Uint8Array.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => at.bus.asked.length > before, 5000)
  assert.deepEqual(
    at.bus.asked.slice(before).map(({ call }) => call),
    [`${manager.interface}.RestartUnit`],
  )
  hangUp()
  await end
})

/** Each makes another message of one that is refused. */
const spoilt: readonly (readonly [name: string, spoil: (bytes: Buffer) => Buffer])[] = [
  ['the other byte order', (bytes) => patched(bytes, 0, 0x42)],
  ['a body longer than it is', (bytes) => Buffer.from(bytes).fill(0xff, 4, 7)],
  ['fields longer than they are', (bytes) => Buffer.from(bytes).fill(0xff, 12, 15)],
  ['the serial 0', (bytes) => Buffer.from(bytes).fill(0, 8, 12)],
  ['another version', (bytes) => patched(bytes, 3, 2)],
  ['no type', (bytes) => patched(bytes, 1, 0)],
  ['an unknown type', (bytes) => patched(bytes, 1, 9)],
  ['a field twice', twice],
  ['a named call around it', (bytes) => Buffer.concat([namedBytes(9000).subarray(0, -8), bytes])],
]
for (const [name, spoil] of spoilt) {
  test(`dbus: a call that is not named, with ${name}, reaches nobody`, { skip }, async () => {
    const before = at.bus.asked.length
    const { peer, end, hangUp } = await at.reach('filtered')
    const serial = peer.next()
    peer.raw(
      spoil(formatMessage({ ...restart, member: 'StopUnit', type: messageType.call, serial })),
    )
    peer.raw(
      formatMessage({
        ...restart,
        member: 'StopUnit',
        type: messageType.call,
        serial: peer.next(),
      }),
    )
    await new Promise((resolve) => setTimeout(resolve, 300))
    hangUp()
    await end
    const forbidden = at.bus.asked
      .slice(before)
      .filter(({ call }) => !call.endsWith('.RestartUnit'))
    assert.deepEqual(forbidden, [])
  })
}

function patched(bytes: Buffer, index: number, value: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[index] = value
  return copy
}

function namedBytes(serial: number): Buffer {
  return formatMessage({ ...restart, type: messageType.call, serial })
}

/** The member once more, behind the others: first a named one, then one that is not. */
function twice(bytes: Buffer): Buffer {
  const size = bytes.readUInt32LE(12)
  const body = bytes.subarray(Math.ceil((16 + size) / 8) * 8)
  const head = Buffer.concat([
    bytes.subarray(0, 16 + size),
    Buffer.alloc((8 - ((16 + size) % 8)) % 8),
  ])
  const text = Buffer.from('RestartUnit\0')
  const more = Buffer.from([3, 1, 0x73, 0, text.length - 1, 0, 0, 0, ...text])
  const fields = Buffer.concat([head, more])
  fields.writeUInt32LE(fields.length - 16, 12)
  return Buffer.concat([fields, Buffer.alloc((8 - (fields.length % 8)) % 8), body])
}

/** How many calls but the named one have arrived while `act` went on. */
async function forbidden(act: () => Promise<void>): Promise<number> {
  const before = at.bus.asked.length
  await act()
  const isNamed = (asked: Asked): boolean => asked.call === named && asked.path === manager.path
  return at.bus.asked.slice(before).filter((asked) => !isNamed(asked)).length
}

const named = `${manager.interface}.RestartUnit`

test(
  'dbus: two hundred calls with a letter changed by chance reach nobody but by their name',
  { skip },
  async () => {
    const say = async (action: string): Promise<void> => {
      const random = seeded(7)
      const { peer, end, hangUp } = await at.reach(action)
      for (let i = 0; i < 200; i++) await peer.call(changedCall(random))
      hangUp()
      await end
    }
    assert.equal(await forbidden(async () => await say('filtered')), 0)
    assert.ok((await forbidden(async () => await say('open'))) > 100)
  },
)

/** One letter of a part of the named call is another one. */
function changedCall(random: () => number): Call {
  const parts = ['destination', 'path', 'interface', 'member'] as const
  const part = parts[Math.floor(random() * parts.length)] ?? 'member'
  const text = restart[part]
  const letters = [...text.matchAll(/[A-Za-z]/g)].map(({ index }) => index)
  const place = letters[Math.floor(random() * letters.length)] ?? 0
  const letter = String.fromCharCode(0x61 + Math.floor(random() * 26))
  return { ...restart, [part]: text.slice(0, place) + letter + text.slice(place + 1) }
}

test(
  'dbus: calls with a byte changed by chance reach nobody but by their name',
  { skip },
  async () => {
    const say = async (action: string): Promise<void> => {
      const random = seeded(11)
      for (let i = 0; i < 24; i++) {
        const { peer, end, hangUp } = await at.reach(action)
        const stop = { ...restart, member: 'StopUnit', type: messageType.call, serial: peer.next() }
        const bytes = formatMessage(stop)
        peer.raw(patched(bytes, Math.floor(random() * bytes.length), Math.floor(random() * 256)))
        await new Promise((resolve) => setTimeout(resolve, 50))
        hangUp()
        await end
      }
    }
    assert.equal(await forbidden(async () => await say('filtered')), 0)
    assert.ok((await forbidden(async () => await say('open'))) > 0)
    assert.equal((await at.bridge.bell(['restart'])).status, 0)
  },
)

/** Numbers from 0 to 1, the same each time. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state / 2 ** 31
  }
}
