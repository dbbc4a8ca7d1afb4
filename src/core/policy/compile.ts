import type { CompileFacts } from './compile-facts.ts'
import { readAction } from './compile-action.ts'
import type { ReadAction } from './compile-action.ts'
import { readApprovers, readGrant } from './compile-grant.ts'
import { finishProfile, readProfile } from './compile-profile.ts'
import type { ProfileDraft, ProfileUse } from './compile-profile.ts'
import type { CompiledGrant, CompiledPolicy, CompiledProfile } from './compiled.ts'
import { isName } from './names.ts'
import { quote } from '../toml/problem.ts'
import type { Place, PolicyProblem, PolicyWarning } from '../toml/problem.ts'
import {
  compareText,
  openFields,
  openReport,
  readInteger,
  readList,
  readTable,
} from '../toml/reader.ts'
import type { Read, Report } from '../toml/reader.ts'
import type { TomlEntry, TomlNode } from '../toml/tree.ts'

/** A compiled policy, or everything that is wrong with it. */
export type CompileResult =
  | Readonly<{
      kind: 'compiled'
      policy: CompiledPolicy
      warnings: readonly PolicyWarning[]
      /** Where the files have each grant, by its id; of several that say the same, the first. No part of the policy. */
      grantPlaces: ReadonlyMap<string, Place>
    }>
  | Readonly<{ kind: 'invalid'; problems: readonly PolicyProblem[] }>

const maxGrants = 100_000

/**
 * Compiles the files of a policy, each of them a tree with places, to what broker and executor load.
 *
 * Reports all errors of meaning at once. The order of files, tables and keys has no meaning, and no rule can take away
 * what another one gives (ABUSE C11): so the same rules give the same bytes.
 */
export function compilePolicy(trees: readonly TomlNode[], facts: CompileFacts): CompileResult {
  const report = openReport()
  const sections = readSections(report, trees)
  const approvers = readEach(report, sections.approvers, readApprovers)
  const drafts = readEach(report, sections.profile, (name) => readProfile(facts, name))
  const scope = {
    facts,
    profiles: drafts,
    approvers: new Set(sections.approvers.keys()),
  }
  const actions = readEach(report, sections.action, (id) => readAction(scope, id))
  const actionNames = new Set(sections.action.keys())
  const grantPlaces = new Map<string, Place>()
  const grants = sections.grant.map((node) => {
    const grant = readGrant(facts, actionNames)(report, node)
    if (!grantPlaces.has(grant.id)) grantPlaces.set(grant.id, placeOf(node))
    return grant
  })
  const profiles = finishProfiles(report, facts, drafts, actions)
  const problems = report.list()
  if (problems.length > 0) return { kind: 'invalid', problems }
  const policy: CompiledPolicy = {
    type: 'belladonna/policy/v1',
    architecture: facts.architecture,
    actions: sorted(actions)
      .filter((read) => read !== null)
      .map(({ action }) => action),
    profiles,
    grants: onceAndSorted(grants),
    approvers: sorted(approvers),
  }
  return { kind: 'compiled', policy, warnings: report.warnings(), grantPlaces }
}

function placeOf({ file, line, column }: TomlNode): Place {
  return { file, line, column }
}

/** The named tables of all files, and the grants. */
type Sections = Readonly<{
  action: Map<string, TomlEntry>
  profile: Map<string, TomlEntry>
  approvers: Map<string, TomlEntry>
  grant: TomlNode[]
}>

function readSections(report: Report, trees: readonly TomlNode[]): Sections {
  const sections: Sections = {
    action: new Map(),
    profile: new Map(),
    approvers: new Map(),
    grant: [],
  }
  for (const tree of trees) {
    const fields = openFields(report, tree, {
      required: [],
      optional: ['schema', 'action', 'profile', 'approvers', 'grant'],
    })
    // A file of another schema may mean anything, so nothing else of it is reported.
    if (fields.read('schema', readInteger(0, Number.MAX_SAFE_INTEGER), 0) !== 1) {
      report.add(fields.place('schema'), 'schema_unsupported', 'expected `schema = 1` in each file')
      continue
    }
    for (const name of ['action', 'profile', 'approvers'] as const) {
      for (const entry of fields.read(name, readTable, []))
        addSection(report, sections[name], entry)
    }
    sections.grant.push(...fields.read('grant', readList(anyNode, maxGrants), []))
  }
  return sections
}

const anyNode: Read<TomlNode> = (_report, node) => node

function addSection(report: Report, section: Map<string, TomlEntry>, entry: TomlEntry): void {
  const { key } = entry
  if (!isName(report, key)) return
  const known = section.get(key.value)?.key
  if (known === undefined) {
    section.set(key.value, entry)
    return
  }
  const first = `${quote(known.file)}, line ${String(known.line)}`
  report.add(key, 'duplicate', `${quote(key.value)} is already defined in ${first}`)
}

/** Reads each table of a section; what cannot be read keeps its name. */
function readEach<T>(
  report: Report,
  section: ReadonlyMap<string, TomlEntry>,
  read: (name: string) => (report: Report, node: TomlNode) => T,
): ReadonlyMap<string, T> {
  return new Map([...section].map(([name, { node }]) => [name, read(name)(report, node)]))
}

function sorted<T>(map: ReadonlyMap<string, T>): readonly T[] {
  return [...map].sort(([a], [b]) => compareText(a, b)).map(([, value]) => value)
}

function finishProfiles(
  report: Report,
  facts: CompileFacts,
  drafts: ReadonlyMap<string, ProfileDraft>,
  actions: ReadonlyMap<string, ReadAction | null>,
): readonly CompiledProfile[] {
  const byProfile = Map.groupBy(
    [...actions.values()].filter((read) => read !== null),
    ({ action }) => action.profile,
  )
  return sorted(drafts).flatMap((draft) => {
    const use = useOf(byProfile.get(draft.source.name) ?? [])
    return finishProfile(report, facts, draft, use) ?? []
  })
}

function useOf(actions: readonly ReadAction[]): ProfileUse {
  const roots = actions.flatMap(({ action }) => {
    return action.params.flatMap((item) => (item.kind === 'path' ? item.root : []))
  })
  return {
    links: actions.flatMap(({ links }) => links),
    roots: [...new Set(roots)].sort(compareText),
    needed: actions.flatMap(({ action: { executable, interpreter, cwd } }) => {
      return [executable, cwd, ...(interpreter === null ? [] : [interpreter.executable])]
    }),
  }
}

function onceAndSorted(grants: readonly CompiledGrant[]): readonly CompiledGrant[] {
  const once = new Map(grants.map((grant) => [grant.id, grant]))
  return [...once.values()].sort((a, b) => compareText(a.id, b.id))
}
