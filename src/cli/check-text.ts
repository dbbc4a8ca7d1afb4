import type { Subject } from '../core/identity.ts'
import type { CompiledProfile } from '../core/policy/compiled.ts'
import { quote } from '../core/toml/problem.ts'
import { problemOf } from '../core/problem.ts'
import { allowedCalls } from '../core/sandbox/bus-place.ts'
import type { CheckAnswer } from './check.ts'
import { aboutGrant, describeGrant } from './grant-story.ts'

type Row = readonly [name: string, text: string]

/** The answer for a reader: what it is, and then a line for each thing it rests on. */
export function describeAnswer(answer: CheckAnswer): readonly string[] {
  const rows: readonly Row[] = [
    ...('advice' in answer ? denialRows(answer) : runRows(answer)),
    ['policy', `${answer.chosen.digest} (${answer.chosen.source ?? 'installed'})`],
  ]
  return [headOf(answer), ...rows.map(([name, text]) => `${name.padEnd(12)}${text}`)]
}

function headOf({ decision, subject, request }: CheckAnswer): string {
  return `${decision.kind}: ${quote(request.action)} for ${describeSubject(subject)}`
}

/** The ids that count. */
export function describeSubject({ uid, gid, groups, unit }: Subject): string {
  const inUnit = unit === null ? '' : `, unit ${quote(unit)}`
  return `uid ${uid}, gid ${gid}, groups ${groups.join(' ') || 'none'}${inUnit}`
}

function denialRows(answer: Extract<CheckAnswer, { advice: unknown }>): readonly Row[] {
  const { decision, advice, detail, chosen, grant } = answer
  const { code, parameter, enough } = decision
  const rows: readonly (readonly [string, string | null])[] = [
    ['because', `${problemOf(code, {}).title} (${code})`],
    ['detail', detail],
    ['parameter', parameter],
    ['enough', enough],
    ['meant', advice.suggestion && `${quote(advice.suggestion)}?`],
    ['grant', grant && describeGrant(grant)],
  ]
  return [
    ...rows.flatMap(([name, text]): Row[] => (text === null ? [] : [[name, text]])),
    ...advice.missing.map(({ parameter: name, enough: what }): Row => [
      'missing',
      `${name}: ${what}`,
    ]),
    ...advice.grants.flatMap(({ id }): Row[] => {
      const story = aboutGrant(chosen, id)
      return story === null ? [] : [['granted by', describeGrant(story)]]
    }),
  ]
}

function runRows(answer: Exclude<CheckAnswer, { advice: unknown }>): readonly Row[] {
  const { decision, grant, sha256 } = answer
  const { action, profile, argv } = decision
  const { uid, gid } = action.run_as
  const hash = sha256 === null ? 'which the caller cannot read' : `sha256 ${sha256}`
  return [
    ['grant', grant === null ? decision.grant : describeGrant(grant)],
    ['argv', JSON.stringify(argv)],
    ['executable', `${action.executable}, ${hash}`],
    ['runs as', `uid ${uid}, gid ${gid}`],
    ['env', JSON.stringify(action.env)],
    ['cwd', action.cwd],
    ...inputRows(answer),
    ['profile', `${profile.name}${profile.escapable ? ' (escapable)' : ''}, ${profile.digest}`],
    ...filterRows(profile.sockets),
    ['risk', action.risk],
    ...detachRows(answer),
    ['approval', approvalOf(answer)],
  ]
}

function detachRows({
  decision: { action, profile },
}: Exclude<CheckAnswer, { advice: unknown }>): readonly Row[] {
  const seconds = String(profile.limits.time_ms / 1000)
  const until = `goes on without its client, for at most ${seconds} s in all`
  return action.detach ? [['detach', until]] : []
}

/** What a run may call on a bus, and nothing else of it. */
function filterRows(sockets: CompiledProfile['sockets']): readonly Row[] {
  return Object.entries(allowedCalls(sockets)).flatMap(([socket, calls]) =>
    calls.map((call): Row => ['may call', `${call} (of ${quote(socket)}, arguments unseen)`]),
  )
}

/** What comes by descriptors: it is read at the run, so that nothing is known of it here. */
function inputRows({
  decision: { action, profile },
}: Exclude<CheckAnswer, { advice: unknown }>): readonly Row[] {
  const secrets = action.params.filter(({ kind }) => kind === 'secret')
  const rows = secrets.map(({ name }): Row => [
    'secret',
    `${name}, by descriptor: bell ${name}@FILE`,
  ])
  return profile.stdin === 'bound' ? [...rows, ['stdin', 'bound: bell --bind-stdin']] : rows
}

function approvalOf({ decision }: Exclude<CheckAnswer, { advice: unknown }>): string {
  if (decision.kind === 'permit') return 'none'
  return `${decision.need} from ${decision.from}; this version cannot ask for it yet, and refuses`
}
