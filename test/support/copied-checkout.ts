/** A copy of what runs of this checkout, for tests of where a checkout lies and who may read it. */
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from './bridge.ts'

const parts = [
  ...['src', 'bin', 'packaging', 'package.json', 'native/out'],
  ...['node_modules', 'tools/node', 'tools/run'],
]

/** @param parentMode 0o700 as root's home, 0o755 as a place for all */
export function copyCheckout(parentMode: number): Disposable & Readonly<{ root: string }> {
  const parent = mkdtempSync('/var/lib/belladonna-test.')
  const root = join(parent, 'checkout')
  for (const part of parts) {
    cpSync(join(checkout, part), join(root, part), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !path.includes('/out/asan'),
    })
  }
  chmodSync(parent, parentMode)
  return { root, [Symbol.dispose]: () => rmSync(parent, { recursive: true }) }
}
