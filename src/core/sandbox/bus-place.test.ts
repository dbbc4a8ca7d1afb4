import assert from 'node:assert/strict'
import test from 'node:test'
import { allowedCalls, bindForBus, busSocket, filteredSockets } from './bus-place.ts'
import { cleanPath } from './fixed-mounts.ts'
import { landlockFs } from './landlock.ts'

const call = { name: 'a.b', interface: 'a.b.M', member: 'Stop', path: '/x' }
const sockets = [
  { path: cleanPath('/run/a.sock'), dbus: [call, { ...call, path: null }] },
  { path: cleanPath('/run/b.sock'), dbus: null },
]

test('bus place: of sockets those that are filtered, and what they let through', () => {
  assert.deepEqual(filteredSockets(sockets), [{ path: '/run/a.sock', calls: sockets[0]?.dbus }])
  assert.deepEqual(allowedCalls(sockets), {
    '/run/a.sock': ['a.b a.b.M.Stop /x', 'a.b a.b.M.Stop'],
  })
  assert.deepEqual([busSocket(0), busSocket(12)], ['/bus-proxy/0', '/bus-proxy/12'])
})

test('bus place: the proxy alone may write where the two meet, and makes sockets there alone', () => {
  const source = cleanPath('/run/belladonna/buses/1')
  const [run, proxy] = (['run', 'proxy'] as const).map((whose) => {
    return bindForBus(source, { device: 1n, inode: 2n }, whose)
  })
  assert.deepEqual([run?.writable, run?.access], [false, 0n])
  assert.deepEqual([proxy?.writable, proxy?.access], [true, landlockFs.makeSock])
  for (const bind of [run, proxy]) {
    const { source: from, target, executable, isLive, stamp } = bind ?? assert.fail()
    assert.deepEqual([from, target, executable, isLive], [source, '/bus-proxy', false, true])
    assert.deepEqual([stamp.device, stamp.inode], [1n, 2n])
  }
})
