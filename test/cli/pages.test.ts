/** What the pages show is what happens: their commands run, and print what is shown. */
import { writeFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { holdSwappiness } from '../../src/cli/demo/sysctl.ts'
import { fencesOf } from '../../tools/markdown.ts'
import { checkout } from '../support/bridge.ts'
import { parseTranscript, playTranscript, stopBridge } from '../support/transcript.ts'
import type { Step } from '../support/transcript.ts'

const skip = process.geteuid?.() !== 0

test('the tutorial prints what it says', { skip, timeout: 180_000 }, async () => {
  const page = readFileSync(join(checkout, 'docs/tutorials/first-bridge.md'), 'utf8')
  const file = /Put this into `([^`]+)`/.exec(page)?.[1] ?? ''
  const steps = fencesOf(page).flatMap(({ language, text }): readonly Step[] => {
    if (language === 'console') return parseTranscript(text)
    if (language === 'toml') return [{ command: `cat >"${file}" <<'END'\n${text}END` }]
    if (text.startsWith('sh tools/setup')) return []
    return text.includes('rm -r "$R"') ? [stopBridge, { command: text }] : [{ command: text }]
  })
  await using held = await holdSwappiness()
  // The page shows a host with the kernel's default; afterwards it has the value from before again.
  if (held.before !== 60) writeFileSync('/proc/sys/vm/swappiness', '60')
  await playTranscript(
    [...steps, { command: 'ls -d "$R" 2>/dev/null', shown: '' }],
    process.env,
    checkout,
  )
})
