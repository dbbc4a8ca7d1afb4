import assert from 'node:assert/strict'
import test from 'node:test'
import { noSupervisor, supervisorOf } from './supervisor.ts'

const path = '/run/systemd/notify'

test('supervisor: a path becomes a socket address, an abstract name one that begins with NUL', () => {
  const { address } = supervisorOf({ NOTIFY_SOCKET: path }, 7)
  assert.equal(Buffer.from(address).toString('latin1'), `\x01\0${path}`)
  const abstract = supervisorOf({ NOTIFY_SOCKET: '@a/b' }, 7)
  assert.equal(Buffer.from(abstract.address).toString('latin1'), '\x01\0\0a/b')
})

test('supervisor: where nothing is said, or what has no Unix address, there is none', () => {
  const longest = `/${'a'.repeat(106)}`
  assert.equal(supervisorOf({ NOTIFY_SOCKET: longest }, 7).address.length, 109)
  for (const socket of [undefined, '', 'relative', 'vsock:2:1', `${longest}a`]) {
    assert.deepEqual(
      supervisorOf({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '60000000' }, 7),
      noSupervisor,
    )
  }
})

test('supervisor: a watchdog is answered twice as often as it wants, if it is ours', () => {
  const every = (usec: string | undefined, pid?: string): number =>
    supervisorOf({ NOTIFY_SOCKET: path, WATCHDOG_USEC: usec, WATCHDOG_PID: pid }, 7).aliveEveryMs
  assert.equal(every('60000000'), 30_000)
  assert.equal(every('60000000', '7'), 30_000)
  assert.equal(every('1000'), 1)
  assert.equal(every('999999999999999'), 0xffff_ffff)
  for (const usec of [undefined, '', '0', '-1', '1e9', ' 60000000', '999'])
    assert.equal(every(usec), 0)
  assert.equal(every('60000000', '8'), 0)
})
