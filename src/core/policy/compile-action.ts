import { isCleanPath } from '../identity.ts'
import type { CleanPath } from '../identity.ts'
import { maxInputs } from '../protocol/layout.ts'
import { isWithin, valueAlphabet } from './code-points.ts'
import type { CompileFacts } from './compile-facts.ts'
import { readParameter } from './compile-parameter.ts'
import { readRunAs } from './compile-principal.ts'
import { checkCleanPath, readCleanPath, resolveAt } from './compile-path.ts'
import { isAlwaysThere, isInProfile } from './compile-profile.ts'
import type { ProfileDraft } from './compile-profile.ts'
import { requestLimits } from '../protocol/request.ts'
import { risks } from './compiled.ts'
import type {
  CompiledAction,
  CompiledApproval,
  CompiledInterpreter,
  CompiledParameter,
} from './compiled.ts'
import { readReference } from './names.ts'
import { rootWays, writtenRoots } from './root-ways.ts'
import { quote } from '../toml/problem.ts'
import type { Place } from '../toml/problem.ts'
import type { PathLink } from './profile-source.ts'
import { parseDurationMs } from '../toml/quantity.ts'
import {
  compareText,
  openFields,
  readInteger,
  readList,
  readNames,
  readParsed,
  readTable,
  readText,
  readTextLike,
  readTruth,
  readWithin,
  readWord,
} from '../toml/reader.ts'
import type { Fields, Read, Report } from '../toml/reader.ts'
import { commandBounds } from '../sandbox/command.ts'
import { isWithin as isPathWithin } from '../sandbox/root.ts'
import { suggestionFor } from '../toml/suggestion.ts'
import { isParameterName, parseTemplateElement } from './template.ts'
import { variableProblem } from './variable-value.ts'
import type { TemplateElement } from './template.ts'
import type { TomlNode } from '../toml/tree.ts'

/** What actions may refer to by name. A broken profile is there too, so that it is reported once. */
export type ActionScope = Readonly<{
  facts: CompileFacts
  profiles: ReadonlyMap<string, ProfileDraft>
  approvers: ReadonlySet<string>
}>

/** An action, and the links on the way to its command. */
export type ReadAction = Readonly<{ action: CompiledAction; links: readonly PathLink[] }>

const maxArguments = 256
const maxVariables = 128
const maxNeed = 16
const maxWithinMs = 7 * 86_400_000
// A list, because only the guard makes the brand.
const [root]: readonly CleanPath[] = ['/'].filter(isCleanPath)

/** Reads the action `id`. */
export function readAction(scope: ActionScope, id: string): Read<ReadAction> {
  return (report, node) => {
    const fields = openFields(report, node, {
      required: ['about', 'command', 'run_as', 'profile'],
      optional: [
        'env',
        'cwd',
        'sha256',
        'approval',
        'risk',
        'reason',
        'params',
        'approve_unseen_input',
        'detach',
      ],
    })
    const parameters = fields.read('params', readParameters(scope.facts), noParameters)
    const { params } = parameters
    const template = fields.read('command', readTemplate, null)
    const command = template && readCommand(scope.facts, report, template)
    const profile = fields.read(
      'profile',
      readReference('profile', new Set(scope.profiles.keys())),
      null,
    )
    const runAs = fields.read('run_as', readRunAs(scope.facts.accounts), null)
    const cwd = fields.read('cwd', readCleanPath, root)
    const rest = {
      id,
      about: fields.read('about', readAbout, ''),
      sha256: fields.read('sha256', readNames(readDigest, 16), []),
      env: fields.read('env', readVariables, {}),
      risk: fields.read('risk', readWord(risks), 'irreversible'),
      reason: fields.read('reason', readWord(['required', 'optional']), 'optional'),
      approval: fields.read('approval', readApproval(scope.approvers), null),
      approve_unseen_input: fields.read('approve_unseen_input', readTruth, false),
      detach: fields.read('detach', readTruth, false),
      params,
    }
    if (template !== null) checkParameters(report, fields, template, parameters)
    if (command !== null) checkPins(report, fields, rest.sha256, command)
    const draft = profile === null ? undefined : scope.profiles.get(profile)
    warnOfRoots(report, fields, params)
    if (draft !== undefined) checkProfile(report, fields, { ...rest, command, cwd }, draft)
    if (command === null || profile === null || draft === undefined) return null
    if (runAs === null || cwd === undefined) return null
    const { elements, executable, interpreter, links } = command
    const made = { command: elements, executable, interpreter, profile, ...runAs, cwd }
    return { action: { ...rest, ...made }, links }
  }
}

const readAbout = readTextLike(
  /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]{1,200}$/u,
  '1 to 200 visible characters',
)
const readDigest = readTextLike(/^[0-9a-f]{64}$/, 'a SHA-256 digest of 64 digits of 0-9 and a-f')

