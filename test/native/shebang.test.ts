/** The kernel is the oracle of `readShebang`: what we read as a script it starts with the same words. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { readShebang, shebangBytes } from '../../src/core/policy/shebang.ts'
import { compileText } from './compile.ts'

const directory = mkdtempSync('/tmp/belladonna-shebang.')
const program = join(directory, 'words')
const script = join(directory, 'script')
compileText(
  program,
  '#include <stdio.h>\nint main(int n, char **words) { for (int i = 0; i < n; i++) { fputs(words[i], stdout); putchar(0); } }',
)
after(() => rmSync(directory, { recursive: true, force: true }))

/** The words that the kernel starts the interpreter with, or undefined if it does not. */
function byKernel(head: string): readonly string[] | undefined {
  writeFileSync(script, head)
  chmodSync(script, 0o755)
  try {
    return execFileSync(script, ['x y'], { encoding: 'utf8', stdio: 'pipe' }).split('\0').slice(0, -1)
  } catch {
    return undefined
  }
}

function byUs(head: string): readonly string[] | undefined {
  const found = readShebang(new TextEncoder().encode(head).subarray(0, shebangBytes))
  if (found.kind !== 'script') return undefined
  const { path, argument } = found.shebang
  return [path, ...(argument === null ? [] : [argument]), script, 'x y']
}

const blank = fc.stringMatching(/^[ \t]{0,4}$/)
const heads = fc
  .tuple(blank, blank, fc.stringMatching(/^[-a-z=é \t]{0,12}$/), blank, fc.constantFrom('\n', '\nrest', ' \n#!'))
  .map(([before, gap, argument, behind, end]) => `#!${before}${program}${gap}${argument}${behind}${end}`)

test('shebang: whatever is read as a script, the kernel starts with the same words', () => {
  let scripts = 0
  fc.assert(
    fc.property(heads, (head) => {
      const ours = byUs(head)
      if (ours?.[0] !== program) return // another path, such as one that the argument went into
      scripts += 1
      assert.deepEqual(byKernel(head), ours)
    }),
    { numRuns: 300 },
  )
  assert.ok(scripts > 100, `${scripts} scripts`)
})

test('shebang: the longest line that is read is one that the kernel reads whole', () => {
  const longest = `#!${program} `.padEnd(shebangBytes - 1, 'a')
  const ours = byUs(`${longest}\n`)
  assert.equal(ours?.[1]?.length, shebangBytes - 1 - `#!${program} `.length)
  assert.deepEqual(byKernel(`${longest}\n`), ours)
  assert.equal(byUs(`${longest}a\n`), undefined)
})
