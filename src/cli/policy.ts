import { compilePolicy } from '../core/policy/compile.ts'
import type { CompileResult } from '../core/policy/compile.ts'
import { formatCompiledPolicy, policyDigest } from '../core/policy/compiled.ts'
import { formatPolicyWarning } from '../core/toml/problem.ts'
import type { PolicyProblem } from '../core/toml/problem.ts'
import { segmentDigests } from '../core/policy/segments.ts'
import { allowedCalls } from '../core/sandbox/bus-place.ts'
import { architecture } from '../host/boot-plan.ts'
import { holdDirectory } from '../host/directory.ts'
import { findLauncher } from '../host/launcher-process.ts'
import { bridgePaths } from '../host/layout.ts'
import { ownUid } from '../host/own-uid.ts'
import { readPolicyFacts } from '../host/policy-facts.ts'
import { readPolicySource } from '../host/policy-source.ts'
import { installPolicy } from '../host/policy-store.ts'
import { readTomlTree } from '../host/toml-tree.ts'
import type { TomlReading } from '../host/toml-tree.ts'
import { loadConfiguration } from './configuration.ts'
import { exitStatuses } from './exit.ts'
import { printProblems } from './output.ts'
import type { Output } from './output.ts'

/** Options of both commands. `source` is a file or directory; by default what the configuration names. */
export type PolicyOptions = Readonly<{
  /** The `--root` directory, or the empty string for the host itself. */
  root: string
  source: string | undefined
  json: boolean
}>

/**
 * `belladonna policy check`: compiles and installs nothing, as an ordinary user too. Whose files they are does not
 * count here, unlike for `install`. Returns the exit status.
 */
export function policyCheck(options: PolicyOptions, output: Output): number {
  const outcome = compileSource(sourceOf(options, output), null)
  return outcome.kind === 'invalid'
    ? showProblems(options, output, outcome.problems)
    : showPolicy(options, output, outcome, 'valid')
}

/**
 * `belladonna policy install`: compiles and puts the result in place for the next start or reload. A policy with any problem
 * leaves the old one as it is. Returns the exit status.
 */
export function policyInstall(options: PolicyOptions, output: Output): number {
  const uid = ownUid()
  const outcome = compileSource(sourceOf(options, output), uid)
  if (outcome.kind === 'invalid') return showProblems(options, output, outcome.problems)
  installPolicy(holdPolicyDirectory(options.root, uid), formatCompiledPolicy(outcome.policy), uid)
  const status = showPolicy(options, output, outcome, 'installed')
  if (!options.json && findLauncher(bridgePaths(options.root).bootFile) !== undefined) {
    output.print('the running bridge goes on with the policy that it has: belladonna policy reload')
  }
  return status
}

/** Reads all files before any is compiled: a syntax error in one is shown together with those of the others. */
export function compileSource(source: string, uid: number | null): CompileResult {
  const readings = readPolicySource(source, uid).map(({ file, reading }): TomlReading => {
    if (reading.kind === 'text') return readTomlTree(file, reading.text)
    const place = { file, line: 1, column: 1 }
    return {
      kind: 'invalid',
      problem: { ...place, code: 'file_unreadable', message: reading.what },
    }
  })
  const problems = readings.flatMap((reading) =>
    reading.kind === 'invalid' ? reading.problem : [],
  )
  if (problems.length > 0) return { kind: 'invalid', problems }
  const trees = readings.flatMap((reading) => (reading.kind === 'tree' ? reading.tree : []))
  return compilePolicy(trees, readPolicyFacts(ownUid(), architecture()))
}

function holdPolicyDirectory(root: string, uid: number): string {
  const owner = { uid, gid: process.getegid?.() ?? 0 }
  const { lib, policy } = bridgePaths(root)
  const above = root === '' ? [] : [`${root}/var`, `${root}/var/lib`]
  for (const path of [...above, lib, policy]) holdDirectory(path, 0o755, owner, uid)
  return policy
}

export function showProblems(
  options: Pick<PolicyOptions, 'json'>,
  output: Output,
  problems: readonly PolicyProblem[],
): number {
  if (options.json) output.print(JSON.stringify({ kind: 'invalid', problems }))
  else {
    printProblems(problems, output.complain)
    output.complain(`belladonna: ${problems.length} problem(s), so nothing of this policy is used`)
  }
  return exitStatuses.policy_invalid
}

function showPolicy(
  options: PolicyOptions,
  output: Output,
  { policy, warnings }: Extract<CompileResult, { kind: 'compiled' }>,
  kind: 'valid' | 'installed',
): number {
  const digest = policyDigest(policy)
  const counts = {
    actions: policy.actions.length,
    profiles: policy.profiles.length,
    grants: policy.grants.length,
  }
  const filtered = Object.fromEntries(
    policy.profiles
      .filter(({ proxy }) => proxy !== null)
      .map(({ name, sockets }) => [name, allowedCalls(sockets)]),
  )
  const escapable = policy.profiles.filter((profile) => profile.escapable).map(({ name }) => name)
  if (options.json) {
    const segments = segmentDigests(policy)
    output.print(
      JSON.stringify({ kind, digest, segments, ...counts, escapable, filtered, warnings }),
    )
  } else {
    for (const warning of warnings) output.complain(formatPolicyWarning(warning))
    const sizes = Object.entries(counts).map(([name, count]) => `${count} ${name}`)
    output.print(`${kind}: ${sizes.join(', ')}, digest ${digest}`)
    for (const [name, sockets] of Object.entries(filtered)) {
      for (const [socket, calls] of Object.entries(sockets)) {
        output.print(`filtered profile ${name}: of ${socket} only ${calls.join(', ')}`)
      }
    }
    if (escapable.length > 0) output.print(`escapable profiles: ${escapable.join(', ')}`)
  }
  return 0
}

function sourceOf({ root, source }: PolicyOptions, { complain }: Output): string {
  if (source !== undefined) return source
  return loadConfiguration(root, complain).policySource ?? `${bridgePaths(root).etc}/policy.d`
}
