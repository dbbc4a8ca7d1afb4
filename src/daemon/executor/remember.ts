import { parseBase64 } from '../../core/json/base64.ts'
import type { CompiledAction, CompiledProfile } from '../../core/policy/compiled.ts'
import type { Permit } from '../../core/policy/decide.ts'
import { formatCommand } from '../../core/sandbox/command.ts'
import type { Measured } from '../../host/executable.ts'

/** PLAN bytes of a profile, decoded once. */
export function rememberPlans(): (profile: CompiledProfile) => Uint8Array {
  const plans = new WeakMap<CompiledProfile, Uint8Array>() // with its policy, it goes
  return (profile) => {
    const known = plans.get(profile) ?? parseBase64(profile.plan)
    plans.set(profile, known)
    return known
  }
}

type Made = Readonly<{ argv: readonly string[]; measured: Measured; bytes: Uint8Array }>

/** COMMAND bytes of a permit; those of an action's last run serve again if it has the same arguments and executable. */
export function rememberCommands(): (permit: Permit, measured: Measured) => Uint8Array {
  const last = new WeakMap<CompiledAction, Made>()
  return ({ action, argv }, measured) => {
    const known = last.get(action)
    if (known?.measured === measured && isSame(known.argv, argv)) return known.bytes
    const { executable, run_as: runAs, cwd } = action
    const env = Object.entries(action.env).map(([name, value]) => `${name}=${value}`)
    const { stamp } = measured
    const bytes = formatCommand({ ...runAs, executable, cwd, stamp, argv, env, binds: [] })
    last.set(action, { argv, measured, bytes })
    return bytes
  }
}

function isSame(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, index) => text === right[index])
}
