import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BelladonnaError } from '../core/error.ts'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'
import { strippedName } from './load-stripped.ts'

/** Where the program's own files are. Real paths, no component a link. */
export type Checkout = Readonly<{
  directory: CleanPath
  source: CleanPath
  manifest: CleanPath
  node: CleanPath
  launcher: CleanPath
  bell: CleanPath
  relay: CleanPath
  /** Preloaded into the services: makes them undumpable again after exec. */
  preload: CleanPath
  /** Sources without types, if set-up has made them for what the loader is now. */
  stripped: Stripped | null
}>

/** A directory of stripped sources, and the name in it of the loader's own (load-stripped.ts). */
export type Stripped = Readonly<{ directory: CleanPath; loaderName: string }>

/**
 * Trusted: the checkout. Who can write it is who starts us; `belladonna up` run by root trusts it as root trusts any
 * program that it runs.
 */
export function findCheckout(): Checkout {
  const directory = realPath(fileURLToPath(new URL('../..', import.meta.url)))
  return {
    directory,
    source: realPath(`${directory}/src`),
    manifest: realPath(`${directory}/package.json`),
    node: realPath(process.execPath),
    launcher: realPath(`${directory}/native/out/belladonna-launcher`),
    bell: realPath(`${directory}/native/out/bell`),
    relay: realPath(`${directory}/native/out/belladonna-relay`),
    preload: realPath(`${directory}/native/out/undumpable.so`),
    stripped: findStripped(directory),
  }
}

function findStripped(directory: CleanPath): Stripped | null {
  const loader = readFileSync(new URL('load-stripped.ts', import.meta.url), 'utf8')
  const loaderName = strippedName(loader)
  const stripped = `${directory}/.setup/stripped`
  return existsSync(`${stripped}/${loaderName}`)
    ? { directory: realPath(stripped), loaderName }
    : null
}

function realPath(path: string): CleanPath {
  try {
    const real = realpathSync(path)
    if (isCleanPath(real)) return real
  } catch (cause) {
    throw new BelladonnaError('start_failed', `find ${JSON.stringify(path)}: run tools/setup`, {
      cause,
    })
  }
  throw new BelladonnaError('start_failed', `find ${JSON.stringify(path)}: not a clean path`)
}
