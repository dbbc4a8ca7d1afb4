import type { CompileFacts } from '../core/policy/compile-facts.ts'
import { formatPlan } from '../core/sandbox/plan.ts'
import { planForProfile, planForProxy } from '../core/sandbox/plan-for-profile.ts'
import type { Architecture } from '../core/sandbox/syscalls.ts'
import { readAccounts } from './accounts.ts'
import { resolvePolicyPath } from './policy-paths.ts'
import { openSocketSearch } from './socket-search.ts'

/**
 * What the policy compiler needs to know of this host.
 *
 * @param uid the caller's own: 0 for a real bridge
 * @throws {BelladonnaError} when /etc/passwd or /etc/group cannot be read
 */
export function readPolicyFacts(uid: number, architecture: Architecture): CompileFacts {
  return {
    accounts: readAccounts(uid),
    architecture,
    resolvePath: (path, use) => resolvePolicyPath(path, use, { uid, architecture }),
    findSockets: openSocketSearch(),
    compilePlan: (profile, roots) => formatPlan(planForProfile(profile, { architecture, roots })),
    compileProxyPlan: (profile) => formatPlan(planForProxy(profile, architecture)),
  }
}
