/** For tests of terminals: a bridge whose actions want one. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { compile } from '../native/compile.ts'
import { readProc, startBridge } from './bridge.ts'
import type { TestBridge } from './bridge.ts'
import { openTerminal } from './terminal.ts'
import type { Terminal } from './terminal.ts'
import { grantedActionText } from './action-text.ts'

export type TerminalBridge = AsyncDisposable &
  Readonly<{
    bridge: TestBridge
    /** Where the programs of the tests are. */
    directory: string
    /** bell's command line, as words for a shell too. */
    bell: (...words: readonly string[]) => readonly string[]
    /** The caller's terminal, with this in it. */
    open: (
      command: readonly string[],
      size?: Readonly<{ rows: number; columns: number }>,
    ) => Terminal
    /** Process ids of every bell that runs. */
    bells: () => readonly number[]
  }>

export async function startTerminalBridge(): Promise<TerminalBridge> {
  const directory = mkdtempSync('/var/lib/belladonna-test.')
  chmodSync(directory, 0o755)
  const host = compile(directory, 'terminal-host.c')
  for (const program of ['tiocsti-probe.c', 'terminal-client.c']) compile(directory, program)
  const bridge = await startBridge({ policy: policyFor(directory) })
  return {
    bridge,
    directory,
    bell: (...words) => [bridge.bellPath, '-S', bridge.socket, ...words],
    open: (command, size = { rows: 24, columns: 80 }) => openTerminal(host, command, size),
    bells: () =>
      readdirSync('/proc')
        .map(Number)
        .filter((pid) => pid > 0 && readProc(`${pid}/cmdline`).startsWith(bridge.bellPath)),
    async [Symbol.asyncDispose]() {
      assert.equal(await bridge.stop(), 0)
      assert.deepEqual((await bridge.verify()).problems, [])
      await bridge[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function action(name: string, command: readonly string[], profile = 'at.terminal'): string {
  return grantedActionText(name, profile, command)
}

/** Commands that wait are exec'd: dash puts a SIGINT off that comes while it makes a process, until that has ended. */
const sh = (text: string): readonly string[] => ['/usr/bin/dash', '-c', text]

function policyFor(directory: string): string {
  const read = `read = ["/usr", "${directory}"]`
  const capped = `${read}\nstdin = "stream"\noutput = "capped"`
  return `schema = 1
[profile."at.terminal"]
${capped}
limits = { output = "64M", time = "5m" }
[profile.small]
${capped}
limits = { output = "1000" }
[profile.quick]
${capped}
limits = { time = "1s" }
[profile.few]
${capped}
syscalls = ["@file", "read", "write", "mmap", "mprotect", "brk", "close", "prlimit64", "arch_prctl", "set_tid_address",
  "set_robust_list", "rseq", "getrandom", "munmap", "pread64", "exit_group"]
[profile.closed]
${read}
output = "capped"
[profile.passed]
${read}
stdin = "stream"
output = "pass"
${action('look', sh('tty; stty size; echo pts: /dev/pts/*; (exec 3<>/dev/pts/ptmx) 2>&1; true'))}
${action('look.few', ['/usr/bin/tty'], 'few')}
${action('look.closed', sh('tty; cat; tty <&1'), 'closed')}
${action('watch', sh("trap 'echo now $(stty size)' WINCH; echo here; while :; do sleep 0.1; done"))}
${action('copy', ['/usr/bin/cat'])}
${action('sleep', sh('echo here; exec sleep 60'))}
${action('sleep.quick', sh('echo here; exec sleep 60'), 'quick')}
${action('sleep.closed', sh('echo here; exec sleep 60'), 'closed')}
${action('count', ['/usr/bin/wc', '-c'])}
${action('shell', ['/usr/bin/bash', '--norc', '--noprofile', '-i'])}
${action('top', ['/usr/bin/env', 'TERM=xterm', '/usr/bin/top'])}
${action('type', [join(directory, 'tiocsti-probe')])}
${action('type.passed', [join(directory, 'tiocsti-probe')], 'passed')}
${action('many', ['/usr/bin/head', '-c', '10M', '/dev/urandom'])}
${action('many.small', ['/usr/bin/head', '-c', '3000', '/dev/zero'], 'small')}
${action('yes', ['/usr/bin/yes'])}
${action('three', sh('echo out; echo err >&2; echo tty >/dev/tty'))}
${action('ask', sh('cat; read answer </dev/tty; echo "said $answer"'))}
${action('log', sh('seq 5'))}
${action('flap', sh('(for i in $(seq 3000); do kill -STOP $$; kill -CONT $$; done) & wait; cat >/dev/null'))}
${action('hangup', sh("trap 'exit 9' HUP; echo here; while :; do sleep 0.1; done"))}
`
}
