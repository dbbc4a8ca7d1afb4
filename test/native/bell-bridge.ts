import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The checkout's root. */
export const root: string = join(import.meta.dirname, '../..')

/** How bell ended, and what it had sent. */
export type Outcome = Readonly<{
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  frame: Buffer
}>

/** What the bridge does once it has the request; `child` is the bell that sent it. */
export type Behave = (connection: Socket, child: ChildProcess) => void

type Options = Readonly<{
  program: string
  arguments: readonly string[]
  behave: Behave
  /** Where bell is told to find the bridge, if not by its environment. */
  socketPath?: string
  /** Where to listen for that, if the path is too long to listen at. */
  listenAt?: string
  env?: NodeJS.ProcessEnv
}>

/** A directory for one test file; the caller removes it. */
export function makeTemporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'belladonna-bell-'))
}

export function removeDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true })
}

/** Runs a compiler or a tool, and returns its stdout. Throws with its stderr if it fails. */
export function runTool(program: string, args: readonly string[]): string {
  const result = spawnSync(program, args, { encoding: 'utf8' })
  if (result.status !== 0) {
    throw new Error(
      `${program}: status ${result.status} ${result.error?.message ?? ''}\n${result.stderr}`,
    )
  }
  return result.stdout
}

const warnings = ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror']
const sanitizers = ['-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all']
const bell = join(root, 'native/bell')
/** Compiles a program of native/bell/test into `directory`, with sources of bell beside it. */
export function compileTestProgram(
  directory: string,
  name: string,
  beside: readonly string[] = [],
): string {
  const out = join(directory, name)
  const sources = [join(bell, 'test', `${name}.c`), ...beside.map((file) => join(bell, file))]
  runTool('gcc', [...warnings, '-Wno-nonnull', ...sanitizers, ...sources, '-o', out])
  return out
}

/** bell as it is shipped, and bell with sanitizers: both are built by set-up. */
export const bellPrograms: Readonly<{ release: string; asan: string }> = {
  release: join(root, 'native/out/bell'),
  asan: join(root, 'native/out/asan/bell'),
}

/** Runs bell once against a bridge that takes one request and then does as `behave` says. */
export async function runBell(options: Options): Promise<Outcome> {
  const directory = makeTemporaryDirectory()
  const socketPath = options.socketPath ?? join(directory, 's')
  const received: Buffer[] = []
  let child: ChildProcess | undefined
  const server = createServer((connection) => {
    connection.on('error', () => undefined)
    connection.on('data', (chunk) => {
      const before = isWhole(Buffer.concat(received))
      received.push(chunk)
      if (!before && isWhole(Buffer.concat(received)) && child) options.behave(connection, child)
    })
  })
  try {
    await new Promise<void>((resolve) => server.listen(options.listenAt ?? socketPath, resolve))
    child = spawn(options.program, options.arguments, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: options.env ?? { BELLADONNA_SOCKET: socketPath },
    })
    const outcome = await ended(child)
    return { ...outcome, frame: Buffer.concat(received) }
  } finally {
    server.close()
    removeDirectory(directory)
  }
}

function isWhole(frame: Buffer): boolean {
  return frame.length >= 8 && frame.length >= 8 + frame.readUInt32LE(0)
}

/** Waits for a child's end and collects its output. */
export async function ended(child: ChildProcess): Promise<Omit<Outcome, 'frame'>> {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status, signal) => {
      resolve({
        status,
        signal,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      })
    })
  })
}

export const refusedKind = 0x0181
export const endedKind = 0x0182
export const terminalKind = 0x0183

/** A bridge that sends these bytes and hangs up. */
export function answering(bytes: Uint8Array): Behave {
  return (connection) => connection.end(bytes)
}

/** A frame of wire.h: the head and the parts of its body; numbers are u32. */
export function frameOf(kind: number, ...parts: readonly (number | string | Uint8Array)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part !== 'number') return Buffer.from(part)
      const number = Buffer.alloc(4)
      number.writeUInt32LE(part)
      return number
    }),
  )
  const head = Buffer.alloc(8)
  head.writeUInt32LE(body.length, 0)
  head.writeUInt16LE(kind, 4)
  return Buffer.concat([head, body])
}

/** The end of a run that exited with 0, without a ticket. */
export const exited0: Buffer = frameOf(endedKind, 1, 0, 0, 0)
