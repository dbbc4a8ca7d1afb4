/** Compiles small C programs for tests, into a directory that goes with the test. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A directory of its own below the system's one for such things; removed at the end of the scope. */
export function openScratch(): Disposable & Readonly<{ path: string }> {
  const path = mkdtempSync(join(tmpdir(), 'belladonna-native.'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Compiles this text to `program`, whose directory is the caller's. */
export function compileText(program: string, text: string): void {
  writeFileSync(`${program}.c`, text)
  execFileSync('gcc', ['-O1', '-o', program, `${program}.c`])
}

/**
 * Compiles `source`, a file beside this one, and returns the program's path.
 *
 * @param files more files to put into the scratch directory first, which is searched for headers
 */
export function compile(
  scratch: string,
  source: string,
  files: Readonly<Record<string, string>> = {},
): string {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(scratch, name), text)
  const program = join(scratch, source.replace(/\.c$/, ''))
  const here = fileURLToPath(new URL('.', import.meta.url))
  const native = fileURLToPath(new URL('../../native', import.meta.url))
  execFileSync(
    'gcc',
    [
      ...['-std=gnu17', '-Wall', '-Wextra', '-Werror', '-O1', '-pthread'],
      ...[`-I${native}`, `-I${scratch}`, join(here, source), '-o', program],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  return program
}
