import { formatPrintable } from '../core/audit/printable.ts'
import type { CompiledParameter, CompiledSecret } from '../core/policy/compiled.ts'
import { schemaOfParameters } from '../core/policy/parameter-schema.ts'
import { permittedActions } from '../core/policy/permitted-actions.ts'
import type { PermittedAction } from '../core/policy/permitted-actions.ts'
import type { QuestionOptions } from './check.ts'
import { describeSubject } from './check-text.ts'
import { choosePolicy } from './chosen-policy.ts'
import type { ChosenPolicy } from './chosen-policy.ts'
import { aboutGrant } from './grant-story.ts'
import { showProblems } from './policy.ts'
import type { Output } from './output.ts'
import { readSubject } from './subject.ts'

/** `belladonna actions`: the actions that the subject has a live grant of. Returns the exit status. */
export function actions(options: QuestionOptions, output: Output): number {
  const subject = readSubject(options.as)
  const chosen = choosePolicy(options.root, options.source)
  if (chosen.kind === 'invalid') return showProblems(options, output, chosen.problems)
  const permitted = permittedActions(chosen.index, subject, Date.now())
  if (options.json) {
    const { uid, gid, groups, unit } = subject
    const policy = { digest: chosen.digest, source: chosen.source }
    const list = permitted.map((item) => formatAction(chosen, item))
    output.print(JSON.stringify({ subject: { uid, gid, groups, unit }, policy, actions: list }))
  } else if (permitted.length === 0) output.print(`no action for ${describeSubject(subject)}`)
  else for (const line of permitted.flatMap(describeAction)) output.print(formatPrintable(line))
  return 0
}

function formatAction(chosen: ChosenPolicy, { entry, grant }: PermittedAction): object {
  const { id, about, risk, reason, approval } = entry.action
  const { name, escapable, stdin, output } = entry.profile
  return {
    ...{ id, about, risk, reason, approval },
    profile: { name, escapable, stdin, output },
    grant: aboutGrant(chosen, grant),
    parameters: schemaOfParameters(entry.action),
  }
}

/** The words to type, and what they do. */
function describeAction({ entry: { action, profile } }: PermittedAction): readonly string[] {
  const approval = action.approval === null ? '' : '; needs an approval'
  const stdin = profile.stdin === 'bound' ? '; binds stdin: bell --bind-stdin' : ''
  const words = [action.id, ...action.params.map(describeWord)].join(' ')
  return [words, `    ${action.about} (${action.risk}${approval}${stdin})`]
}

function describeWord(parameter: CompiledParameter): string {
  if (parameter.kind === 'secret') return `${parameter.name}@FILE`
  const word = `${parameter.name}=${formOf(parameter)}`
  if (parameter.kind === 'flag') return `[${word}]`
  if (parameter.repeat === null) return word
  return parameter.repeat.min === 0 ? `[${word} …]` : `${word} …`
}

function formOf(parameter: Exclude<CompiledParameter, CompiledSecret>): string {
  switch (parameter.kind) {
    case 'one_of':
      return parameter.values.length > 8 ? 'WORD' : parameter.values.join('|')
    case 'integer':
      return `${parameter.min}..${parameter.max}`
    case 'match':
      return `/${parameter.pattern}/`
    case 'path':
      return 'PATH'
    case 'flag':
      return 'true|false'
  }
}
