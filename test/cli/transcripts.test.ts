/**
 * What `belladonna` prints and how it exits, as transcripts: each file in this folder is a session in one shell, with `$R`
 * a fresh root and current directory, `$POLICY` the policy beside this file, `$CHECKOUT` and `$NODE`.
 */
import {
  chmodSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { findCheckout } from '../../src/host/checkout.ts'
import { checkout } from '../support/bridge.ts'
import { parseTranscript, playTranscript } from '../support/transcript.ts'

const skip = process.geteuid?.() !== 0

// They have nothing in common but the processor, so two at a time.
void suite('belladonna', { concurrency: 2 }, () => {
  for (const file of globSync('*.transcript', { cwd: import.meta.dirname }).toSorted()) {
    test(`belladonna: ${file} is what happens`, { skip, timeout: 180_000 }, async () => {
      await play(file)
    })
  }
})

async function play(file: string): Promise<void> {
  const root = mkdtempSync('/tmp/belladonna.')
  try {
    chmodSync(root, 0o755)
    const steps = parseTranscript(readFileSync(join(import.meta.dirname, file), 'utf8'))
    await playTranscript(steps, environmentIn(root), root)
  } finally {
    rmSync(root, { recursive: true })
  }
}

/** `belladonna` is the source itself and not bin/belladonna, which would take the variables for coverage away. */
function environmentIn(root: string): NodeJS.ProcessEnv {
  const bin = join(root, 'bin')
  mkdirSync(bin)
  const { stripped } = findCheckout()
  const loader = stripped === null ? '' : `--import '${stripped.directory}/${stripped.loaderName}'`
  const words = `'${process.execPath}' ${loader} '${checkout}/src/cli/main.ts'`
  const program = `#!/bin/sh\nexec ${words} "$@"\n`
  writeFileSync(join(bin, 'belladonna'), program, { mode: 0o755 })
  symlinkSync(join(checkout, 'native/out/bell'), join(bin, 'bell'))
  return {
    ...process.env,
    ...{ R: root, POLICY: join(import.meta.dirname, 'policy.toml') },
    ...{ CHECKOUT: checkout, NODE: process.execPath },
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
  }
}
