/** The wire of D-Bus, as far as tests speak it: little-endian messages with bodies of strings and u32. */
import assert from 'node:assert/strict'

/** D-Bus Specification, "Message Protocol". */
export const messageType = { call: 1, return: 2, error: 3, signal: 4 } as const

export type Message = Readonly<{
  type: number
  serial: number
  path?: string
  interface?: string
  member?: string
  errorName?: string
  replySerial?: number
  destination?: string
  sender?: string
  /** A `u32` or a string for each argument. */
  body?: readonly (string | number)[]
  /** Where it is not `s` for strings: `o` for one that is the path of an object. */
  signature?: string
  flags?: number
}>

const fieldCodes = {
  path: [1, 'o'],
  interface: [2, 's'],
  member: [3, 's'],
  errorName: [4, 's'],
  replySerial: [5, 'u'],
  destination: [6, 's'],
  sender: [7, 's'],
} as const

export function formatMessage(message: Message): Buffer {
  const body = newWriter()
  for (const value of message.body ?? []) body.value(typeof value === 'string' ? 's' : 'u', value)
  const writer = newWriter()
  writer.raw([0x6c, message.type, message.flags ?? 0, 1])
  writer.value('u', body.bytes().length)
  writer.value('u', message.serial)
  const fields = newWriter()
  for (const [name, [code, type]] of Object.entries(fieldCodes)) {
    const value = valueOf(message, name)
    if (value !== undefined) field(fields, code, type, value)
  }
  const types = (message.body ?? []).map((value) => (typeof value === 'string' ? 's' : 'u'))
  const signature = message.signature ?? types.join('')
  if (signature !== '') field(fields, 8, 'g', signature)
  writer.value('u', fields.bytes().length)
  return Buffer.concat([padded(Buffer.concat([writer.bytes(), fields.bytes()]), 8), body.bytes()])
}

function valueOf(message: Message, name: string): string | number | undefined {
  const value = Object.entries(message).find(([key]) => key === name)?.[1]
  return typeof value === 'string' || typeof value === 'number' ? value : undefined
}

type Writer = Readonly<{
  raw: (bytes: readonly number[]) => void
  align: (to: number) => void
  value: (type: string, value: string | number) => void
  bytes: () => Buffer
}>

/** Each field begins at a multiple of eight, and so do fields and body. */
function field(writer: Writer, code: number, type: string, value: string | number): void {
  writer.align(8)
  writer.raw([code, 1, type.charCodeAt(0), 0])
  writer.value(type, value)
}

function newWriter(): Writer {
  let all = Buffer.alloc(0)
  const add = (bytes: Uint8Array): void => {
    all = Buffer.concat([all, bytes])
  }
  const align = (to: number): void => {
    all = padded(all, to)
  }
  const u32 = (value: number): void => {
    align(4)
    const four = Buffer.alloc(4)
    four.writeUInt32LE(value)
    add(four)
  }
  return {
    raw: (bytes) => add(Uint8Array.from(bytes)),
    align,
    value: (type, value) => {
      if (typeof value === 'number') u32(value)
      else if (type === 'g') add(Buffer.from([value.length, ...Buffer.from(value), 0]))
      else {
        const text = Buffer.from(value)
        u32(text.length)
        add(Buffer.from([...text, 0]))
      }
    },
    bytes: () => all,
  }
}

function padded(bytes: Buffer, to: number): Buffer<ArrayBuffer> {
  return Buffer.concat([bytes, Buffer.alloc((to - (bytes.length % to)) % to)])
}

/** Cuts the first whole message off; null: there is none yet. */
export function cutMessage(bytes: Buffer): Readonly<{ message: Message; rest: Buffer }> | null {
  if (bytes.length < 16) return null
  assert.equal(bytes[0], 0x6c, 'little-endian')
  const [bodySize, fieldsSize] = [bytes.readUInt32LE(4), bytes.readUInt32LE(12)]
  const bodyAt = Math.ceil((16 + fieldsSize) / 8) * 8
  if (bytes.length < bodyAt + bodySize) return null
  const { signature, ...fields } = readFields(bytes, 16 + fieldsSize)
  const body = readBody(bytes.subarray(bodyAt, bodyAt + bodySize), signature)
  const message = { type: bytes[1] ?? 0, serial: bytes.readUInt32LE(8), ...fields, body }
  return { message, rest: bytes.subarray(bodyAt + bodySize) }
}

function readFields(
  bytes: Buffer,
  end: number,
): Omit<Message, 'type' | 'serial'> & Readonly<{ signature: string }> {
  const texts = new Map<number, string>()
  let replySerial: number | undefined
  for (let at = 16; at < end;) {
    at = Math.ceil(at / 8) * 8
    const [code, type] = [bytes[at] ?? 0, String.fromCharCode(bytes[at + 2] ?? 0)]
    const { value, next } = readValue(bytes, at + 4, type)
    at = next
    if (typeof value === 'string') texts.set(code, value)
    else if (code === fieldCodes.replySerial[0]) replySerial = value
  }
  const named = Object.entries(fieldCodes).flatMap(([name, [code]]) => {
    const text = texts.get(code)
    return text === undefined ? [] : [[name, text] as const]
  })
  const fields: Readonly<Partial<Record<string, string>>> = Object.fromEntries(named)
  const number = replySerial === undefined ? {} : { replySerial }
  return { ...fields, ...number, signature: texts.get(8) ?? '' }
}

function readValue(
  bytes: Buffer,
  from: number,
  type: string,
): Readonly<{ value: string | number; next: number }> {
  if (type === 'g') {
    const size = bytes[from] ?? 0
    return { value: bytes.toString('utf8', from + 1, from + 1 + size), next: from + size + 2 }
  }
  const at = Math.ceil(from / 4) * 4
  const number = bytes.readUInt32LE(at)
  if (type === 'u' || type === 'b') return { value: number, next: at + 4 }
  return { value: bytes.toString('utf8', at + 4, at + 4 + number), next: at + 5 + number }
}

/** Of an array of strings each is a value. */
function readBody(bytes: Buffer, signature: string): readonly (string | number)[] {
  const values: (string | number)[] = []
  let at = 0
  const take = (type: string): void => {
    const { value, next } = readValue(bytes, at, type)
    values.push(value)
    at = next
  }
  if (signature === 'as') {
    const end = 4 + bytes.readUInt32LE(0)
    for (at = 4; at < end;) take('s')
  } else for (const type of /^[souxb]*$/.test(signature) ? signature : '') take(type)
  return values
}
