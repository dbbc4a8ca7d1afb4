/**
 * Makes what a machine is booted from: Debian 12 with systemd, and for QEMU its own kernel and the one of its backports; and
 * beside it a disk with this checkout as it is set up. The first is kept in .setup/machine until what it is made of changes.
 *
 * Network: Debian's mirror, by the machine's own apt. Nothing of ours is fetched in the machine: it has no network.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { root } from '../../tools/tree.ts'

/** A kernel, by the start of its version; `initrd` for QEMU, which starts Debian's own. */
export type Kernel = Readonly<{ version: string; kernel: string; initrd?: string }>
export type Image = Readonly<{ disk: string; kernels: readonly Kernel[] }>

const mirror = 'http://deb.debian.org/debian'
/** What apt takes packages from: what users of Debian 12 have. */
export const sources: readonly string[] = [
  `deb ${mirror} bookworm main`,
  `deb ${mirror} bookworm-backports main`,
  `deb ${mirror}-security bookworm-security main`,
]
/** Beside what is essential: what a server has, and what our tests call. */
const packages = [
  ...['systemd-sysv', 'dbus', 'libpam-systemd', 'udev', 'kmod', 'apparmor', 'util-linux', 'procps'],
  ...['iproute2', 'nftables', 'logrotate', 'openssl', 'strace', 'xdg-dbus-proxy', 'attr'],
  ...['perl', 'libcap2-bin'],
  ...['gcc', 'libc6-dev', 'linux-libc-dev', 'musl-tools'],
]
const kernelPackages = ['linux-image-cloud-amd64', 'initramfs-tools']

const files: Readonly<Record<string, string>> = {
  '/etc/hostname': 'machine\n',
  '/etc/hosts': '127.0.0.1 localhost machine\n',
  '/etc/fstab': 'LABEL=checkout /opt/belladonna ext4 defaults 0 0\n',
  '/etc/systemd/system/machine.service': `[Unit]
Description=What test/machine tries
After=multi-user.target
ConditionKernelCommandLine=!machine.shell
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
Delegate=yes
ExecStart=/opt/belladonna/tools/run /opt/belladonna/test/machine/guest/main.ts
StandardOutput=file:/dev/ttyS1
StandardError=inherit
`,
  '/etc/systemd/system/shell.service': `[Unit]
Description=A shell on the second serial line
ConditionKernelCommandLine=machine.shell
SuccessAction=poweroff-force

[Service]
ExecStart=/bin/bash -i
Environment=HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WorkingDirectory=/opt/belladonna
StandardInput=tty
StandardOutput=tty
TTYPath=/dev/ttyS1
`,
}

/** Nobody waits here for what these do. */
const masked = [
  ...[
    'getty@tty1.service',
    'serial-getty@ttyS0.service',
    'e2scrub_reap.service',
    'apt-daily.timer',
  ],
  ...['apt-daily-upgrade.timer', 'fstrim.timer', 'e2scrub_all.timer', 'dpkg-db-backup.timer'],
]

/**
 * With Debian's own kernels, or with none.
 *
 * @throws {Error} with the end of what a command said
 */
export function ensureImage(say: (line: string) => void, withKernels: boolean): Image {
  const directory = join(root, withKernels ? '.setup/machine-kernels' : '.setup/machine')
  const stamp = createHash('sha256')
    .update(readFileSync(import.meta.filename))
    .digest('hex')
  const stampFile = join(directory, 'stamp')
  if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) {
    say('building the image (one to three minutes)')
    const scratch = mkdtempSync(join(tmpdir(), 'belladonna-image.'))
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true })
    try {
      buildImage(join(scratch, 'root'), directory, withKernels)
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
    writeFileSync(stampFile, stamp)
  }
  const boot = (version: string, kind: string): string => join(directory, `${kind}-${version}`)
  const versions = readdirSync(directory).flatMap((name) => /^vmlinuz-(.*)$/.exec(name)?.[1] ?? [])
  return {
    disk: join(directory, 'disk'),
    kernels: versions.toSorted().map((version) => ({
      version,
      kernel: boot(version, 'vmlinuz'),
      initrd: boot(version, 'initrd.img'),
    })),
  }
}

function buildImage(tree: string, directory: string, withKernels: boolean): void {
  const backports =
    'chroot "$1" apt-get -q -y --no-install-recommends -t bookworm-backports install linux-image-cloud-amd64'
  const wanted = [...packages, ...(withKernels ? kernelPackages : [])]
  call('mmdebstrap', [
    ...['--variant=minbase', '--format=directory', `--include=${wanted.join(',')}`],
    ...(withKernels ? [`--customize-hook=${backports}`] : []),
    ...['bookworm', tree, ...sources],
  ])
  for (const [path, text] of Object.entries(files)) writeFileSync(join(tree, path), text)
  const units = join(tree, 'etc/systemd/system')
  for (const name of masked) {
    rmSync(join(units, name), { force: true })
    symlinkSync('/dev/null', join(units, name))
  }
  for (const name of ['machine.service', 'shell.service']) {
    symlinkSync(`../${name}`, join(units, 'multi-user.target.wants', name))
  }
  mkdirSync(join(tree, 'opt/belladonna'), { recursive: true })
  call('chroot', [tree, 'useradd', '--create-home', '--uid', '1000', '--groups', 'sudo', 'ci'])
  for (const name of readdirSync(join(tree, 'boot'))) {
    if (/^(?:vmlinuz|initrd\.img)-/.test(name))
      renameSync(join(tree, 'boot', name), join(directory, name))
  }
  makeDisk(tree, 'root', join(directory, 'disk'), 3072)
}

/** What no machine needs, and takes long to copy. */
const large = [
  'node_modules/@typescript',
  'node_modules/typescript',
  'node_modules/prettier',
  'native/out/fuzz',
]

/** The checkout, with what set-up made, and without what only a developer's machine needs. */
export function makeCheckoutDisk(at: string): void {
  const tree = mkdtempSync(join(tmpdir(), 'belladonna-checkout.'))
  const tracked = call('git', [
    '-C',
    root,
    'ls-files',
    '-z',
    '--cached',
    '--others',
    '--exclude-standard',
  ])
  const made = ['node_modules', 'tools/node/node_modules', 'native/out', '.setup/stripped']
  try {
    for (const name of [...tracked.split('\0').filter((path) => path !== ''), ...made]) {
      if (!existsSync(join(root, name))) continue
      mkdirSync(dirname(join(tree, name)), { recursive: true })
      cpSync(join(root, name), join(tree, name), {
        recursive: true,
        verbatimSymlinks: true,
        preserveTimestamps: true,
        filter: (path) => !large.some((name) => path === join(root, name)),
      })
    }
    call('chown', ['-R', '0:0', tree])
    call('chmod', ['-R', 'u+rwX,go+rX,go-w', tree])
    makeDisk(tree, 'checkout', at, 1024)
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
}

function makeDisk(tree: string, label: string, at: string, mebibytes: number): void {
  writeFileSync(at, '')
  truncateSync(at, mebibytes * 1024 * 1024)
  call('mke2fs', ['-q', '-t', 'ext4', '-L', label, '-d', tree, at])
}

export function call(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: {
      ...process.env,
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      DEBIAN_FRONTEND: 'noninteractive',
    },
  })
  if (status === 0) return stdout
  throw new Error(`${program}: ${error?.message ?? stderr.split('\n').slice(-15).join('\n')}`)
}
