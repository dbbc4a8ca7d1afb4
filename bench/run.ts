/**
 * npm run bench [-- OPTION…]: bell beside sudo and doas, in turns, in one run. Needs root; takes about two minutes.
 *
 * The rules of sudo and doas are files in a private mount namespace: nothing of the host is changed. What is measured,
 * and how, is in docs/explanation/performance.md.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { missingPeers, peerVersions, replaceEtc } from './peers.ts'
import { measureAll } from './plan.ts'
import type { Results } from './plan.ts'
import { formatBlock, formatTable, replaceBlock, unreachedGoals } from './report.ts'
import type { Machine } from './report.ts'

const help = `usage: npm run bench [-- --peers-only | --decisions-only] [--quick] [--write] [--gate]

  --peers-only  sudo and doas alone, without a bridge
  --decisions-only
                decisions alone, without sudo and doas
  --quick       a tenth of the rounds: to see whether everything works
  --write       put the ratios into README.md and docs/explanation/performance.md
  --gate        end with 1 if a first goal is missed
`

const checkout = join(import.meta.dirname, '..')
const callerUid = 61_990
const tmpfsMagic = 0x0102_1994
const stopSignals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

const { values: flags } = parseArgs({
  options: {
    'peers-only': { type: 'boolean', default: false },
    'decisions-only': { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    gate: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
    // Of a run that is inside its mount namespace already: its directory, and the namespace that it left.
    inside: { type: 'string' },
    left: { type: 'string' },
  },
})

const isWhole = !flags['peers-only'] && !flags['decisions-only'] && !flags.quick

if (flags.help) process.stdout.write(help)
else if (flags.inside === undefined) process.exitCode = await enter()
else process.exitCode = await bench(flags.inside)

function mountNamespace(): string {
  return readlinkSync('/proc/self/ns/mnt')
}

/** Starts this file again in a mount namespace of its own, and cleans up after it, however it ends. */
async function enter(): Promise<number> {
  if (flags.write && !isWhole) return complain('--write is for a whole run', 2)
  if (process.getuid?.() !== 0) return complain('only root can give sudo and doas their rules', 77)
  const missing = flags['decisions-only'] ? [] : missingPeers()
  if (missing.length > 0) return complain(`not installed: ${missing.join(', ')}`, 69)
  const directory = mkdtempSync(join(tmpdir(), 'belladonna-bench-'))
  chmodSync(directory, 0o755)
  if (statfsSync(directory).type === tmpfsMagic) {
    complain(`${directory} is on tmpfs, where nothing is durable: figures flatter bell`, 0)
  }
  const marks = ['--inside', directory, '--left', mountNamespace()]
  const self = [process.execPath, ...process.argv.slice(1), ...marks]
  const child = spawn('unshare', ['--mount', '--propagation', 'private', ...self], {
    stdio: 'inherit',
  })
  for (const signal of stopSignals) process.on(signal, () => child.kill(signal))
  return await new Promise((resolve) => {
    const end = (status: number): void => {
      rmSync(directory, { recursive: true, force: true })
      resolve(status)
    }
    child.once('error', () => {
      end(complain('unshare(1) is missing', 69))
    })
    child.once('close', (status) => {
      end(status ?? 1)
    })
  })
}

async function bench(directory: string): Promise<number> {
  if (flags.left === undefined || flags.left === mountNamespace()) {
    return complain('--inside is for this program itself: it would change /etc here', 2)
  }
  const stop = new AbortController()
  for (const signal of stopSignals) {
    process.on(signal, () => {
      stop.abort(new Error(`ended by ${signal}`))
    })
  }
  const harness = join(directory, 'harness')
  const source = join(checkout, 'bench/harness.c')
  execFileSync('gcc', ['-O2', '-std=c11', '-D_GNU_SOURCE', source, '-o', harness])
  replaceEtc(join(directory, 'etc'), callerUid)
  const caller = { harness, uid: callerUid, gid: callerUid, abort: stop.signal }
  const onProgress = (text: string): void => void complain(text, 0)
  const options = {
    peersOnly: flags['peers-only'],
    decisionsOnly: flags['decisions-only'],
    quick: flags.quick,
  }
  const machine = describe()
  let results: Results
  try {
    results = await measureAll({ caller, directory, ...options, onProgress })
  } catch (cause) {
    if (stop.signal.aborted) return complain(String(stop.signal.reason), 1)
    throw cause
  }
  process.stdout.write(formatTable(machine, results))
  writeResults(machine, results)
  if (flags.write) writeBlocks(formatBlock(machine, results))
  return flags.gate && unreachedGoals(results).length > 0 ? 1 : 0
}

function writeResults(machine: Machine, results: Results): void {
  const out = join(checkout, 'bench/out')
  mkdirSync(out, { recursive: true })
  const document = { machine, ...results, whole: isWhole, quick: flags.quick }
  writeFileSync(join(out, 'latest.json'), `${JSON.stringify(document, null, 2)}\n`)
}

function writeBlocks(block: string): void {
  for (const name of ['README.md', 'docs/explanation/performance.md']) {
    const path = join(checkout, name)
    writeFileSync(path, replaceBlock(readFileSync(path, 'utf8'), block))
  }
}

function describe(): Machine {
  return {
    date: new Date().toISOString().slice(0, 10),
    kernel: release(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    versions: peerVersions(),
  }
}

function complain(text: string, status: number): number {
  process.stderr.write(`bench: ${text}\n`)
  return status
}
