import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkout, run } from '../support/bridge.ts'
import type { BellResult } from '../support/bridge.ts'

/** Installs our packages as set-up does, without a network, from a lockfile that `change` has been at. */
async function install(
  change: (lockfile: string) => string,
): Promise<BellResult & { packages: readonly string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'belladonna-npm.'))
  try {
    copyFileSync(join(checkout, 'package.json'), join(folder, 'package.json'))
    const lockfile = readFileSync(join(checkout, 'package-lock.json'), 'utf8')
    writeFileSync(join(folder, 'package-lock.json'), change(lockfile))
    const words = [
      'npm',
      '--prefix',
      folder,
      'ci',
      '--ignore-scripts',
      '--offline',
      '--no-audit',
      '--no-fund',
    ]
    // As tools/setup: where HOME cannot hold npm's cache, the checkout does.
    const own = join(checkout, '.setup/npm-cache')
    const result = await run(words, '', {
      ...process.env,
      ...(existsSync(own) ? { npm_config_cache: own } : {}),
    })
    const modules = join(folder, 'node_modules')
    return { ...result, packages: existsSync(modules) ? readdirSync(modules) : [] }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('C115: packages install from the lockfile alone, offline, and none that has another hash', async (t) => {
  const wrongHash = (text: string): string => {
    const changed = text.replace(/(node_modules\/smol-toml[^}]*sha512-)..../, '$1AAAA')
    assert.notEqual(changed, text)
    return changed
  }
  const [plain, changed] = await Promise.all([install((text) => text), install(wrongHash)])
  if (/ENOTCACHED/.test(plain.stderr)) {
    t.skip(
      'npm has no cache of these packages: they were installed by another user or on another day',
    )
    return
  }
  assert.equal(plain.status, 0, plain.stderr)
  assert.ok(plain.packages.includes('smol-toml'))
  assert.notEqual(changed.status, 0)
  assert.ok(!changed.packages.includes('smol-toml'))
})
