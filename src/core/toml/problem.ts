import { formatPrintable } from '../audit/printable.ts'
import type { Located } from './tree.ts'

/** What can be wrong with a policy. Each code has a row in docs/reference/policy.md (a test compares them). */
export const policyProblemCodes = [
  'file_unreadable', // not there, a link, not UTF-8, or others may write it
  'syntax_invalid', // not TOML 1.0, or beyond our limits of size and depth
  'schema_unsupported', // `schema` is missing or not 1
  'key_unknown',
  'key_missing',
  'not_yet_supported', // a word of the language that this version cannot enforce yet
  'type_wrong',
  'value_invalid',
  'value_out_of_range',
  'duplicate',
  'account_unknown', // a name that /etc/passwd or /etc/group does not have
  'account_unusable', // 65534 and 4294967295 stand for "nobody in particular"
  'action_unknown',
  'profile_unknown',
  'approvers_unknown',
  'capability_unknown',
  'syscall_unknown',
  'syscall_denied', // a call that no profile can allow
  'template_invalid',
  'parameter_undeclared',
  'parameter_unused',
  'parameter_dash', // a value may begin with "-" but `leading_dash` is not true
  'pattern_invalid',
  'path_invalid', // not an absolute path without empty, "." or ".." parts
  'path_missing',
  'path_unsafe', // others may write it or a part of the way to it
  'command_invalid', // not executable, of another machine, or a script that cannot be run
  'command_outside_profile', // the sandbox would not hold the command
  'directory_outside_profile', // the sandbox would not hold the working directory
  'socket_reachable', // a directory of the profile holds, or may hold, sockets besides the named ones
  'escapable_required', // a socket without a filter, and the profile does not say `escapable = true`
  'dbus_call_invalid', // no single method: a wildcard, or a name that D-Bus does not know
  'dbus_proxy_missing', // what filters D-Bus is not installed, or is not root's alone
  'network_required', // it writes to the host's net.* from an empty network namespace
  'namespace_own', // it writes what a sandbox has of its own, so the host would not change
  'unseen_input', // approvers would sign for input that they cannot see
  'plan_invalid', // the profile cannot be compiled to a plan
  'key_removed', // of the configuration alone: a key of an earlier version
] as const

export type PolicyProblemCode = (typeof policyProblemCodes)[number]

/** What a valid policy may still be told. Each code has a row in docs/reference/policy.md as well. */
export const policyWarningCodes = [
  'socket_absent', // it is not there now, and a run cannot connect to it until it is
  'as_good_as_root', // it writes where the host obeys, or keeps a capability that is as good as root
  'sockets_reachable', // an escapable profile reaches these besides those that it names
] as const

export type PolicyWarningCode = (typeof policyWarningCodes)[number]

/** Something that the author of a valid policy should know. */
export type PolicyWarning = Readonly<{
  file: string
  line: number
  column: number
  code: PolicyWarningCode
  message: string
}>

/** Something that is wrong with a policy, and where. `suggestion` is what was probably meant. */
export type PolicyProblem = Readonly<{
  file: string
  line: number
  column: number
  code: PolicyProblemCode
  message: string
  suggestion?: string
}>

/** Where a problem is: any located value. */
export type Place = Pick<Located<unknown>, 'file' | 'line' | 'column'>

/** One line as compilers print it: `file:line:column: warning: message [code]`. */
export function formatPolicyWarning(warning: PolicyWarning): string {
  return `${placeOf(warning)}: warning: ${warning.message} [${warning.code}]`
}

/** One line as compilers print it: `file:line:column: error: message [code]`. */
export function formatPolicyProblem(problem: PolicyProblem): string {
  const hint =
    problem.suggestion === undefined ? '' : ` (did you mean ${quote(problem.suggestion)}?)`
  return `${placeOf(problem)}: error: ${problem.message}${hint} [${problem.code}]`
}

/** A directory of policies may be anybody's, and so may be the names of the files in it. */
function placeOf({ file, line, column }: Place): string {
  return `${formatPrintable(file)}:${String(line)}:${String(column)}`
}

/** Quotes what the author wrote, with control and bidirectional characters escaped (ABUSE C60). */
export function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u00a0\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The order in which problems are shown: by file, then from top to bottom. */
export function compareProblems(a: Place, b: Place): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1
  return a.line - b.line || a.column - b.column
}
