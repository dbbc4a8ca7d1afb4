import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BelladonnaError } from '../core/error.ts'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'

/** Where the program's own files are. Real paths, no component a link. */
export type Checkout = Readonly<{
  directory: CleanPath
  source: CleanPath
  manifest: CleanPath
  node: CleanPath
  launcher: CleanPath
  bell: CleanPath
  /** Preloaded into the services: makes them undumpable again after exec. */
  preload: CleanPath
}>

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
    preload: realPath(`${directory}/native/out/undumpable.so`),
  }
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
