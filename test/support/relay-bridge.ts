/** For tests of relays: a bridge whose actions write, with the caller's pipes as bytes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { OutcomeEntry, OutcomeOutput } from '../../src/core/audit/entry.ts'
import { compileText } from '../native/compile.ts'
import { grantedActionText as granted } from './action-text.ts'
import { caller, childrenOf, readProc, startBridge } from './bridge.ts'
import type { TestBridge } from './bridge.ts'

export type Bell = Readonly<{ child: ChildProcess; end: Promise<Ended> }>
export type Ended = Readonly<{ status: number | null; stdout: Buffer; stderr: Buffer }>
/** `take: false` leaves both pipes unread. */
type BellOptions = Readonly<{ input?: Buffer; take?: boolean }>

export type RelayBridge = AsyncDisposable &
  Readonly<{
    bridge: TestBridge
    startBell: (args: readonly string[], options?: BellOptions) => Bell
    outcomeOf: TestBridge['outcomeOf']
    /** Their process ids. */
    relays: () => readonly number[]
  }>

/** Ends with the log verified and the bridge stopped in order. */
export async function startRelayBridge(): Promise<RelayBridge> {
  const directory = mkdtempSync('/var/lib/belladonna-test.')
  chmodSync(directory, 0o755)
  compileText(join(directory, 'writer'), writer)
  const bridge = await startBridge({ policy: policyFor(directory) })
  return {
    bridge,
    startBell: (args, options = {}) => startBell(bridge, args, options),
    outcomeOf: bridge.outcomeOf,
    relays: () =>
      childrenOf(bridge.pids().launcher).filter((pid) =>
        readProc(`${pid}/comm`).startsWith('belladonna-rela'),
      ),
    async [Symbol.asyncDispose]() {
      assert.deepEqual((await bridge.verify()).problems, [])
      assert.equal(await bridge.stop(), 0)
      await bridge[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Writes argv[1] bytes to stdout and argv[2] to stderr, in pieces that take turns; byte n is n * 7 + n / 256. */
const writer = `
#include <stdlib.h>
#include <unistd.h>
static void piece(int fd, long *at, long end) {
  unsigned char bytes[10000]; long n = end - *at < 9973 ? end - *at : 9973;
  for (long i = 0; i < n; i++) bytes[i] = (*at + i) * 7 + ((*at + i) >> 8);
  for (long done = 0; done < n;) { long w = write(fd, bytes + done, n - done); if (w < 0) exit(4); done += w; }
  *at += n;
}
int main(int argc, char **argv) {
  long out = 0, err = 0, outs = argc > 1 ? atol(argv[1]) : 0, errs = argc > 2 ? atol(argv[2]) : 0;
  while (out < outs || err < errs) { piece(1, &out, outs); piece(2, &err, errs); }
  return 0;
}`

/** What it writes first. */
export function written(size: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >> 8)))
}

function write(directory: string, profile: string): string {
  const name = `write.${profile}`
  const sizes = ['out', 'err'].map((size) => `[action."${name}".params.${size}]\nmatch = '[0-9]+'`)
  return granted(name, profile, [join(directory, 'writer'), '{out}', '{err}'], sizes.join('\n'))
}

function policyFor(directory: string): string {
  const read = `read = ["/usr", "${directory}"]`
  return `schema = 1
[profile.pass]
[profile.default]
${read}
stdin = "stream"
output = "capped"
[profile.small]
${read}
output = "capped"
limits = { output = "1000" }
[profile.large]
${read}
stdin = "stream"
output = "capped"
limits = { output = "64M" }
[profile.quick]
output = "capped"
limits = { output = "64M", time = "1s" }
[profile.long]
output = "capped"
limits = { time = "5m" }
${['default', 'small', 'large'].map((name) => write(directory, name)).join('\n')}
${granted('copy', 'large', ['/usr/bin/cat'])}
${granted('pass.sleep', 'pass', ['/usr/bin/sleep', '5'])}
${granted('sleep', 'large', ['/usr/bin/sleep', '20'])}
${granted('zeros', 'quick', ['/usr/bin/head', '-c', '120000', '/dev/zero'])}
${granted('forever', 'quick', ['/usr/bin/cat', '/dev/zero'])}
${granted('ten.gigabytes', 'long', ['/usr/bin/head', '-c', '10G', '/dev/zero'])}
${granted('yes', 'large', ['/usr/bin/yes'])}
${granted('seven', 'default', ['/usr/bin/dash', '-c', 'echo out; exec >&- 2>&-; sleep 0.2; exit 7'])}
`
}

/** bell with its output as bytes; `take: false` leaves both pipes unread. */
function startBell(
  bridge: TestBridge,
  args: readonly string[],
  { input = Buffer.alloc(0), take = true }: BellOptions,
): Bell {
  const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--groups', '27']
  const words = [...identity, bridge.bellPath, '-S', bridge.socket, ...args]
  const child = spawn('/usr/bin/setpriv', words, { stdio: ['pipe', 'pipe', 'pipe'] })
  const chunks: [Buffer[], Buffer[]] = [[], []]
  if (take) {
    child.stdout.on('data', (chunk: Buffer) => chunks[0].push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks[1].push(chunk))
  }
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const end = new Promise<Ended>((resolve) => {
    child.once(take ? 'close' : 'exit', (status: number | null) => {
      resolve({ status, stdout: Buffer.concat(chunks[0]), stderr: Buffer.concat(chunks[1]) })
    })
  })
  return { child, end }
}

export type Capped = Extract<OutcomeOutput, { kind: 'capped' }>

export function capped({ output }: OutcomeEntry): Capped {
  assert.ok(output.kind === 'capped')
  return output
}

/** What an entry says of a stream of which the client got `bytes`. */
export function stream(bytes: Uint8Array, writtenBytes: number = bytes.length): Capped['stdout'] {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { written: writtenBytes, delivered: bytes.length, sha256 }
}
