import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { findUnit } from './unit.ts'

type Vector = Readonly<{ name: string; cgroup: string; unit: string | null }>
type Vectors = Readonly<{ vectors: readonly Vector[] }>

function isVectors(value: unknown): value is Vectors {
  return typeof value === 'object' && value !== null && 'vectors' in value
}

const file: unknown = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/unit.json', import.meta.url), 'utf8'),
)
assert.ok(isVectors(file))

for (const { name, cgroup, unit } of file.vectors) {
  test(`C35 units: ${name}`, () => {
    // Each character a byte, so that vectors can hold what is not UTF-8.
    assert.equal(findUnit(Buffer.from(cgroup, 'latin1')), unit)
  })
}

test('C35 units: whatever is below a user manager or a container is never a unit', () => {
  const part = fc.stringMatching(/^[A-Za-z0-9@._-]{1,20}$/)
  const unit = fc.constantFrom('deploy.service', 'x.scope', '_cpu.service', 'app.slice')
  const delegated = fc.constantFrom(
    'user.slice/user-1000.slice/user@1000.service',
    'system.slice/docker-1f.scope',
    'machine.slice/machine-qemu.scope/libvirt',
  )
  fc.assert(
    fc.property(delegated, fc.array(part, { maxLength: 3 }), unit, (top, between, last) => {
      const path = ['', top, ...between, last].join('/')
      assert.equal(findUnit(Buffer.from(`0::${path}\n`)), null)
    }),
  )
})

test('C35 units: any bytes at all are a unit or none, and never throw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => findUnit(bytes) === null))
})
