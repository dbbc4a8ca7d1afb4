import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { JsonValue } from '../../core/json/canonical.ts'

const maxHeadBytes = 8192
/** How long a client has for its whole question, and then for taking the answer. */
const patienceMs = 2_000
/** How many may be accepted in one turn of the loop: more than wait at the socket. */
const maxUnread = 512
/** What may come behind the head before the client is ended: nobody reads it. */
const maxIgnoredBytes = 4 * 1024 * 1024

/**
 * Answers questions on bridge.sock. It runs nothing and changes nothing; anybody on the host may ask.
 *
 * Whoever comes takes the place of who has been there longest, so that silent clients keep nobody out: a question comes with
 * its connection. But who was accepted a moment ago is read once before that, however fast others come: until then there may be
 * `maxUnread` more. One question a connection, and no body is looked at. Node's own server answers all that one packet holds before anybody
 * else has a turn: hundreds of questions, for each of which it makes two objects of many members (and it is 16 MB more).
 *
 * @param describe makes the body of `GET /v1/status`
 * @see RFC 9112
 */
export function serveStatus(
  descriptor: number,
  maxClients: number,
  describe: () => JsonValue,
): Server {
  /** Who was accepted, oldest first; then who has had its turn. `take` moves them. */
  const unread = new Set<Socket>()
  const open = new Set<Socket>()
  const shrink = (): void => {
    const [oldest] = open
    if (open.size + unread.size <= maxClients || oldest === undefined) return
    open.delete(oldest)
    oldest.destroy()
  }
  const take = (socket: Socket): void => {
    if (!unread.delete(socket)) return
    open.add(socket)
    shrink()
  }
  const server = createServer((socket) => {
    if (unread.size >= maxUnread) {
      socket.destroy()
      return
    }
    unread.add(socket)
    shrink()
    socket.once('close', () => {
      unread.delete(socket)
      open.delete(socket)
    })
    serveOne(socket, describe)
    // What came with it is read in the loop's next turn.
    setImmediate(() => setImmediate(take, socket))
  })
  server.listen({ fd: descriptor })
  return server
}

function serveOne(socket: Socket, describe: () => JsonValue): void {
  let head = Buffer.alloc(0)
  let ignored = 0
  let timer = setTimeout(() => socket.destroy(), patienceMs)
  const answer = (text: string): void => {
    clearTimeout(timer)
    timer = setTimeout(() => socket.destroy(), patienceMs)
    socket.end(text)
  }
  socket.on('close', () => clearTimeout(timer))
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    if (!socket.writable) {
      ignored += chunk.length
      if (ignored > maxIgnoredBytes) socket.destroy()
      return
    }
    head = Buffer.concat([head, chunk.subarray(0, maxHeadBytes - head.length)])
    const end = head.indexOf('\r\n\r\n')
    if (end >= 0) answer(answerTo(head.toString('latin1', 0, end), describe))
    else if (!/^[A-Z]/.test(head.toString('latin1', 0, 1))) answer(malformed)
    else if (head.length === maxHeadBytes) {
      answer(problem('431 Request Header Fields Too Large', 'the head is too long'))
    }
  })
}

const fieldLine = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/

/** @param head request line and fields, without the empty line */
function answerTo(head: string, describe: () => JsonValue): string {
  const [first = '', ...fields] = head.split('\r\n')
  const [, method, target, minor] = /^([A-Z]+) ([\x21-\x7e]+) HTTP\/1\.([01])$/.exec(first) ?? []
  const hosts = fields.filter((line) => /^host:/i.test(line)).length
  const isHosted = hosts === 1 || (hosts === 0 && minor === '0')
  if (method === undefined || !isHosted || !fields.every((line) => fieldLine.test(line))) {
    return malformed
  }
  if (target !== '/v1/status') return problem('404 Not Found', 'there is nothing at this path')
  if (method !== 'GET') return problem('405 Method Not Allowed', 'only GET is allowed here')
  return respond('200 OK', 'application/json', JSON.stringify(describe()))
}

function problem(status: string, title: string): string {
  return respond(status, 'application/problem+json', JSON.stringify({ type: 'about:blank', title }))
}

const malformed = problem('400 Bad Request', 'this is not a request')

function respond(status: string, type: string, body: string): string {
  const fields = [
    `content-type: ${type}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    'connection: close',
  ]
  return [`HTTP/1.1 ${status}`, ...fields, '', body].join('\r\n')
}
