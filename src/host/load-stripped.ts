/**
 * Lets the services run without Node's type stripper, a WebAssembly program that would stay in their memory.
 *
 * tools/setup strips each source once into a file that is named by the digest of that source. The services start with a
 * stripped copy of this module (`--import`); from then on a source is read as always, and what runs is the file of its
 * digest. So a source that was changed since finds no file, and Node strips it itself: what is old is never run.
 *
 * Trust: whoever can write the stripped files can write the sources beside them.
 */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import type { LoadHookSync } from 'node:module'

/** The name that the stripped text of `source` has in its directory. */
export function strippedName(source: string): string {
  return `${hash('sha256', source, 'hex')}.js`
}

/** A loader that takes stripped texts from `directory`. Types become spaces, so lines, columns and offsets stay. */
export function loadFrom(directory: URL): LoadHookSync {
  return (url, context, nextLoad) => {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context)
    const source = readStripped(
      new URL(strippedName(readFileSync(new URL(url), 'utf8')), directory),
    )
    if (source === undefined) return nextLoad(url, context)
    return { format: 'module', source, shortCircuit: true }
  }
}

function readStripped(path: URL): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

// As a source, this module does nothing by itself; its stripped copy is what the services start with.
if (import.meta.url.endsWith('.js'))
  registerHooks({ load: loadFrom(new URL('.', import.meta.url)) })
