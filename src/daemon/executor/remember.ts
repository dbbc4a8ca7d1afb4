import type { CleanPath } from '../../core/identity.ts'
import { parseBase64 } from '../../core/json/base64.ts'
import type { CompiledAction, CompiledProfile } from '../../core/policy/compiled.ts'
import type { Permit } from '../../core/policy/decide.ts'
import { formatCommand } from '../../core/sandbox/command.ts'
import type { Bind } from '../../core/sandbox/command.ts'
import type { Measured } from '../../host/executable.ts'

/** PLAN bytes of a profile, decoded once. */
export function rememberPlans(): (profile: CompiledProfile) => Uint8Array {
  const plans = new Map<string, Uint8Array>()
  return (profile) => {
    const known = plans.get(profile.name) ?? parseBase64(profile.plan)
    plans.set(profile.name, known)
    return known
  }
}

type Made = Readonly<{ argv: readonly string[]; measured: Measured; bytes: Uint8Array }>

/** COMMAND bytes of a permit; those of an action's last run serve again if it has the same arguments and executable. */
export function rememberCommands(): (
  permit: Permit,
  measured: Measured,
  binds: readonly Bind[],
) => Uint8Array {
  const last = new WeakMap<CompiledAction, Made>()
  return ({ action, argv }, measured, paths) => {
    const known = last.get(action)
    const isPlain = paths.length === 0 && measured.copy === null && measured.interpreter === null
    if (isPlain && known?.measured === measured && isSame(known.argv, argv)) return known.bytes
    const { executable, interpreter, run_as: runAs, cwd } = action
    const env = Object.entries(action.env).map(([name, value]) => `${name}=${value}`)
    const { stamp } = measured.interpreter ?? measured
    const bytes = formatCommand({
      ...{ ...runAs, cwd, stamp, argv, env },
      executable: interpreter?.executable ?? executable,
      binds: [...executableBinds(executable, measured), ...paths],
    })
    if (isPlain) last.set(action, { argv, measured, bytes })
    return bytes
  }
}

/** So that a script that was hashed is the one that is read, and a copy that was hashed the one that runs. */
function executableBinds(executable: CleanPath, measured: Measured): readonly Bind[] {
  const { copy, interpreter, stamp } = measured
  if (copy === null && interpreter === null) return []
  return [
    {
      ...{ source: copy ?? executable, target: executable, stamp },
      ...{ writable: false, executable: copy !== null },
      ...{ isLive: false, isSingle: false, access: 0n },
    },
  ]
}

function isSame(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, index) => text === right[index])
}
