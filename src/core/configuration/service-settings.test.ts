import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultConfiguration } from './configuration.ts'
import { formatServiceSettings, parseServiceSettings } from './service-settings.ts'

test('service settings: read back as they were written', () => {
  const text = formatServiceSettings(defaultConfiguration)
  const { brokerUser, cgroupParent, perUser, policySource, ...numbers } = defaultConfiguration
  assert.deepEqual([brokerUser, cgroupParent, perUser, policySource], [null, null, 32, null])
  assert.deepEqual(parseServiceSettings(text), numbers)
})

for (const text of ['', '{}', '{"prepared":1}', '[]']) {
  test(`service settings: refused: ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseServiceSettings(text), { code: 'input_invalid' })
  })
}
