import { closeSync, constants, openSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { BelladonnaError } from '../core/error.ts'
import type { JsonValue } from '../core/json/canonical.ts'
import { parseStrictJson } from '../core/json/strict.ts'
import { isCode } from './directory.ts'

const maxBytes = 1 << 20
const timeoutMs = 5_000
const againAfterMs = 5

/**
 * Asks the broker a question over bridge.sock.
 *
 * Trusted: the socket's directory is root's, so who answers was started by root.
 *
 * @throws {BelladonnaError} `daemon_away` when nobody answers in 5 s, `input_invalid` when the answer is no JSON
 */
export async function askBridge(socketPath: string, path: string): Promise<JsonValue> {
  const slash = socketPath.lastIndexOf('/')
  let directory: number
  try {
    directory = openSync(socketPath.slice(0, slash), constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    throw new BelladonnaError('daemon_away', `no bridge at ${JSON.stringify(socketPath)}`, {
      cause,
    })
  }
  try {
    // Through the directory's descriptor: sun_path holds 107 bytes, a path may have more.
    const short = `/proc/self/fd/${directory}/${socketPath.slice(slash + 1)}`
    return parseStrictJson(await getSoon(short, path, socketPath))
  } finally {
    closeSync(directory)
  }
}

/** Where others ask as fast as they can, a question may find no place at the socket: then again, while there is time. */
async function getSoon(socketPath: string, path: string, shown: string): Promise<string> {
  const endMs = performance.now() + timeoutMs
  for (;;) {
    try {
      return await get(socketPath, path, shown)
    } catch (error) {
      if (!wasCrowdedOut(error) || performance.now() > endMs) throw error
      await sleep(againAfterMs)
    }
  }
}

function wasCrowdedOut(error: unknown): boolean {
  const cause = error instanceof BelladonnaError ? error.cause : undefined
  return isCode(cause, 'EAGAIN') || isCode(cause, 'ECONNRESET') || isCode(cause, 'EPIPE')
}

async function get(socketPath: string, path: string, shown: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const away = (cause: unknown): void => {
      reject(new BelladonnaError('daemon_away', `no answer at ${JSON.stringify(shown)}`, { cause }))
    }
    const asked = request({ socketPath, path, timeout: timeoutMs }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > maxBytes) response.destroy(new Error('too long'))
      })
      response.on('error', away)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text)
        else away(new Error(`status ${response.statusCode}`))
      })
    })
    asked.on('error', away)
    asked.on('timeout', () => asked.destroy(new Error('timeout')))
    asked.end()
  })
}
