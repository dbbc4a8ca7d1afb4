import { isCleanPath } from '../identity.ts'
import type { CleanPath } from '../identity.ts'
import { isWithin, valueAlphabet } from './code-points.ts'

/** Who reads a script, as its first line says: `path` as it is written there, and the one argument that it may have. */
export type Shebang = Readonly<{ path: CleanPath; argument: string | null }>

/** What a file begins with. */
export type FileHead =
  | Readonly<{ kind: 'program' }>
  | Readonly<{ kind: 'script'; shebang: Shebang }>
  | Readonly<{ kind: 'fault'; message: string }>

/** How much of a file the kernel looks at (BINPRM_BUF_SIZE since Linux 5.1): the first line must end in it. */
export const shebangBytes: number = 256

const [hash, bang, lineEnd] = [0x23, 0x21, 0x0a]
const visible = valueAlphabet({ slash: true, space: true })

/**
 * Reads the first line of a file as Linux does, and refuses what Linux would cut, guess or search for.
 *
 * What follows the interpreter is one argument, spaces in it included. A line that does not end within 256 bytes, that
 * holds what nobody sees (CR, NUL), or that names `env`, which searches by the environment, is refused.
 *
 * @param head the first `shebangBytes` bytes of the file, or all of a shorter one
 * @see execve(2), "Interpreter scripts"; fs/binfmt_script.c
 */
export function readShebang(head: Uint8Array): FileHead {
  if (head[0] !== hash || head[1] !== bang) return { kind: 'program' }
  const end = head.subarray(0, shebangBytes).indexOf(lineEnd)
  if (end < 0) return fault(`its first line does not end within ${String(shebangBytes)} bytes`)
  const text = decode(head.subarray(2, end))
  if (text === undefined) return fault('its first line is not UTF-8')
  const line = text.replaceAll(/^[ \t]+|[ \t]+$/g, '')
  const gap = line.search(/[ \t]/)
  const path = gap < 0 ? line : line.slice(0, gap)
  const argument = gap < 0 ? '' : line.slice(gap).replace(/^[ \t]+/, '')
  if (!isWithin(visible, path) || !isWithin(visible, argument)) {
    return fault('its first line holds a character that nobody sees, as a carriage return')
  }
  if (!isCleanPath(path) || path === '/') return fault('its interpreter is no clean absolute path')
  if (isEnv(path)) return fault(envMessage)
  return { kind: 'script', shebang: { path, argument: argument === '' ? null : argument } }
}

/** Whether this is the program that looks for another one along PATH. */
export function isEnv(path: CleanPath): boolean {
  return path.endsWith('/env')
}

/** Why not. */
export const envMessage: string =
  '"env" looks for the interpreter along PATH: name the interpreter itself in the first line'

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function fault(message: string): FileHead {
  return { kind: 'fault', message }
}
