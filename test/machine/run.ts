/**
 * `npm run machine`: boots machines of our own as users have them (Debian 12: systemd 252, cgroup v2 alone), runs
 * test/machine/guest in each, and prints what they say. Ends with 1 when one fails, or says nothing in time.
 *
 *     npm run machine -- [--kernel 6.1|6.12] [--accel tcg|kvm] [--shell] [NAME…]
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureImage, makeCheckoutDisk } from './image.ts'
import type { Image, Kernel } from './image.ts'

const { values: options, positionals: names } = parseArgs({
  options: {
    kernel: { type: 'string', default: '' },
    accel: { type: 'string' },
    shell: { type: 'boolean', default: false },
  },
  allowPositionals: true,
})
/** Of a whole machine, boot and all. By emulation, on two slow processors. */
const limitMs = 90 * 60_000
/** By then a machine has begun with the list, if the processor's own virtualisation works. */
const firstWordsMs = 45_000

type Ended = 'passed' | 'failed' | 'mute'

const say = (line: string): void => console.log(`# ${line}`)

async function boot(image: Image, kernel: Kernel, disk: string, accel: string): Promise<Ended> {
  const words = [
    ...['root=/dev/vda', 'rw', 'console=ttyS0', 'panic=-1', 'quiet', 'systemd.show_status=no'],
    ...(options.shell ? ['machine.shell'] : []),
    ...(names.length === 0 ? [] : [`machine.only=${names.join(',')}`]),
  ]
  // QEMU 7.2 emulates cmpxchg16b so that its flags are wrong, of which Linux 6.12 dies of a double fault.
  const processor = accel === 'kvm' ? 'host' : 'Nehalem,cx16=off'
  const drive = (file: string): string[] => {
    return ['-drive', `if=virtio,format=raw,cache=unsafe,snapshot=on,file=${file}`]
  }
  const consoleFile = `${disk}.console`
  const machine = spawn(
    'qemu-system-x86_64',
    [
      ...['-M', 'q35', '-accel', accel, '-cpu', processor, '-smp', '2', '-m', '2G'],
      ...['-nodefaults', '-display', 'none', '-no-reboot', '-nic', 'none'],
      ...['-serial', `file:${consoleFile}`, '-serial', 'stdio'],
      ...['-kernel', kernel.kernel, '-initrd', kernel.initrd, '-append', words.join(' ')],
      ...[...drive(image.disk), ...drive(disk)],
    ],
    { stdio: [options.shell ? 'inherit' : 'ignore', 'pipe', 'inherit'] },
  )
  const interrupted = (): void => {
    machine.kill('SIGKILL')
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, interrupted)
  let said = ''
  machine.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    process.stdout.write(text.replaceAll('\r', ''))
  })
  const limit = setTimeout(() => machine.kill('SIGKILL'), options.shell ? 2 ** 31 - 1 : limitMs)
  const first = setTimeout(() => {
    if (accel === 'kvm' && said === '' && !options.shell) machine.kill('SIGKILL')
  }, firstWordsMs)
  await new Promise((resolve) => machine.once('close', resolve))
  clearTimeout(limit)
  clearTimeout(first)
  if (/^# machine: passed/m.test(said) || options.shell) return 'passed'
  if (said !== '') return 'failed'
  const seen = existsSync(consoleFile) ? readFileSync(consoleFile, 'utf8').trim() : ''
  for (const line of seen.split(/[\r\n]+/)) say(`console: ${line}`)
  return 'mute'
}

/** With the processor's help where that works, which a node in /dev alone does not say; else by emulation. */
async function bootAnyhow(image: Image, kernel: Kernel, disk: string): Promise<Ended> {
  if (options.accel !== undefined) return await boot(image, kernel, disk, options.accel)
  const helped = await boot(image, kernel, disk, 'kvm')
  if (helped !== 'mute') return helped
  say('no machine came up with kvm, so it is emulated')
  return await boot(image, kernel, disk, 'tcg,thread=multi')
}

async function main(): Promise<boolean> {
  const image = ensureImage(say)
  const scratch = mkdtempSync(join(tmpdir(), 'belladonna-machine.'))
  const disk = join(scratch, 'checkout')
  try {
    makeCheckoutDisk(disk)
    const outcomes: boolean[] = []
    for (const kernel of image.kernels.filter(({ version }) =>
      version.startsWith(options.kernel),
    )) {
      const startMs = performance.now()
      say(`Linux ${kernel.version}`)
      const ended = await bootAnyhow(image, kernel, disk)
      outcomes.push(ended === 'passed')
      say(
        `Linux ${kernel.version}: ${ended} after ${((performance.now() - startMs) / 1000).toFixed()} s`,
      )
    }
    return outcomes.length > 0 && outcomes.every((passed) => passed)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

process.exitCode = (await main()) ? 0 : 1
