/** Compiles what the tests of this folder run: its own small programs, and launchers that differ from ours in one place. */
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { checkout } from '../../support/bridge.ts'

/** Compiles `NAME.c` of this folder, statically, to `directory/NAME`. */
export function compileStatic(directory: string, name: string): string {
  const program = join(directory, name)
  const flags = ['-std=gnu17', '-Wall', '-Wextra', '-Werror', '-O1', '-static', '-pthread']
  execFileSync('gcc', [...flags, join(import.meta.dirname, `${name}.c`), '-o', program], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return program
}

/** One place of the launcher's source: `from` must be there exactly once. */
export type Edit = Readonly<{ file: string; from: string; to: string }>

const compiler = ['-std=gnu11', '-D_GNU_SOURCE', '-w', '-O1', `-I${checkout}/native`]

/** Builds launchers from the checkout's source, each with its edits and nothing else changed. */
export function openLauncherBuild(directory: string): (edits: readonly Edit[]) => string {
  const sources = globSync('native/{launcher,sandbox,frame}/*.c', { cwd: checkout }).toSorted()
  mkdirSync(join(directory, 'objects'))
  const objects = new Map(sources.map((file) => [file, objectOf(directory, join(checkout, file))]))
  let count = 0
  return (edits) => {
    count += 1
    const own = new Map(objects)
    for (const file of new Set(edits.map((edit) => `native/${edit.file}`))) {
      const text = edited(
        file,
        edits.filter((edit) => `native/${edit.file}` === file),
      )
      const copy = join(directory, `objects/${count}-${basename(file)}`)
      writeFileSync(copy, text)
      own.set(file, objectOf(directory, copy, [`-I${join(checkout, file, '..')}`]))
    }
    const program = join(directory, `launcher-${count}`)
    execFileSync('gcc', ['-static', ...own.values(), '-o', program])
    return program
  }
}

function edited(file: string, edits: readonly Edit[]): string {
  return edits.reduce(
    (text, { from, to }) => {
      const parts = text.split(from)
      const [before, after] = parts
      if (parts.length !== 2 || before === undefined || after === undefined)
        throw new Error(`${file} has ${parts.length - 1} times: ${from}`)
      return before + to + after
    },
    readFileSync(join(checkout, file), 'utf8'),
  )
}

function objectOf(directory: string, source: string, more: readonly string[] = []): string {
  const object = join(directory, 'objects', `${basename(source)}.o`)
  // The copies say `"../frame/frame.h"` and the like: that is searched from the folder of the original too.
  execFileSync('gcc', [...compiler, ...more, '-c', source, '-o', object])
  return object
}