type Command = Readonly<{
  elements: readonly TemplateElement[]
  executable: CleanPath
  interpreter: CompiledInterpreter | null
  /** Why somebody else could change the executable, or undefined. */
  changeable: string | undefined
  links: readonly PathLink[]
}>

/** What could be read of `command`: a broken element hides nothing of the others. */
type Template = Readonly<{
  elements: readonly TemplateElement[]
  /** The first element and its place; null if that one is broken. */
  program: Readonly<{ element: TemplateElement; place: Place }> | null
  /** What stands in those that are broken. */
  broken: readonly string[]
}>

const readTemplate: Read<Template> = (report, node) => {
  const read = readList(
    (inner, item: TomlNode) => [{ item, element: readElement(inner, item) }],
    maxArguments,
  )
  const items = read(report, node)?.flat() ?? null
  if (items === null) return null
  const [first] = items
  if (first === undefined) return report.add(node, 'value_invalid', 'expected at least a program')
  const { item: place, element } = first
  return {
    elements: items.flatMap((item) => item.element ?? []),
    program: element && { element, place },
    broken: items.flatMap(({ item, element: read }) => {
      return read === null && item.kind === 'string' ? item.value : []
    }),
  }
}

/** What runs; null where that is not known. */
function readCommand(
  facts: CompileFacts,
  report: Report,
  { program, elements }: Template,
): Command | null {
  if (program === null) return null
  const { element, place } = program
  if (element.kind === 'parameter') {
    return report.add(place, 'template_invalid', 'no parameter may choose the program')
  }
  const path = checkCleanPath(report, place, element.text)
  const resolved = path && resolveAt(report, place, facts, path, 'command')
  if (resolved === null) return null
  const { links, interpreter = null, changeable } = resolved
  return { elements, executable: resolved.path.path, interpreter, changeable, links }
}

const readElement: Read<TemplateElement> = (report, node) => {
  const text = readText(report, node)
  if (text === null) return null
  if (text.length > 4096 || text.includes('\0')) {
    return report.add(node, 'template_invalid', 'expected at most 4096 characters without NUL')
  }
  const element = parseTemplateElement(text)
  return element.kind === 'fault' ? report.add(node, 'template_invalid', element.message) : element
}

/** The parameters that could be read, and the names of all: a broken one is reported once. */
type Parameters = Readonly<{
  params: readonly CompiledParameter[]
  names: ReadonlySet<string>
}>

const noParameters: Parameters = { params: [], names: new Set() }

/** Each parameter that is declared is used, and the other way round. */
function checkParameters(
  report: Report,
  fields: Fields,
  { elements, broken }: Template,
  { params, names }: Parameters,
): void {
  const place = fields.place('command')
  const used = new Set(elements.flatMap((item) => (item.kind === 'parameter' ? [item.name] : [])))
  for (const name of used) {
    if (names.has(name)) continue
    const message = `the command uses {${name}}, but params has no such parameter`
    report.add(place, 'parameter_undeclared', message, suggestionFor(name, names))
  }
  for (const { name } of params) {
    if (used.has(name) || broken.some((text) => text.includes(`{${name}}`))) continue
    const message = `no argument of the command uses {${name}}`
    report.add(fields.place('params'), 'parameter_unused', message)
  }
  const flags = new Set(params.flatMap(({ kind, name }) => (kind === 'flag' ? [name] : [])))
  for (const element of elements) {
    if (element.kind !== 'parameter' || !flags.has(element.name)) continue
    if (element.before === '' && element.after === '') continue
    const message = `{${element.name}} is a flag, a whole argument or none: nothing may stand beside it`
    report.add(place, 'template_invalid', message)
  }
}

function readParameters(facts: CompileFacts): Read<Parameters> {
  return (report, node) => readAllParameters(facts, report, node)
}

function readAllParameters(facts: CompileFacts, report: Report, node: TomlNode): Parameters {
  const params: CompiledParameter[] = []
  const entries = readTable(report, node) ?? []
  const names = new Set(entries.map(({ key }) => key.value))
  if (entries.length > requestLimits.parameters) {
    const most = String(requestLimits.parameters)
    report.add(node, 'value_out_of_range', `expected at most ${most} parameters`)
    return { params: [], names }
  }
  for (const { key, node: definition } of entries) {
    if (!isParameterName(key.value)) {
      const rule = 'a-z, 0-9, ".", "_" and "-", first a letter, at most 64 characters'
      report.add(key, 'value_invalid', `${quote(key.value)} is no name of a parameter: ${rule}`)
      continue
    }
    const parameter = readParameter(facts, key.value)(report, definition)
    if (parameter !== null) params.push(parameter)
  }
  if (params.filter(({ kind }) => kind === 'secret').length > maxInputs) {
    report.add(node, 'value_out_of_range', `expected at most ${String(maxInputs)} secrets`)
  }
  checkBinds(report, node, params)
  return { params: params.sort((a, b) => compareText(a.name, b.name)), names }
}

