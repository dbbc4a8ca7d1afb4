import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { policyInstall } from '../../src/cli/policy.ts'

/** Installs this policy for a bridge below `root`, and returns its digest. */
export function installPolicyText(root: string, policy: string): string {
  const source = join(root, 'policy.toml')
  writeFileSync(source, policy, { mode: 0o644 })
  const said: string[] = []
  const say = (line: string): void => {
    said.push(line)
  }
  const status = policyInstall({ root, source, json: false }, { print: say, complain: say })
  const [, digest] = /, digest ([0-9a-f]{64})$/m.exec(said.join('\n')) ?? []
  if (status !== 0 || digest === undefined) throw new Error(said.join('\n'))
  return digest
}
