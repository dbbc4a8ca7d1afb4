/** A peer on a bus: over a socket, or through whatever else carries bytes to one. */
import { createConnection } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { until } from './bridge.ts'
import { cutMessage, formatMessage, messageType } from './dbus-wire.ts'
import type { Message } from './dbus-wire.ts'

/** Both directions to a bus. */
export type Way = Readonly<{ to: Writable; from: Readable }>
export type Call = Omit<Message, 'type' | 'serial'>

export type Peer = Readonly<{
  /** Sends bytes as they are. */
  raw: (bytes: Uint8Array) => void
  /** The next serial; each is used once. */
  next: () => number
  /** Sends a call and waits for its answer; null: the connection ended, or there was none in time. */
  call: (call: Call, waitMs?: number) => Promise<Message | null>
  send: (message: Message) => void
  /** All messages that came, but for answers to `call`. */
  heard: readonly Message[]
  /** Calls `answer` for each method call from now on. */
  serve: (answer: (call: Message) => void) => void
  /** The unique name. */
  name: () => string
  isOpen: () => boolean
  close: () => void
}>

/** The bus itself, which answers to this name. */
export const driver = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
} as const

export function wayTo(path: string): Way {
  const socket = createConnection(path)
  socket.on('error', () => socket.destroy())
  return { to: socket, from: socket }
}

/** Says `auth` for itself, and Hello. */
export async function openPeer(way: Way, uid: number): Promise<Peer> {
  const peer = startPeer(way)
  const hex = Buffer.from(String(uid)).toString('hex')
  const lines = await peer.authenticate(`AUTH EXTERNAL ${hex}\r\n`)
  if (!lines.startsWith('OK ')) throw new Error(`the bus says ${JSON.stringify(lines)}`)
  peer.begin()
  const hello = await peer.call({ ...driver, member: 'Hello' })
  if (hello?.type !== messageType.return) throw new Error('no answer to Hello')
  peer.named(String(hello.body?.[0]))
  return peer
}

type StartedPeer = Peer &
  Readonly<{
    /** Sends the first byte and these lines; returns what comes back in a line. */
    authenticate: (lines: string) => Promise<string>
    begin: () => void
    named: (name: string) => void
  }>

/** Before authentication. */
export function startPeer({ to, from }: Way): StartedPeer {
  let bytes = Buffer.alloc(0)
  let begun = false
  let open = true
  let serial = 0
  let ownName = ''
  let answer: ((call: Message) => void) | null = null
  const heard: Message[] = []
  const waiting = new Map<number, (message: Message | null) => void>()
  const take = (message: Message): void => {
    const waits = waiting.get(message.replySerial ?? 0)
    waiting.delete(message.replySerial ?? 0)
    if (waits !== undefined && message.type !== messageType.signal) waits(message)
    else if (message.type === messageType.call && answer !== null) answer(message)
    else heard.push(message)
  }
  const cut = (): void => {
    for (let found = begun ? cutMessage(bytes) : null; found !== null; found = cutMessage(bytes)) {
      bytes = Buffer.from(found.rest)
      take(found.message)
    }
  }
  from.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    cut()
  })
  const over = (): void => {
    open = false
    for (const answered of waiting.values()) answered(null)
    waiting.clear()
  }
  for (const event of ['end', 'close', 'error']) from.on(event, over)
  to.on('error', over)
  const raw = (part: Uint8Array): void => {
    if (open) to.write(part)
  }
  const next = (): number => (serial += 1)
  const call = async (wanted: Call, waitMs = 3000): Promise<Message | null> => {
    const number = next()
    return await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), waitMs)
      waiting.set(number, (message) => {
        clearTimeout(timer)
        resolve(message)
      })
      raw(formatMessage({ ...wanted, type: messageType.call, serial: number }))
      if (!open) over()
    })
  }
  return {
    ...{ raw, next, call, heard },
    send: (message) => raw(formatMessage(message)),
    serve: (next) => (answer = next),
    name: () => ownName,
    isOpen: () => open,
    close: () => {
      over()
      to.end()
      from.destroy()
    },
    authenticate: async (lines) => {
      raw(Buffer.from(`\0${lines}`))
      await until(() => bytes.includes('\r\n') || !open, 3000)
      const end = bytes.indexOf('\r\n')
      const line = bytes.toString('latin1', 0, Math.max(end, 0))
      bytes = Buffer.from(bytes.subarray(end + 2))
      return line
    },
    begin: () => {
      raw(Buffer.from('BEGIN\r\n'))
      begun = true
      cut()
    },
    named: (name) => (ownName = name),
  }
}
