import assert from 'node:assert/strict'
import test from 'node:test'
import { isCleanPath } from '../identity.ts'
import type { CleanPath } from '../identity.ts'
import { capabilityNames } from '../sandbox/capabilities.ts'
import { compileText } from './policy.test-support.ts'
import { rootWays } from './root-ways.ts'

function cleanPath(text: string): CleanPath {
  assert.ok(isCleanPath(text))
  return text
}

function ways(caps: readonly string[], write: readonly string[]): readonly string[] {
  const kept = caps.map((name) => ({ name, number: capabilityNames.indexOf(name) }))
  const paths = write.map((path) => ({ path: cleanPath(path), kind: 'directory' as const }))
  return rootWays({ caps: kept, write: paths }).map(({ by }) => by)
}

test('root ways: a place that the host obeys, what lies below it, and what it lies in', () => {
  for (const path of [
    ...['/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sys/kernel'],
    ...['/proc/sysrq-trigger', '/sys', '/sys/kernel', '/sys/fs/cgroup/x', '/etc', '/etc/cron.d/x'],
    ...[
      '/etc/shadow',
      '/usr',
      '/usr/local/bin',
      '/boot',
      '/root',
      '/run',
      '/var',
      '/var/lib',
      '/dev/mem',
    ],
  ]) {
    assert.deepEqual(ways([], [path]), [path])
  }
})

test('root ways: what nobody obeys is none', () => {
  for (const path of [
    ...['/proc/sys/vm/swappiness', '/proc/sys/kernel/panic', '/etc/nginx', '/etc/sshx', '/srv'],
    ...['/var/log', '/var/lib/app', '/usr/share/app', '/home', '/dev/kmsg', '/sys/block'],
  ]) {
    assert.deepEqual(ways([], [path]), [], path)
  }
})

test('root ways: capabilities, some of them only with files to use them on', () => {
  const strong = ['CAP_SYS_ADMIN', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_SYS_PTRACE', 'CAP_BPF']
  assert.deepEqual(ways(strong, []), strong)
  assert.deepEqual(ways(['CAP_DAC_OVERRIDE', 'CAP_SETFCAP', 'CAP_NET_ADMIN'], []), [])
  assert.deepEqual(ways(['CAP_DAC_OVERRIDE'], ['/var/log']), [])
  assert.deepEqual(ways(['CAP_DAC_OVERRIDE'], ['/home']), ['CAP_DAC_OVERRIDE'])
  assert.deepEqual(ways(['CAP_SETFCAP'], ['/srv']), ['CAP_SETFCAP'])
})

test('root ways: the root of a parameter that is written counts as a path of the profile', () => {
  const found = rootWays({ caps: [], write: [] }, [cleanPath('/etc/cron.d')])
  assert.deepEqual(found, [{ by: '/etc/cron.d', why: 'what is put there is run as root' }])
})

test('compile: what is as good as root is a warning of its profile with the reason, and no error', () => {
  const result = compileText(
    'schema = 1\n[profile.p]\nwrite = ["/proc/sys/vm/swappiness", "/etc/hosts"]\ncaps = ["CAP_SYS_ADMIN", "CAP_KILL"]\n',
  )
  assert.ok(result.kind === 'compiled')
  assert.deepEqual(
    result.warnings.map(({ line, code, message }) => [line, code, message]),
    [
      [
        ...[4, 'as_good_as_root'],
        'a run as good as root by CAP_SYS_ADMIN: it is a hundred rights of root at once',
      ],
    ],
  )
})

test('compile: so is a parameter that names files to write where the host obeys', () => {
  const param = 'p = { path = { root = "/var/log/app", access = "write" } }'
  const text = `schema = 1\n[action.x]\nabout = "x"\ncommand = ["/usr/bin/true", "{p}"]\nrun_as = "root"\nprofile = "p"\n[action.x.params]\n${param}\n[profile.p]\n`
  const quiet = compileText(text)
  assert.ok(quiet.kind === 'compiled' && quiet.warnings.length === 0)
  const loud = compileText(text.replace('/var/log/app', '/usr/lib'))
  assert.ok(loud.kind === 'compiled')
  assert.deepEqual(
    loud.warnings.map(({ line, code }) => [line, code]),
    [[7, 'as_good_as_root']],
  )
})
