/**
 * `npm run machine`: boots machines of our own as users have them (Debian 12: systemd 252, cgroup v2 alone), runs
 * test/machine/guest in each, and prints what they say. Ends with 1 when one fails, or says nothing in time.
 *
 *     npm run machine -- [--kernel 6.1|6.12] [--accel kvm|tcg] [--shell] [NAME…]
 *
 * Without --accel the kernels are built from Debian's sources for user mode, which needs nothing of the processor and is as
 * fast as it; with it they are Debian's own, in QEMU.
 */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureImage, makeCheckoutDisk } from './image.ts'
import type { Kernel } from './image.ts'
import { ensureUserModeKernels, versions } from './linux.ts'

const { values: options, positionals: names } = parseArgs({
  options: {
    kernel: { type: 'string', default: '' },
    accel: { type: 'string' },
    shell: { type: 'boolean', default: false },
  },
  allowPositionals: true,
})
/** Of a whole machine, boot and all. */
const limitMs = (options.accel === 'tcg' ? 90 : 40) * 60_000

type Ended = 'passed' | 'failed' | 'mute'

const say = (line: string): void => console.log(`# ${line}`)

/** What is mounted, and printed on: a disk's file by its place, the console's channel, and that of the list. */
type Parts = Readonly<{ disks: readonly string[]; scratch: string; words: readonly string[] }>

/** The kernel is a program of nobody's, in a namespace of processes that ends with it: its processes are this host's too. */
function userModeCommand(kernel: Kernel, { disks, scratch, words }: Parts): readonly string[] {
  const copies = disks.map((file, index) => `ubd${index}=${scratch}/changes.${index},${file}`)
  return [
    // The shell is the first process there: what aborts, as a kernel that panics does, must not be.
    ...[
      'unshare',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      'sh',
      '-c',
      '"$@"; exit',
      'sh',
    ],
    ...['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--no-new-privs'],
    ...[kernel.kernel, 'mem=2G', `uml_dir=${scratch}`, 'con=null', 'con0=null,fd:2'],
    ...['ssl=null', `ssl1=${options.shell ? 'fd:0' : 'null'},fd:1`, 'root=/dev/ubda'],
    ...[...copies, ...words],
  ]
}

function qemuCommand(kernel: Kernel, initrd: string, parts: Parts, accel: string): string[] {
  // QEMU 7.2 emulates cmpxchg16b so that its flags are wrong, of which Linux 6.12 dies of a double fault.
  const processor = accel === 'kvm' ? 'host' : 'Nehalem,cx16=off'
  const drives = parts.disks.flatMap((file) => {
    return ['-drive', `if=virtio,format=raw,cache=unsafe,snapshot=on,file=${file}`]
  })
  return [
    ...['qemu-system-x86_64', '-M', 'q35', '-cpu', processor, '-smp', '2', '-m', '2G'],
    ...['-accel', accel === 'tcg' ? 'tcg,thread=multi' : accel],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-nic', 'none', ...drives],
    ...['-serial', 'file:/dev/stderr', '-serial', 'stdio'],
    ...['-kernel', kernel.kernel, '-initrd', initrd],
    ...['-append', ['root=/dev/vda', 'console=ttyS0', ...parts.words].join(' ')],
  ]
}

async function boot(kernel: Kernel, disks: readonly string[], scratch: string): Promise<Ended> {
  const words = [
    ...['rw', 'panic=-1', 'quiet', 'systemd.show_status=no', 'systemd.unified_cgroup_hierarchy=1'],
    ...(options.shell ? ['machine.shell'] : []),
    ...(names.length === 0 ? [] : [`machine.only=${names.join(',')}`]),
  ]
  const parts: Parts = { disks, scratch, words }
  const [program = '', ...args] =
    kernel.initrd === undefined
      ? userModeCommand(kernel, parts)
      : qemuCommand(kernel, kernel.initrd, parts, options.accel ?? '')
  const machine = spawn(program, args, {
    stdio: [options.shell ? 'inherit' : 'ignore', 'pipe', 'pipe'],
  })
  const interrupted = (): void => {
    machine.kill('SIGKILL')
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, interrupted)
  let [said, onConsole] = ['', '']
  machine.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    process.stdout.write(text.replaceAll('\r', ''))
  })
  machine.stderr.setEncoding('utf8').on('data', (text: string) => {
    onConsole += text
  })
  const limit = setTimeout(() => machine.kill('SIGKILL'), options.shell ? 2 ** 31 - 1 : limitMs)
  await new Promise((resolve) => machine.once('close', resolve))
  clearTimeout(limit)
  if (/^# machine: passed/m.test(said) || options.shell) return 'passed'
  for (const line of onConsole.trim().split(/[\r\n]+/)) say(`console: ${line}`)
  return said === '' ? 'mute' : 'failed'
}

/** Of all that there are, or the one that was asked for: then no other is built. */
const chosen = (version: string): boolean =>
  options.kernel === '' || `${version}.`.startsWith(`${options.kernel}.`)

async function main(): Promise<boolean> {
  const image = ensureImage(say, options.accel !== undefined)
  const kernels =
    options.accel === undefined
      ? ensureUserModeKernels(say, versions.filter(chosen))
      : image.kernels.filter(({ version }) => chosen(version))
  const scratch = mkdtempSync(join(tmpdir(), 'belladonna-machine.'))
  chmodSync(scratch, 0o755)
  const checkout = join(scratch, 'checkout')
  try {
    makeCheckoutDisk(checkout)
    let passed = 0
    for (const kernel of kernels) {
      const startMs = performance.now()
      const seconds = (): string => ((performance.now() - startMs) / 1000).toFixed()
      say(`Linux ${kernel.version}`)
      const own = mkdtempSync(join(scratch, 'machine.'))
      chmodSync(own, 0o777)
      const ended = await boot(kernel, [image.disk, checkout], own)
      if (ended === 'passed') passed += 1
      say(`Linux ${kernel.version}: ${ended} after ${seconds()} s`)
    }
    return passed > 0 && passed === kernels.length
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

process.exitCode = (await main()) ? 0 : 1
