import assert from 'node:assert/strict'
import test from 'node:test'
import { describeStatus } from './status.ts'

test('status: nested names are joined, lists stand on one line', () => {
  assert.deepEqual(
    describeStatus({ policy: { trust: 'unsigned' }, limits: ['a', 'b'], entries: 1 }),
    ['policy.trust: unsigned', 'limits: a, b', 'entries: 1'],
  )
})

test('status: an account that has another id than at install is named, with both', () => {
  const ci = { account: 'user:ci', installed: 'uid 7', now: 'uid 8' }
  const gone = { account: 'group:ops', installed: 'gid 9', now: null }
  assert.deepEqual(describeStatus({ account_drift: [ci, gone] }), [
    'account_drift: user:ci (uid 7, now uid 8), group:ops (gid 9, now not there)',
  ])
  assert.deepEqual(describeStatus({ account_drift: [] }), ['account_drift: none'])
})

test('status: promise 8: a profile says what is in force, what is missing and why, and that it is escapable', () => {
  const whole = { name: 'p', escapable: false, in_force: ['seccomp', 'rlimits'], missing: [] }
  const lacking = {
    name: 'q',
    escapable: true,
    in_force: ['seccomp'],
    as_good_as_root: ['CAP_SYS_ADMIN', '/etc'],
    missing: [{ feature: 'landlock_tcp', reason: 'needs Landlock, Linux 6.7' }],
  }
  assert.deepEqual(describeStatus({ profiles: [whole, lacking] }), [
    'profile p: all 2 in force',
    'profile q: 1 of 2 in force; missing landlock_tcp (needs Landlock, Linux 6.7); escapable; as good as root by CAP_SYS_ADMIN, /etc',
  ])
})
