import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readShebang } from './shebang.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const long = 'a'.repeat(256)

const scripts: readonly (readonly [text: string, path: string, argument: string | null])[] = [
  ['#!/bin/sh\n', '/bin/sh', null],
  ['#!/bin/sh\nrm -rf /\r\n\0', '/bin/sh', null],
  ['#! \t/bin/sh \t\n', '/bin/sh', null],
  ['#!/bin/sh -e\n', '/bin/sh', '-e'],
  ['#!/usr/bin/awk  -f  -v x=1 \n', '/usr/bin/awk', '-f  -v x=1'],
  [`#!/${'a'.repeat(252)}\n`, `/${'a'.repeat(252)}`, null],
  ['#!/opt/é\n', '/opt/é', null],
]
for (const [text, path, argument] of scripts) {
  test(`shebang: ${JSON.stringify(text.slice(0, 40))} is read by ${path.slice(0, 20)}`, () => {
    assert.deepEqual(readShebang(bytes(text)), { kind: 'script', shebang: { path, argument } })
  })
}

for (const text of ['', '#', '!#/bin/sh\n', ' #!/bin/sh\n', '\u007fELF', '\ufeff#!/bin/sh\n']) {
  test(`shebang: ${JSON.stringify(text)} is no script`, () => {
    assert.deepEqual(readShebang(bytes(text)), { kind: 'program' })
  })
}

const refused: readonly (readonly [name: string, head: Uint8Array, message: RegExp])[] = [
  ['no end of the line', bytes('#!/bin/sh'), /does not end/],
  ['nothing but the two characters', bytes('#!'), /does not end/],
  ['a line of 257 bytes', bytes(`#!/${'a'.repeat(253)}\n`), /does not end/],
  ['a line that is longer than what was read', bytes(`#!/bin/sh ${long}\n`), /does not end/],
  ['a carriage return at the end', bytes('#!/bin/sh\r\n'), /nobody sees/],
  ['a carriage return behind the argument', bytes('#!/bin/sh -e\r\n'), /nobody sees/],
  ['a tab in the argument', bytes('#!/bin/sh a\tb\n'), /nobody sees/],
  ['NUL in the interpreter', bytes('#!/bin/sh\0x\n'), /nobody sees/],
  ['NUL in the argument', bytes('#!/bin/sh -e\0\n'), /nobody sees/],
  ['a character that turns the text', bytes('#!/bin/sh \u202e\n'), /nobody sees/],
  ['bytes that are not UTF-8', Uint8Array.of(0x23, 0x21, 0x2f, 0xff, 0x0a), /UTF-8/],
  ['no interpreter', bytes('#!\n'), /absolute/],
  ['only blanks', bytes('#!  \t\n'), /absolute/],
  ['a relative interpreter', bytes('#!bin/sh\n'), /absolute/],
  ['a name alone', bytes('#!sh\n'), /absolute/],
  ['dots on the way', bytes('#!/usr/../bin/sh\n'), /absolute/],
  ['the root', bytes('#!/\n'), /absolute/],
  ['env', bytes('#!/usr/bin/env bash\n'), /along PATH/],
  ['env elsewhere', bytes('#!/bin/env -S bash -e\n'), /along PATH/],
]
for (const [name, head, message] of refused) {
  test(`promise 1: shebang: ${name} is refused`, () => {
    const found = readShebang(head)
    assert.equal(found.kind, 'fault')
    assert.match(found.message, message)
  })
}
