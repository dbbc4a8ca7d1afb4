import assert from 'node:assert/strict'
import test from 'node:test'
import { policyOf, problemsOf } from './policy.test-support.ts'
import { variableProblem } from './variable-value.ts'

const refused: readonly (readonly [name: string, value: string])[] = [
  ['LD_PRELOAD', '/tmp/x'],
  ['LD_PRELOAD', '/usr/lib/a.so x.so'],
  ['LD_LIBRARY_PATH', '/usr/lib:'],
  ['LD_AUDIT', 'x.so'],
  ['PATH', ''],
  ['PATH', '/usr/bin::/bin'],
  ['PATH', '.:/usr/bin'],
  ['PATH', '/usr/bin:/var/tmp/bin'],
  ['PYTHONPATH', 'lib'],
  ['PERL5LIB', '/tmp'],
  ['BASH_ENV', '/proc/self/fd/3'],
  ['PERLLIB', '/var/tmp'],
  ['PYTHONHOME', '/tmp/python'],
  ['PYTHONUSERBASE', 'here'],
  ['OPENSSL_CONF', '/dev/shm/openssl.cnf'],
  ['OPENSSL_MODULES', '/tmp'],
  ['GIT_EXEC_PATH', '/run/user/1000'],
  ['TERMINFO', '/tmp/terminfo'],
  ['LOCPATH', '/tmp'],
  ['ZDOTDIR', '/tmp'],
  ['X', '() { :; }; id'],
  ['TZ', '/etc/shadow'],
  ['TZ', ':../../etc/shadow'],
  ['LANG', '/tmp/locale'],
  ['LC_ALL', '%n'],
  ['TERM', '../x'],
]
const taken: readonly (readonly [name: string, value: string])[] = [
  ['LD_PRELOAD', '/usr/lib/a.so'],
  ['PATH', '/usr/sbin:/usr/bin'],
  ['TZ', 'Europe/Berlin'],
  ['TZ', ':/usr/share/zoneinfo/UTC'],
  ['TZ', 'CET-1CEST'],
  ['LANG', 'C.UTF-8'],
  ['LC_ALL', 'de_DE.UTF-8@euro'],
  ['TERM', 'xterm-256color'],
  ['LD_BIND_NOW', '1'],
  ['ENV', 'production'],
  ['OPENSSL_CONF', '/etc/ssl/openssl.cnf'],
  ['NLSPATH', '/usr/share/locale/%L/%N'],
  ['PYTHONHOME', '/usr'],
  ['DBUS_SYSTEM_BUS_ADDRESS', 'unix:path=/run/x'],
  ['APP_MODE', 'a/b%c'],
]
const named = (name: string, value: string): string =>
  `schema = 1\n[action.x]\nabout = "x"\ncommand = ["/usr/bin/true"]\nrun_as = "root"\nprofile = "p"\nenv = { ${name} = ${JSON.stringify(value)} }\n[profile.p]\n`

for (const [name, value] of refused) {
  test(`C21: ${name}=${value} in an action is an error`, () => {
    assert.notEqual(variableProblem(name, value), undefined)
    assert.match(problemsOf(named(name, value)).join(), /:7:\d+: error: .*\[value_invalid\]$/)
  })
}

test('C21: values that mean what they say are taken', () => {
  for (const [name, value] of taken) {
    assert.equal(variableProblem(name, value), undefined, `${name}=${value}`)
    assert.equal(policyOf(named(name, value)).actions[0]?.env[name], value)
  }
})
