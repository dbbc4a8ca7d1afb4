/** What others named or said cannot steer the terminal of who runs `belladonna`. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { bridgePaths } from '../host/layout.ts'

const obeyed = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u
/** Clears the screen by two names, turns the direction of writing, and begins a line of its own. */
const evil = '\u001b[2J\u009b2J\u202e\nvalid: all is well'

async function belladonna(words: readonly string[]): Promise<readonly string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => (text += part))
  }
  await new Promise((resolve) => child.once('close', resolve))
  assert.notEqual(text, '')
  return text.trimEnd().split('\n')
}

function assertHarmless(lines: readonly string[]): void {
  for (const line of lines) {
    assert.doesNotMatch(line, obeyed)
    assert.ok(!line.startsWith('valid: all'), line)
  }
}

test('C60: names of files in somebody else’s directory are shown as names', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'terminal-'))
  t.after(() => rmSync(root, { recursive: true }))
  writeFileSync(join(root, `${evil}.toml`), 'schema = 2\n')
  assertHarmless(await belladonna(['policy', 'check', root]))
  assertHarmless(await belladonna(['policy', 'check', '--json', root]))
  const gone = join(root, `${evil}.gone`)
  assertHarmless(await belladonna(['policy', 'check', gone]))
  assertHarmless(await belladonna(['config', 'check', gone]))
  assertHarmless(await belladonna(['audit', 'verify', gone]))
  assertHarmless(await belladonna(['check', '--policy', gone, evil, evil]))
  assertHarmless(await belladonna(['dev', 'migrate-config', gone]))
})

test('C60: promise 4: a broker that was taken over writes nothing to the terminal of who asks it', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'terminal-'))
  const { bridgeSocket, run } = bridgePaths(root)
  mkdirSync(run, { recursive: true })
  const answer = { version: evil, [evil]: 1, policy: { digest: evil }, profiles: [{ name: evil }] }
  const server = createServer((_, response) => response.end(JSON.stringify(answer)))
  await new Promise<void>((resolve) => server.listen(bridgeSocket, resolve))
  t.after(() => {
    server.close()
    rmSync(root, { recursive: true })
  })
  assertHarmless(await belladonna(['status', '--root', root]))
  assertHarmless(await belladonna(['status', '--json', '--root', root]))
})
