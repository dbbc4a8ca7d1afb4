/**
 * `npm start`: a bridge with the example policy, and three requests to it by somebody without privileges: one that is
 * permitted, one that the policy denies, one with a bad argument. Then it stays up. `--once` ends after the same.
 */
import { BelladonnaError } from '../core/error.ts'
import { auditVerify } from './audit.ts'
import { makeRoot, startDemoBridge } from './demo/bridge.ts'
import type { DemoBridge } from './demo/bridge.ts'
import { chooseCaller } from './demo/caller.ts'
import type { Caller } from './demo/caller.ts'
import { catchInterrupts } from './demo/interrupt.ts'
import { request, showRecord } from './demo/request.ts'
import type { Answer } from './demo/request.ts'
import { holdSwappiness, readSwappiness } from './demo/sysctl.ts'
import { exitStatuses, reportError } from './exit.ts'
import { status } from './status.ts'

const interrupt = catchInterrupts()
const isInterrupted = (): boolean => interrupt.status() !== 0
/** Silent once interrupted: what a request says whose bridge is being ended helps nobody. */
const print = (line: string): void => {
  if (!isInterrupted()) process.stdout.write(`${line}\n`)
}
const output = { print: (): void => undefined, complain: print }

type Step = Readonly<{ title: string; words: readonly string[]; wantedStatus: number }>

const denied: Step = {
  title: 'denied by policy: nobody in this group may see the accounts',
  words: ['host.accounts'],
  wantedStatus: 125,
}
const malformed: Step = {
  title: 'refused for a bad argument: the policy says 0 to 200',
  words: ['kernel.swappiness', 'value=10; reboot'],
  wantedStatus: 125,
}

async function take(bridge: DemoBridge, caller: Caller, step: Step): Promise<Answer> {
  print(`\n── ${step.title}`)
  print(`   $ bell ${step.words.map(quote).join(' ')}`)
  const answer = await request(bridge, caller, step.words)
  for (const line of answer.output.trimEnd().split('\n')) if (line !== '') print(`   ${line}`)
  print(`   bell says ${JSON.stringify(answer.told)}, exit status ${answer.status}`)
  await showRecord(bridge, answer, print)
  if (answer.status !== step.wantedStatus) {
    throw new BelladonnaError(
      'start_failed',
      `exit status ${answer.status}, not ${step.wantedStatus}`,
    )
  }
  return answer
}

function quote(word: string): string {
  return /^[\w.=-]+$/.test(word) ? word : `'${word}'`
}

/** Changes vm.swappiness through the bridge, reads it back outside the sandbox, and puts the old value back. */
async function permitted(bridge: DemoBridge, caller: Caller): Promise<void> {
  await using held = await holdSwappiness()
  const value = held.before === 200 ? 199 : held.before + 1
  print(`\n   vm.swappiness is ${held.before}; only root may change it`)
  await take(bridge, caller, {
    title: 'permitted, and it needs root',
    words: ['kernel.swappiness', `value=${value}`],
    wantedStatus: 0,
  })
  print(`   read back outside the sandbox: vm.swappiness is ${readSwappiness()}`)
  if (readSwappiness() !== value) {
    throw new BelladonnaError('start_failed', 'the action had no effect')
  }
}

async function walk(bridge: DemoBridge, caller: Caller): Promise<void> {
  await status(bridge.root, false, (line) => print(`   ${line}`))
  if (caller.kind === 'other') await permitted(bridge, caller)
  else {
    const title = 'permitted; for your own uid only, since this bridge has no root'
    await take(bridge, caller, { title, words: ['host.uname'], wantedStatus: 0 })
  }
  await take(bridge, caller, denied)
  // For an ordinary user the example has no grant of kernel.swappiness; the bad argument is then to another action.
  const words = ['service.note', '-r', 'a try', 'service=../../etc/shadow']
  await take(
    bridge,
    caller,
    caller.kind === 'other' ? malformed : { ...malformed, words: reorder(words) },
  )
  print('\n── the log, from its files and the public key')
  const lib = `${bridge.root}/var/lib/belladonna`
  const verified = await auditVerify({ directory: lib, json: false }, (line) => print(`   ${line}`))
  if (verified !== 0) throw new BelladonnaError('log_corrupt', 'the log does not verify')
}

/** bell's options come first. */
function reorder([
  action = '',
  flag = '',
  reason = '',
  parameter = '',
]: readonly string[]): string[] {
  return [flag, reason, action, parameter]
}

/** Returns whether it was ended in the way that it asks for; then a signal is no failure. */
async function demo(once: boolean): Promise<boolean> {
  const caller = chooseCaller()
  const root = makeRoot()
  print(
    caller.kind === 'other'
      ? `Belladonna: a bridge as root, asked by uid ${caller.uid} of group sudo, under no_new_privs`
      : `Belladonna: a bridge for uid ${caller.uid} alone; run it as root for the real walls`,
  )
  print(`   below ${root}, with packaging/policy/example.toml`)
  await using bridge = await startDemoBridge(root, caller, output, interrupt.signal)
  await Promise.race([walk(bridge, caller), interrupt.happened])
  if (once || isInterrupted()) return false
  const who =
    caller.kind === 'other'
      ? `setpriv --reuid ${caller.uid} --regid ${caller.gid} --groups ${caller.groups.join(',')} --no-new-privs `
      : ''
  print(`\nThe bridge stays up. Try it from another terminal, and end it with Ctrl-C:`)
  print(`   ${who}${bridge.bell} -S ${bridge.runSocket} host.uname`)
  print(`   bin/belladonna status --root ${bridge.root}`)
  await Promise.race([interrupt.happened, bridge.ended])
  if (!isInterrupted()) throw new BelladonnaError('start_failed', 'the bridge ended')
  return true
}

async function main(words: readonly string[]): Promise<number> {
  if (words.length > 1 || (words[0] ?? '--once') !== '--once') {
    print('usage: npm start [-- --once]')
    return exitStatuses.usage
  }
  try {
    const isDone = await demo(words.length === 1)
    return isDone ? 0 : interrupt.status()
  } catch (error) {
    return isInterrupted() ? interrupt.status() : reportError(error, print)
  }
}

// An interrupted request may still wait for its answer; the bridge is gone, and so are we.
process.exit(await main(process.argv.slice(2)))
