import assert from 'node:assert/strict'
import test from 'node:test'
import {
  capabilityMask,
  capabilityName,
  capabilityNames,
  capabilityNumber,
  capabilityNumbers,
} from './capabilities.ts'

test('capabilities: the numbers are linux/capability.h', () => {
  const known: readonly (readonly [string, number])[] = [
    ['CAP_CHOWN', 0],
    ['CAP_DAC_READ_SEARCH', 2],
    ['CAP_NET_ADMIN', 12],
    ['CAP_NET_RAW', 13],
    ['CAP_SYS_ADMIN', 21],
    ['CAP_SYSLOG', 34],
    ['CAP_CHECKPOINT_RESTORE', 40],
  ]
  for (const [name, number] of known) {
    assert.equal(capabilityNumber(name), number)
    assert.equal(capabilityName(number), name)
  }
  assert.equal(capabilityNames.length, 41)
  assert.equal(new Set(capabilityNames).size, 41)
})

test('capabilities: names that capabilities(7) does not have are none', () => {
  for (const name of ['', 'NET_ADMIN', 'cap_net_admin', 'CAP_NET_ADMIN ', 'CAP_ALL', '12']) {
    assert.equal(capabilityNumber(name), undefined)
    assert.throws(() => capabilityNumbers('CAP_KILL', name), { code: 'input_invalid' })
  }
  assert.equal(capabilityName(41), undefined)
})

test('capabilities: bit n of the mask is capability n', () => {
  assert.equal(capabilityMask([]), 0n)
  assert.equal(capabilityMask([0, 40]), 0x100_0000_0001n)
  assert.equal(capabilityMask(capabilityNumbers('CAP_NET_ADMIN', 'CAP_KILL')), 0x1020n)
  for (const number of [-1, 64, 1.5, Number.NaN]) {
    assert.throws(() => capabilityMask([number]), { code: 'input_invalid' })
  }
})
