import assert from 'node:assert/strict'
import test from 'node:test'
import { BelladonnaError } from '../../core/error.ts'
import { decide } from '../../core/policy/decide.ts'
import type { Permit } from '../../core/policy/decide.ts'
import { indexPolicy } from '../../core/policy/policy-index.ts'
import {
  factsAt,
  pathOf,
  policyOf,
  requestOf,
  subjectOf,
} from '../../core/policy/policy.test-support.ts'
import { parseCommand } from '../../core/sandbox/command.ts'
import type { Measure } from '../../host/executable.ts'
import { openCompanion } from './companion.ts'

function permitFor(sockets: string): Permit {
  const text = `schema = 1
[action.look]
about = "Look"
command = ["/usr/bin/true"]
run_as = "ci:adm"
profile = "p"
risk = "read-only"
[profile.p]
${sockets}
[[grant]]
who = ["user:root"]
may = ["look"]
`
  const decision = decide(indexPolicy(policyOf(text)), subjectOf(0), requestOf('look'), factsAt(0))
  assert.equal(decision.kind, 'permit')
  return decision
}

const filtered =
  'sockets = [{ path = "/run/app/app.sock", dbus = ["org.example.Manager.Restart"] }]'
const stamp = { device: 1n, inode: 2n, size: 3n, mtimeNs: 4n, ctimeNs: 5n }
const sha256 = new Uint8Array(32).fill(7)

/** Says what was asked of it. */
function hostOf(measured: Measure): { asked: string[]; host: Parameters<typeof openCompanion>[0] } {
  const asked: string[] = []
  const makeBus = (): ReturnType<Parameters<typeof openCompanion>[0]['makeBus']> => {
    asked.push('made')
    const path = pathOf('/run/belladonna/buses/1')
    return { path, device: 8n, inode: 9n, release: () => asked.push('released') }
  }
  return { asked, host: { measure: measured, makeBus } }
}

const measure: Measure = ({ executable, interpreter, sha256: pins }) => {
  assert.deepEqual([executable, interpreter, pins], ['/usr/bin/xdg-dbus-proxy', null, []])
  return { sha256, stamp, interpreter: null, copy: null, release: () => undefined }
}

test('companion: a proxy runs as the command does, with the arguments of the policy and no environment', () => {
  const { asked, host } = hostOf(measure)
  const companion = openCompanion(host, permitFor(filtered))
  assert.ok(companion !== null)
  const command = parseCommand(companion.prepared.command)
  assert.deepEqual([command.uid, command.gid, command.groups], [1000, 4, []])
  assert.deepEqual([command.executable, command.stamp], ['/usr/bin/xdg-dbus-proxy', stamp])
  assert.deepEqual([command.env, command.cwd], [[], '/'])
  assert.equal(command.argv.at(-1), '--call=org.example=org.example.Manager.Restart')
  assert.deepEqual(companion.sha256, sha256)
  assert.equal(Buffer.from(companion.prepared.plan).toString(), 'plan of the proxy of p')
  const [bind] = command.binds
  assert.deepEqual([bind?.writable, companion.bind.writable], [true, false])
  assert.equal(companion.bind.source, bind?.source)
  companion.release()
  assert.deepEqual(asked, ['made', 'released'])
})

test('companion: nothing is made where nothing is filtered, or the proxy is not to be trusted', () => {
  const none = hostOf(measure)
  assert.equal(openCompanion(none.host, permitFor('')), null)
  const unsafe = hostOf(() => {
    throw new BelladonnaError('path_unsafe', 'writable by others')
  })
  assert.throws(() => openCompanion(unsafe.host, permitFor(filtered)), { code: 'path_unsafe' })
  assert.deepEqual([none.asked, unsafe.asked], [[], []])
})
