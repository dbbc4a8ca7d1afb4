import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'

import manifest from './package.json' with { type: 'json' }
import { isSuccess } from './measure.ts'
import type { Command } from './measure.ts'

/** What a run whose output is kept writes. sudo's options go by its command with its words: hence two ways to say so much. */
export const recordedBytes: number = 128 * 1024 * 1024
export const plainSource: readonly string[] = [
  ...['/usr/bin/head', '-c', `${recordedBytes}`, '/dev/zero'],
]
export const compressedSource: readonly string[] = ['/usr/bin/head', '-c', '128M', '/dev/zero']
/** Where sudo keeps it, below the directory of the bench. */
export const ioLogs = 'sudo-io'

/** The account that calls; its name exists in the private copy of /etc only. */
const callerName = 'belladonna-bench'

const target = '/usr/bin/true'
const forbidden = '/usr/bin/false'

/**
 * Puts a copy of /etc in place of /etc, in this mount namespace only, with an account for the caller.
 *
 * A whole copy, since a file that does not exist (/etc/doas.conf) cannot be bound over, and an overlay would make each
 * of the peers' look-ups slower.
 */
export function replaceEtc(directory: string, uid: number): void {
  mkdirSync(directory)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755,size=256M', 'tmpfs', directory])
  execFileSync('cp', ['-a', '/etc/.', directory])
  execFileSync('mount', ['--bind', directory, '/etc'])
  if (
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .some((line) => line.split(':')[2] === `${uid}`)
  ) {
    throw new Error(`uid ${uid} is taken`)
  }
  appendFileSync('/etc/passwd', `${callerName}:x:${uid}:${uid}::/:/usr/sbin/nologin\n`)
  appendFileSync('/etc/group', `${callerName}:x:${uid}:\n`)
  appendFileSync('/etc/shadow', `${callerName}:*:19000:0:99999:7:::\n`)
  // sudo asks for the host's name, and must not wait for a name server.
  appendFileSync('/etc/hosts', `\n127.0.1.1 ${hostname()}\n`)
}

// As Debian ships it, but for the mail about denials: this machine's sendmail, if it has one, is not our business.
const sudoDefaults = [
  'Defaults env_reset',
  'Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"',
  'Defaults use_pty',
  'Defaults !mail_always,!mail_badpass,!mail_no_user,!mail_no_host,!mail_no_perms',
]

/** log_output for the runs whose output is kept, and for no other. */
function keptDefaults(directory: string): readonly string[] {
  return [
    `Cmnd_Alias PLAIN = ${plainSource.join(' ')}`,
    `Cmnd_Alias ZLIB = ${compressedSource.join(' ')}`,
    `Defaults iolog_dir=${directory}`,
    'Defaults!PLAIN log_output,!compress_io',
    'Defaults!ZLIB log_output,compress_io',
  ]
}

/** Installs rules for sudo and doas in the copy of /etc. `count` in all; the last one is the one that matches. */
export function installPeerRules(count: number, directory: string): void {
  const others = Array.from({ length: count - 1 }, (_, i) => i)
  const sudoers = [
    ...sudoDefaults,
    ...keptDefaults(join(directory, ioLogs)),
    `${callerName} ALL=(root) NOPASSWD: PLAIN, ZLIB`,
    ...others.map((i) => `other${i} ALL=(root) NOPASSWD: ${target}`),
    `${callerName} ALL=(root) NOPASSWD: ${target}, /usr/bin/bwrap`,
  ]
  const doas = [
    ...others.map((i) => `permit nopass other${i} as root cmd ${target}`),
    `permit nopass ${callerName} as root cmd ${target}`,
  ]
  mkdirSync('/etc/sudoers.d', { recursive: true })
  mkdirSync(join(directory, ioLogs), { recursive: true, mode: 0o700 })
  writeFileSync('/etc/sudoers', `${sudoers.join('\n')}\n`, { mode: 0o440 })
  writeFileSync('/etc/doas.conf', `${doas.join('\n')}\n`, { mode: 0o400 })
}

export const sudo: Command = {
  name: 'sudo -n',
  argv: ['/usr/bin/sudo', '-n', target],
  expected: isSuccess,
}

export const doas: Command = {
  name: 'doas -n',
  argv: ['/usr/bin/doas', '-n', target],
  expected: isSuccess,
}

/** The nearest that the peers come to a sandbox. It is there for comparison only, and only if bubblewrap is. */
export const sudoBwrap: Command = {
  name: 'sudo -n bwrap',
  argv: [
    ...[
      '/usr/bin/sudo',
      '-n',
      '/usr/bin/bwrap',
      '--unshare-all',
      '--die-with-parent',
      '--new-session',
    ],
    ...[
      '--ro-bind',
      '/usr',
      '/usr',
      '--symlink',
      'usr/lib',
      '/lib',
      '--symlink',
      'usr/lib64',
      '/lib64',
    ],
    ...['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp', target],
  ],
  expected: isSuccess,
}

export const sudoDenied: Command = {
  name: 'sudo -n',
  argv: ['/usr/bin/sudo', '-n', forbidden],
  expected: (status) => status === 1,
}

export const doasDenied: Command = {
  name: 'doas -n',
  argv: ['/usr/bin/doas', '-n', forbidden],
  expected: (status) => status === 1,
}

/** The programs that must be installed, of which the missing ones are returned. */
export function missingPeers(): readonly string[] {
  return ['/usr/bin/sudo', '/usr/bin/doas', '/usr/bin/bwrap'].filter((path) => !existsSync(path))
}

/** Versions of the peers' packages, as dpkg and the lockfile beside this file have them. */
export function peerVersions(): Readonly<Record<string, string>> {
  return { ...packageVersions(), ...manifest.devDependencies }
}

function packageVersions(): Readonly<Record<string, string>> {
  const format = '${Package} ${Version}\n'
  const args = ['-W', '-f', format, 'sudo', 'opendoas', 'bubblewrap']
  const lines = execFileSync('dpkg-query', args, { encoding: 'utf8' }).trimEnd().split('\n')
  return Object.fromEntries(
    lines.map((line) => line.split(' ')).map(([name = '', version = '']) => [name, version]),
  )
}
