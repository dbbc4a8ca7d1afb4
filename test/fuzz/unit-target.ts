/**
 * The text of /proc/PID/cgroup. Bytes (the input's characters below 256) are the unit that a second reader finds, which
 * was written from the six rules of spec/wire.md, "Units", and looks at one byte after another.
 */
import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { findUnit } from '../../src/core/protocol/unit.ts'
import type { Target } from './target.ts'

type Vectors = Readonly<{ vectors: readonly Readonly<{ cgroup: string }>[] }>

export function unitTarget(): Target {
  const file = new URL('../../spec/vectors/unit.json', import.meta.url)
  const { vectors }: Vectors = JSON.parse(readFileSync(file, 'utf8'))
  return {
    seeds: vectors.map(({ cgroup }) => cgroup),
    words: [
      ...['0::/', '1:name=systemd:/', '/a.slice', '/a-b.slice', '/x.service', '/__x.service'],
      ...['/x.timer', '/user@1.service', '/..', ' (deleted)', '/', ':', '\n', '_', '-', '.', '@'],
      ...['01', '\0', '\xff', '\xc3\xa4'],
    ],
    run: (input) => {
      const bytes = Buffer.from(input, 'latin1')
      assert.equal(findUnit(bytes), isUtf8(bytes) ? unitOf(bytes.toString('latin1')) : null)
    },
  }
}

const digits = '0123456789'
const ofNames = `${digits}ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz:_.\\@`
const kinds = [
  'service',
  'scope',
  'slice',
  'socket',
  'mount',
  'swap',
  'automount',
  'path',
  'timer',
  'target',
  'device',
]

function isAll(text: string, allowed: string): boolean {
  return text !== '' && Array.from(text).every((one) => allowed.includes(one))
}

/** Rules 1 and 2: every line has the form, and of those that systemd writes all that are not `/` are one path. */
function unitOf(text: string): string | null {
  if (text.includes('\0') || !text.endsWith('\n')) return null
  const numbers: string[] = []
  const paths: string[] = []
  for (const line of text.slice(0, -1).split('\n')) {
    const [number = '', controllers = '', ...rest] = line.split(':')
    const path = rest.join(':')
    const isNumber =
      isAll(number, digits) && number.length <= 10 && (number === '0' || !number.startsWith('0'))
    if (!isNumber || numbers.includes(number) || !path.startsWith('/')) return null
    numbers.push(number)
    const counts = number === '0' ? controllers === '' : controllers === 'name=systemd'
    if (counts && path !== '/') paths.push(path)
  }
  const [path = ''] = paths
  return path !== '' && paths.every((other) => other === path) ? unitIn(path) : null
}

/** Rules 3 to 6: slices by their names, then the unit, and behind it nothing that could be another one. */
function unitIn(path: string): string | null {
  const parts = path.split('/').slice(1)
  if (path.endsWith(' (deleted)') || parts.some((part) => ['', '.', '..'].includes(part)))
    return null
  const names = parts.map((part) => (part.startsWith('_') ? part.slice(1) : part))
  let prefix = ''
  let at = 0
  for (; at < names.length; at += 1) {
    const name = names[at] ?? ''
    const own = name.slice(prefix.length, -'.slice'.length)
    if (!name.endsWith('.slice') || !name.startsWith(prefix) || !isAll(own, ofNames)) break
    prefix += `${own}-`
  }
  const [unit = '', ...behind] = names.slice(at)
  const end = ['.service', '.scope'].find((suffix) => unit.endsWith(suffix)) ?? unit
  const isUnit = isAll(unit.slice(0, -end.length), `${ofNames}-`) && unit.length <= 255
  if (at === 0 || !isUnit) return null
  if (behind.length > 0 && unit.startsWith('user@') && unit.endsWith('.service')) return null
  return behind.some((name) => kinds.some((kind) => name.endsWith(`.${kind}`))) ? null : unit
}
