import type { Server } from 'node:http'
import type { JsonValue } from '../../core/json/canonical.ts'

// An import of node:http fills in all its exports, of which some load the whole of undici (16 MB).
const { createServer } = process.getBuiltinModule('node:http')

/**
 * Answers questions on bridge.sock. It runs nothing and changes nothing; anybody on the host may ask.
 *
 * @param describe makes the body of `GET /v1/status`
 */
export function serveStatus(
  descriptor: number,
  maxClients: number,
  describe: () => JsonValue,
): Server {
  const server = createServer(
    {
      ...{ maxHeaderSize: 8192, headersTimeout: 2_000, requestTimeout: 4_000 },
      // Node looks for connections past these times every 30 s unless told otherwise: 32 silent clients would shut out all.
      ...{ keepAliveTimeout: 1_000, connectionsCheckingInterval: 500 },
    },
    (request, response) => {
      request.resume()
      const known = request.url === '/v1/status'
      const allowed = request.method === 'GET'
      const body = known && allowed ? JSON.stringify(describe()) : problemOf(known)
      response.writeHead(known ? (allowed ? 200 : 405) : 404, {
        'content-type': known && allowed ? 'application/json' : 'application/problem+json',
        'cache-control': 'no-store',
      })
      response.end(body)
    },
  )
  server.maxConnections = maxClients
  server.listen({ fd: descriptor })
  return server
}

function problemOf(known: boolean): string {
  return JSON.stringify({
    type: 'about:blank',
    title: known ? 'only GET is allowed here' : 'there is nothing at this path',
  })
}
