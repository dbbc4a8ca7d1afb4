import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isParameterName, parseTemplateElement, renderElement } from './template.ts'

const elements: readonly (readonly [text: string, rendered: string])[] = [
  ['', ''],
  ['-w', '-w'],
  ['{a}', '1'],
  ['x={a}', 'x=1'],
  ['{a}.service', '1.service'],
  ['<{b.c-d_0}>', '<2>'],
  ['{{a}}', '{a}'],
  ['{{{a}}}', '{1}'],
  ['a}}b{{c', 'a}b{c'],
]
const values = new Map([
  ['a', ['1']],
  ['b.c-d_0', ['2']],
])
for (const [text, want] of elements) {
  test(`templates: ${JSON.stringify(text)} becomes ${JSON.stringify(want)}`, () => {
    const element = parseTemplateElement(text)
    assert.ok(element.kind !== 'fault')
    assert.deepEqual(renderElement(element, values), [want])
  })
}

for (const text of [
  '{',
  '}',
  'a{b',
  'a}b',
  '{}',
  '{A}',
  '{0}',
  '{-a}',
  '{a b}',
  '{a}{a}',
  '{a}-{b}',
  '{__proto__}',
]) {
  test(`templates: ${JSON.stringify(text)} is refused`, () => {
    assert.equal(parseTemplateElement(text).kind, 'fault')
  })
}

test('templates: promise 1: a value is put in as it is, and only once', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (value, around) => {
      const fixed = around.replaceAll('{', '{{').replaceAll('}', '}}')
      const element = parseTemplateElement(`${fixed}{a}${fixed}`)
      assert.ok(element.kind === 'parameter')
      assert.deepEqual(renderElement(element, new Map([['a', [value]]])), [around + value + around])
    }),
  )
})

test('templates: promise 1: what has no value becomes no argument', () => {
  const element = parseTemplateElement('--x={a}')
  assert.ok(element.kind !== 'fault')
  assert.deepEqual(renderElement(element, new Map()), [])
  assert.deepEqual(renderElement(element, new Map([['a', []]])), [])
  assert.deepEqual(renderElement(element, new Map([['a', ['', 'b c']]])), ['--x=', '--x=b c'])
})

test('templates: C16: a name is short, and begins with a letter', () => {
  assert.ok(isParameterName('a'.repeat(64)))
  for (const name of ['', 'a'.repeat(65), '0a', 'A', 'a/b', '__proto__', 'a\n']) {
    assert.ok(!isParameterName(name), name)
  }
})
