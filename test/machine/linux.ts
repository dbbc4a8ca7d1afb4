/**
 * Linux as a program of an ordinary user: builds `linux` for the architecture `um` from Debian's own sources, with the
 * settings of user-mode.config, and keeps it in .setup/machine. A kernel as such (cgroups, namespaces, seccomp, Landlock,
 * credentials, file systems) is the same source as Debian's; the processor's part is not, and it has one processor.
 */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../../tools/tree.ts'
import { call, sources } from './image.ts'
import type { Kernel } from './image.ts'

export const versions: readonly string[] = ['6.1', '6.12']
/** What cannot be set: made so in the sources. */
const edits = [
  {
    // For one file system (hostfs), whose inodes do not last, there is no Landlock; no machine of ours mounts it.
    versions: ['6.1'],
    file: 'arch/um/Kconfig',
    from: '\tselect ARCH_EPHEMERAL_INODES\n',
    to: '',
  },
  {
    // A ring is mapped in a way that the page tables of this architecture have no mark for: the kernel dies of it.
    versions: ['6.12'],
    file: 'io_uring/io_uring.c',
    from: '\tif (!io_uring_allowed())\n\t\treturn -EPERM;\n',
    to: '\tif (IS_ENABLED(CONFIG_UML))\n\t\treturn -ENOSYS;\n',
  },
] as const
const settings = join(import.meta.dirname, 'user-mode.config')
const packages = ['gcc', 'libc6-dev', 'make', 'flex', 'bison', 'bc', 'perl', 'xz-utils']

/**
 * Those of `wanted`, each one of `versions`.
 *
 * @throws {Error} with the end of what a command said
 */
export function ensureUserModeKernels(
  say: (line: string) => void,
  wanted: readonly string[],
): readonly Kernel[] {
  const directory = join(root, '.setup/machine-linux')
  const hash = createHash('sha256')
  for (const file of [import.meta.filename, settings]) hash.update(readFileSync(file))
  const stamp = hash.digest('hex')
  const kernels = wanted.map((version) => ({ version, kernel: join(directory, version) }))
  const missing = kernels.filter(({ kernel }) => {
    return !existsSync(`${kernel}.stamp`) || readFileSync(`${kernel}.stamp`, 'utf8') !== stamp
  })
  if (missing.length > 0) {
    mkdirSync(directory, { recursive: true })
    const scratch = mkdtempSync(join(tmpdir(), 'belladonna-linux.'))
    const tree = join(scratch, 'root')
    try {
      say('fetching the sources of Linux')
      const included = [...packages, ...missing.map(({ version }) => `linux-source-${version}`)]
      call('mmdebstrap', [
        ...['--variant=apt', '--format=directory', `--include=${included.join(',')}`],
        ...['bookworm', tree, ...sources],
      ])
      for (const { version, kernel } of missing) {
        say(`building Linux ${version} for user mode (some six minutes on two processors, once)`)
        rmSync(`${kernel}.stamp`, { force: true })
        copyFileSync(build(tree, version), kernel)
        writeFileSync(`${kernel}.stamp`, stamp)
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  }
  return kernels
}

/** In a tree of its own, so that the machine that builds gets no package for it. Returns the path of the program. */
function build(tree: string, version: string): string {
  const source = `/usr/src/linux-source-${version}`
  const make = ['chroot', tree, 'make', '-C', source, 'ARCH=um', `-j${availableParallelism()}`]
  copyFileSync(settings, join(tree, 'settings'))
  call('chroot', [tree, 'tar', '-xJf', `${source}.tar.xz`, '-C', '/usr/src'])
  editSources(join(tree, source), version)
  call('env', [...make, 'KCONFIG_ALLCONFIG=/settings', 'alldefconfig'])
  checkSettings(readFileSync(join(tree, source, '.config'), 'utf8'), version)
  call('env', [...make, 'linux'])
  return join(tree, source, 'linux')
}

function editSources(source: string, version: string): void {
  for (const { versions: those, file, from, to } of edits) {
    if (!those.some((one) => one === version)) continue
    const text = readFileSync(join(source, file), 'utf8')
    if (text.split(from).length !== 2) throw new Error(`Linux ${version}: ${file} is not as it was`)
    writeFileSync(join(source, file), text.replace(from, to))
  }
}

/** All must be as the file says, but what its last line names: not every version has those. */
function checkSettings(configured: string, version: string): void {
  const lines = new Set(configured.split('\n'))
  const text = readFileSync(settings, 'utf8')
  const optional = /^# Where the version has it: (.*)$/m.exec(text)?.[1]?.split(' ') ?? []
  for (const line of text.split('\n')) {
    const name = /^(CONFIG_\w+)=(?!n$)/.exec(line)?.[1]
    if (name === undefined || optional.includes(name) || lines.has(line)) continue
    throw new Error(`Linux ${version} was configured without ${line}`)
  }
}
