/**
 * The first line of a file. Bytes (the input's characters below 256) that are read as a script are what Linux starts: the
 * same interpreter and the same argument, and what Linux starts that is printable ASCII is read. `byLinux` is that reader,
 * written after fs/binfmt_script.c; test/native/shebang.test.ts holds ours against the kernel itself.
 */
import assert from 'node:assert/strict'
import { readShebang, shebangBytes } from '../../src/core/policy/shebang.ts'
import type { Target } from './target.ts'

export function shebangTarget(): Target {
  return {
    seeds: [
      ...[
        '',
        '#',
        '\x7fELF',
        '#!',
        '#!\n',
        '#!/bin/sh',
        '#!/bin/sh\n',
        '#!/bin/sh\r\n',
        ' #!/bin/sh\n',
      ],
      ...[
        '#! \t/bin/sh \t-e \t\nrm -rf /\n',
        '#!/usr/bin/awk  -f  -v x=1 \n',
        '#!/usr/bin/env bash\n',
      ],
      ...['#!bin/sh\n', '#!/usr/../bin/sh\n', '#!/\n', '#!/bin//sh\n', '#!/bin/sh\0 x\n'],
      ...['#!/opt/\xc3\xa9 \xc3\xa9\n', '#!/opt/\xff\n', '#!/bin/sh \xe2\x80\xae\n'],
      ...[252, 253, 254, 255, 256].map(
        (size) => `${`#!/bin/sh ${'a'.repeat(size)}`.slice(0, size)}\nx\n`,
      ),
    ],
    words: [
      ...[
        '#!',
        '/',
        '/bin/sh',
        '/usr/bin/env',
        ' ',
        '\t',
        '\n',
        '\r',
        '\0',
        '.',
        '/..',
        '-e',
        'a'.repeat(64),
      ],
      ...['\xc3\xa9', '\xc3', '\xff', '\xe2\x80\xae', '\xef\xbb\xbf', '\xc2\xa0', '\x0b', '\x7f'],
    ],
    run: (input) => {
      const bytes = Buffer.from(input, 'latin1')
      const ours = readShebang(bytes)
      const linux = byLinux(bytes)
      assert.equal(ours.kind === 'program', bytes[0] !== 0x23 || bytes[1] !== 0x21)
      if (ours.kind === 'script') {
        const { path, argument } = ours.shebang
        assert.deepEqual([path, argument], linux, 'Linux would start another')
        assert.notEqual(path.split('/').at(-1), 'env', 'who runs is searched along PATH')
      } else if (linux !== null && isPlain(linux)) {
        assert.fail('Linux would start it, and nothing about it is hidden')
      }
    },
  }
}

const isBlank = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09

/** Interpreter and argument, or null where the kernel refuses or cuts the line. @see fs/binfmt_script.c, load_script */
function byLinux(file: Buffer): readonly [path: string, argument: string | null] | null {
  const head = Buffer.concat([file.subarray(0, shebangBytes), Buffer.alloc(shebangBytes)]) // what is behind a short file
  if (head[0] !== 0x23 || head[1] !== 0x21) return null
  let end = head.indexOf(0x0a)
  if (end < 0 || end >= shebangBytes || head.subarray(0, end).includes(0)) return null
  while (isBlank(head[end - 1])) end -= 1
  let name = 2
  while (name < end && isBlank(head[name])) name += 1
  if (name === end) return null
  let gap = name
  while (gap < end && !isBlank(head[gap])) gap += 1
  let argument = gap
  while (argument < end && isBlank(head[argument])) argument += 1
  const text = (from: number, to: number): string => head.subarray(from, to).toString('utf8')
  return [text(name, gap), argument === end ? null : text(argument, end)]
}

/** Printable, absolute, clean, and not `env`. */
function isPlain([path, argument]: readonly [string, string | null]): boolean {
  const isClean = !/\/(?:\.{0,2})(?:\/|$)/.test(path) && path.startsWith('/')
  return isClean && !path.endsWith('/env') && /^[ -~]*$/.test(`${path}${argument ?? ''}`)
}
