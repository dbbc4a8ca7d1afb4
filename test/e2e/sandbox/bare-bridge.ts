/**
 * A real launcher that builds the sandboxes of the test: plans that are compiled from a policy by our own code, and those
 * plans with one thing changed. Nothing decides and nothing is recorded in it (plan-executor.ts, mute-broker.ts).
 */
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatBase64, parseBase64 } from '../../../src/core/json/base64.ts'
import { parseCompiledPolicy } from '../../../src/core/policy/compiled-parse.ts'
import { formatPlan, parsePlan } from '../../../src/core/sandbox/plan.ts'
import type { Plan } from '../../../src/core/sandbox/plan.ts'
import { bridgePaths } from '../../../src/host/layout.ts'
import { loadInstalledPolicy } from '../../../src/host/policy-store.ts'
import { childrenOf, readProc, startBridge } from '../../support/bridge.ts'
import type { BellResult, BridgeSetup, CallerOptions, TestBridge } from '../../support/bridge.ts'
import type { Start } from './plan-executor.ts'

export type BareBridge = AsyncDisposable &
  Readonly<{
    bridge: TestBridge
    /** The plan of a profile, as the policy was compiled. */
    plan: (profile: string) => Plan
    run: (plan: Plan, argv: readonly string[], options?: RunOptions) => Promise<BellResult>
    /** What the next request starts, whoever makes it. */
    arrange: (plan: Plan, argv: readonly string[], options?: RunOptions) => void
  }>

export type RunOptions = CallerOptions & Partial<Omit<Start, 'plan' | 'argv'>>

/** Starts one. `start` is that of `BridgeSetup`, for another launcher or other surroundings of it. */
export async function startBare(policy: string, start?: BridgeSetup['start']): Promise<BareBridge> {
  const root = mkdtempSync('/tmp/belladonna.')
  const programs = {
    brokerProgram: 'mute-broker.ts',
    executorProgram: 'sandbox/plan-executor.ts',
  }
  const bridge = await startBridge({ policy, root, ...programs, ...(start && { start }) })
  try {
    await ready(bridge)
  } catch (error) {
    await bridge[Symbol.asyncDispose]()
    throw error
  }
  const text = loadInstalledPolicy(bridgePaths(root).policy).text
  const plans = new Map(
    parseCompiledPolicy(text).profiles.map(({ name, plan }) => [
      name,
      parsePlan(parseBase64(plan)),
    ]),
  )
  const arrange: BareBridge['arrange'] = (plan, argv, options = {}) => {
    const { env = [], cwd = '/', id = 0, runGroups, script, paths, early, late } = options
    const start = { plan: formatBase64(formatPlan(plan)), argv, env, cwd, id }
    const { proxy, opens } = options
    const next = { ...start, runGroups, script, paths, early, late, proxy, opens }
    writeFileSync(join(root, 'start.new'), JSON.stringify(next))
    renameSync(join(root, 'start.new'), join(root, 'start.json'))
  }
  return {
    bridge,
    plan: (profile) => {
      const plan = plans.get(profile)
      if (plan === undefined) throw new Error(`no profile ${profile}`)
      return plan
    },
    arrange,
    run: async (plan, argv, options = {}) => {
      arrange(plan, argv, options)
      return await bridge.bell(['any'], options)
    },
    async [Symbol.asyncDispose]() {
      await bridge[Symbol.asyncDispose]()
    },
  }
}

/** The launcher says `ready` once; what did not start it tries again and again. */
async function ready(bridge: TestBridge): Promise<void> {
  const launcher = bridge.launcher()
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the launcher is not ready')), 60_000)
    launcher.stdout?.once('data', () => {
      clearTimeout(timer)
      resolve()
    })
    launcher.once('exit', (code) => reject(new Error(`the launcher ended with ${code}`)))
  })
}

/** The process ids of both services. */
export function servicesOf(bridge: TestBridge): readonly number[] {
  return childrenOf(bridge.pids().launcher).filter((pid) =>
    /mute-broker|plan-executor/.test(readProc(`${pid}/cmdline`)),
  )
}
