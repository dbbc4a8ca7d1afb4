import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultConfiguration } from './configuration.ts'
import { formatDaemonSettings, parseDaemonSettings } from './daemon-settings.ts'

test('daemon settings: read back as they were written', () => {
  const text = formatDaemonSettings(defaultConfiguration)
  const { brokerUser, cgroupParent, perUser, policySource, ...numbers } = defaultConfiguration
  assert.deepEqual([brokerUser, cgroupParent, perUser, policySource], [null, null, 32, null])
  assert.deepEqual(parseDaemonSettings(text), numbers)
})

for (const text of ['', '{}', '{"prepared":1}', '[]']) {
  test(`daemon settings: refused: ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseDaemonSettings(text), { code: 'input_invalid' })
  })
}
