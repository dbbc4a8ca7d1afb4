import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cutFrames, formatFrame } from '../core/protocol/frame.ts'
import type { Frame } from '../core/protocol/frame.ts'

const kind = 0x0302

/** Runs `body` in a process whose descriptor 3 is the other end of the socket that is returned. */
function startOther(body: string): Readonly<{ child: ChildProcess; socket: Socket }> {
  const program = `
    import { openChannel } from ${JSON.stringify(new URL('channel.ts', import.meta.url).href)}
    import { formatFrame } from ${JSON.stringify(new URL('../core/protocol/frame.ts', import.meta.url).href)}
    const kind = ${kind}
    const closed = (why) => { console.log(why instanceof Error ? why.message : why) }
    ${body}`
  const stdio = ['ignore', 'pipe', 'inherit', 'pipe'] as const
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: [...stdio],
  })
  const socket = child.stdio[3]
  assert(socket instanceof Socket)
  return { child, socket }
}

async function outputOf(child: ChildProcess): Promise<string> {
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await new Promise((resolve) => child.once('close', resolve))
  return text
}

test('channel: frames come whole and in order, also while the other side does not read', async () => {
  const { child, socket } = startOther(`
    const channel = openChannel(3, { frame: () => undefined, batchEnd: () => undefined, closed })
    for (let i = 0; i < 40; i += 1) channel.send(formatFrame(kind, new Uint8Array(100_000).fill(i)))`)
  const output = outputOf(child)
  socket.pause()
  await sleep(300) // far more is sent than a socket holds
  const seen: Frame[] = []
  let rest: Uint8Array = new Uint8Array(0)
  socket.on('data', (chunk: Buffer) => {
    rest = cutFrames(Buffer.concat([rest, chunk]), (frame) => seen.push(frame))
    if (seen.length === 40) socket.end()
  })
  socket.resume()
  assert.equal(await output, 'the other side closed the channel\n')
  assert.deepEqual(
    seen.map(({ kind, body }) => [kind, body.length, new Set(body).size, body[0]]),
    seen.map((_, i) => [kind, 100_000, 1, i]),
  )
  assert.equal(seen.length, 40)
})

test('channel: a frame that is cut anywhere is put together, and stays as it was', async () => {
  const { child, socket } = startOther(`
    const kept = []
    const channel = openChannel(3, {
      frame: ({ body }) => { kept.push(body) },
      batchEnd: () => { if (kept.length === 2) channel.send(formatFrame(kind, ...kept)) },
      closed,
    })`)
  const output = outputOf(child)
  const bytes = [1, 2].map((value) => formatFrame(kind, new Uint8Array(1000).fill(value)))
  const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve))
  for (const part of [
    bytes[0]?.subarray(0, 3),
    bytes[0]?.subarray(3, 500),
    bytes[0]?.subarray(500),
    bytes[1],
  ]) {
    socket.write(part ?? '')
    await sleep(30)
  }
  assert.deepEqual(
    new Uint8Array(await answer),
    formatFrame(kind, ...bytes.map((frame) => frame.subarray(8))),
  )
  socket.end()
  assert.equal(await output, 'the other side closed the channel\n')
})

test('channel: bytes that are no frame, and a handler that throws, end it', async () => {
  for (const [body, bytes, why] of [
    ['', Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 0), 'frame head: size 0, zero 1\n'],
    ["throw new Error('refused')", formatFrame(kind), 'refused\n'],
  ] as const) {
    const { child, socket } = startOther(
      `openChannel(3, { frame: () => { ${body} }, batchEnd: () => undefined, closed })`,
    )
    const output = outputOf(child)
    socket.on('error', () => undefined)
    socket.write(bytes)
    assert.equal(await output, why)
  }
})
