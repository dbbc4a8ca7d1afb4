/** Strikes a process at one of its system calls, by strace, and tells from strace's own output whether it was struck there. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { isCode } from '../../src/host/directory.ts'
import type { Cell } from '../e2e/fault/cells.ts'
import { childrenOf, exitOf, readProc, until } from './bridge.ts'

/** Cloned for it, by a process that the launcher has for that. */
function isOfRun({ struck }: Cell): boolean {
  return struck === 'first' || struck === 'command' || struck === 'relay'
}

/** strace's options for a cell. Bytes are shown as hexadecimal digits, so that frames can be told apart. */
export function straceWords(cell: Cell, output: string): readonly string[] {
  // In place of the call another one that does nothing: strace's own is -1, which the seccomp program of a service kills for.
  const how = cell.fault === 'SIGKILL' ? 'signal=SIGKILL' : `error=${cell.fault}:syscall=getpid`
  // A run's processes are followed from those that wait for it on; of a service only the main thread counts, for workers write
  // checkpoints, or else only workers.
  const follow = isOfRun(cell) ? ['-f'] : []
  // Which file it is about.
  const named = cell.isOfWorker === true ? ['-y'] : []
  const inject = `inject=${cell.call}:${how}:when=${cell.nth}`
  return [
    '-q',
    ...[...follow, ...named],
    '-xx',
    '-s',
    '16',
    '-o',
    output,
    '-e',
    `trace=${cell.call}`,
    '-e',
    inject,
  ]
}

/**
 * Attaches to a process; the first call of the cell's kind from now on counts as the first.
 *
 * @param paths the files that count; all, if there is none
 */
export async function attach(
  cell: Cell,
  pid: number,
  output: string,
  paths: readonly string[] = [],
): Promise<ChildProcess> {
  const pids = cell.isOfWorker === true ? workersOf(pid) : isOfRun(cell) ? helpersOf(pid) : [pid]
  const words = [
    ...straceWords(cell, output),
    ...[...ownChannels(cell, pid), ...paths].flatMap((path) => ['-P', path]),
  ]
  return await traceAll(pids, words)
}

/** All threads of a process but the main one. */
function workersOf(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`)
    .map(Number)
    .filter((thread) => thread !== pid)
}

/** Attaches strace to these. */
export async function traceAll(
  pids: readonly number[],
  words: readonly string[],
): Promise<ChildProcess> {
  const tracer = spawn('strace', [...words, ...pids.flatMap((each) => ['-p', `${each}`])], {
    stdio: 'ignore',
  })
  // One that waits in the call already may be struck at once, and end of it.
  const isTraced = (each: number): boolean =>
    !/^State:	[^Z][^]*^TracerPid:	0$/m.test(readProc(`${each}/status`))
  await until(() => pids.every(isTraced), 5_000)
  return tracer
}

/** What a service writes frames to. Node writes too, to wake itself up, at any time: that is not to count. */
function ownChannels({ struck, call }: Cell, pid: number): readonly string[] {
  const isOfService = struck === 'executor' || struck === 'broker'
  if (!isOfService || call !== 'write') return []
  return [3, 4].map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`))
}

/** Lets go of what still lives. */
export async function detach(tracer: ChildProcess): Promise<void> {
  tracer.kill('SIGTERM')
  await exitOf(tracer)
}

/** Whether the cell's fault took hold at the cell's own step: not at another call of that name, and not for another reason. */
export function isHit(cell: Cell, output: string): boolean {
  const lines = readFileSync(output, 'utf8')
    .split('\n')
    .map((line) => /^(?:(\d+) +)?(.*)$/.exec(line)?.slice(1) ?? [])
  if (cell.fault !== 'SIGKILL') {
    assert.ok(!lines.some(([, text = '']) => text.includes('killed by SIGSYS')))
    return lines.some(([, text = '']) => cell.seen.test(text) && text.endsWith('(INJECTED)'))
  }
  return lines.some(([pid, text = ''], at) => {
    if (text !== '+++ killed by SIGKILL +++') return false
    const last = lines.slice(0, at).findLast(([other, line]) => other === pid && line !== undefined)
    return last?.[1] !== undefined && cell.seen.test(last[1])
  })
}

/**
 * How often the call that failed was made again on that descriptor, by the process that had seen it fail. What Node writes at its end
 * for the test runner's coverage has another.
 */
export function callsAfterFault(output: string): number {
  const calls = readFileSync(output, 'utf8').split('\n')
  const struck = calls.findIndex((line) => line.endsWith('(INJECTED)'))
  const [of] = /^[a-z0-9]+\(\d+\b/.exec(calls[struck] ?? '') ?? ['']
  assert.notEqual(of, '')
  return calls.slice(struck + 1).filter((line) => line.startsWith(of)).length
}

/** The launcher's own processes below itself: spares that wait to be runs, and who makes them. */
export function helpersOf(pid: number): readonly number[] {
  return childrenOf(pid)
    .filter((child) => readProc(`${child}/comm`) === 'belladonna-laun\n')
    .flatMap((child) => [child, ...helpersOf(child)])
}

/** A process of some run at this moment: the command, or else a first process or a spare. */
export function someRunProcess(launcher: number): number | undefined {
  const helpers = helpersOf(launcher)
  const commands = helpers.flatMap(childrenOf).filter((pid) => !helpers.includes(pid))
  return commands[0] ?? helpers.at(-1)
}

/** Kills a process by SIGKILL. false: it ended meanwhile. */
export function isStruck(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (isCode(error, 'ESRCH')) return false
    throw error
  }
}