/** Each path is a mount of its own; two more are kept: for a script or a copy of the executable, and for a proxy's sockets. */
function checkBinds(report: Report, place: Place, params: readonly CompiledParameter[]): void {
  const most = commandBounds.binds - 2
  const counts = params.map((item) => (item.kind === 'path' ? (item.repeat?.max ?? 1) : 0))
  if (counts.reduce((sum, count) => sum + count, 0) <= most) return
  const message = `expected at most ${String(most)} paths in one request: say \`repeat = { max = … }\``
  report.add(place, 'value_out_of_range', message)
}

const readVariables: Read<Readonly<Record<string, string>>> = (report, node) => {
  const entries = readTable(report, node) ?? []
  if (entries.length > maxVariables) {
    report.add(node, 'value_out_of_range', `expected at most ${String(maxVariables)} variables`)
  }
  const alphabet = valueAlphabet({ slash: true, space: true })
  const variables = entries.flatMap(({ key, node: value }): [string, string][] => {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(key.value)) {
      report.add(key, 'value_invalid', `${quote(key.value)} is no name of a variable`)
    }
    const text = readText(report, value)
    if (text === null) return []
    if (text.length > 4096 || !isWithin(alphabet, text)) {
      report.add(value, 'value_invalid', 'expected at most 4096 characters, none of them invisible')
    }
    const problem = variableProblem(key.value, text)
    if (problem !== undefined) report.add(value, 'value_invalid', problem)
    return [[key.value, text]]
  })
  return Object.fromEntries(variables)
}

function readApproval(approvers: ReadonlySet<string>): Read<CompiledApproval> {
  return (report, node) => {
    const fields = openFields(report, node, { required: ['need', 'from'], optional: ['within'] })
    const duration = readParsed(parseDurationMs, 'a duration like "10m"')
    const from = fields.read('from', readReference('approvers', approvers), null)
    const need = fields.read('need', readInteger(1, maxNeed), 1)
    const within = readWithin(duration, 1000, maxWithinMs, 'a duration from "1s" to "7d"')
    const within_ms = fields.read('within', within, 600_000)
    return from === null ? null : { need, from, within_ms }
  }
}

/** What others may write must be pinned: then exactly that is copied and run, and nothing else ever is. */
function checkPins(
  report: Report,
  fields: Fields,
  sha256: readonly string[],
  { executable, changeable }: Command,
): void {
  if (changeable === undefined || sha256.length > 0) return
  const way = 'say `sha256 = ["…"]`, and a copy of exactly that file is run'
  report.add(fields.place('command'), 'path_unsafe', `${quote(executable)}: ${changeable}; ${way}`)
}

function warnOfRoots(report: Report, fields: Fields, params: readonly CompiledParameter[]): void {
  for (const { by, why } of rootWays({ caps: [], write: [] }, writtenRoots(params))) {
    const message = `a run as good as root by what lies in ${by}: ${why}`
    report.warn(fields.place('params'), 'as_good_as_root', message)
  }
}

/** What shows only when action and profile are seen together; of a broken action what could be read of it. */
function checkProfile(
  report: Report,
  fields: Fields,
  action: Pick<CompiledAction, 'params' | 'approval' | 'approve_unseen_input' | 'detach'> &
    Readonly<{ command: Command | null; cwd: CleanPath | undefined }>,
  { source, hasOwnTime }: ProfileDraft,
): void {
  if (action.detach && !hasOwnTime) {
    const message = `nobody waits for the end of such a run: say in the profile ${quote(source.name)} how long it may take, \`limits = { time = … }\``
    report.add(fields.place('detach'), 'value_invalid', message)
  }
  const { command, cwd } = action
  const programs = [command?.executable, command?.interpreter?.executable].filter(isCleanPath)
  const hidden = programs.find((path) => !isInProfile(source, path))
  if (hidden !== undefined) {
    const message = `the profile ${quote(source.name)} does not show ${quote(hidden)}`
    report.add(fields.place('command'), 'command_outside_profile', message)
  }
  if (cwd !== undefined && !isAlwaysThere(cwd) && !isInProfile(source, cwd)) {
    const message = `the profile ${quote(source.name)} does not show ${quote(cwd)}`
    report.add(fields.place('cwd'), 'directory_outside_profile', message)
  }
  for (const { name, root } of action.params.filter((item) => item.kind === 'path')) {
    const shown = [...source.read, ...source.write, ...source.sockets]
    if (!shown.some(({ path }) => isPathWithin(path, root))) continue
    const message = `the profile ${quote(source.name)} names what lies in ${quote(root)}, of which {${name}} must be all`
    report.add(fields.place('params'), 'path_invalid', message)
  }
  if (action.approval !== null && source.stdin === 'stream' && !action.approve_unseen_input) {
    const message =
      'approvers cannot see what a stream brings: say `approve_unseen_input = true`, or stdin = "none"'
    report.add(fields.place('approval'), 'unseen_input', message)
  }
}
