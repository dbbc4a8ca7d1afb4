/**
 * Guards what we take from others: every package is pinned by hash, none runs a script when it is installed, their number
 * stays under a ceiling, and each one we chose has a row that says why and how we would leave it.
 */
import { codeRowsOf } from './markdown.ts'
import { readTree, report } from './tree.ts'
import type { Tree } from './tree.ts'

/** Ceilings, over all manifests: what we name, and all that comes with it. */
const ceilings = {
  runtime: { direct: 16, packages: 110 },
  development: { direct: 30, packages: 320 },
}
const reasons = 'docs/explanation/dependencies.md'

type Fields = Readonly<Record<string, unknown>>
type Manifest = Readonly<{ path: string; runtime: Fields; development: Fields }>
type Locked = Readonly<{ name: string; isDevelopment: boolean; problems: readonly string[] }>

export function checkLockfiles(tree: Tree): readonly string[] {
  const paths = [...tree.keys()].filter((path) => /(?:^|\/)package\.json$/.test(path))
  const manifests = paths.map((path) => readManifest(tree, path))
  const locked = paths.map((path) =>
    readLock(tree, path.replace('package.json', 'package-lock.json')),
  )
  const packages = locked.flat()
  return [
    ...manifests.flatMap(checkVersions),
    ...manifests.flatMap((manifest) => checkAgreement(tree, manifest)),
    ...packages.flatMap(({ problems }) => problems),
    ...checkCeiling('runtime', manifests, packages),
    ...checkCeiling('development', manifests, packages),
    ...checkReasons(tree, manifests),
  ]
}

function readManifest(tree: Tree, path: string): Manifest {
  const manifest = fields(JSON.parse(tree.get(path) ?? '{}'))
  return {
    path,
    runtime: fields(manifest['dependencies']),
    development: fields(manifest['devDependencies']),
  }
}

function readLock(tree: Tree, path: string): readonly Locked[] {
  const text = tree.get(path)
  if (text === undefined)
    return [{ name: path, isDevelopment: true, problems: [`${path} is missing`] }]
  return Object.entries(fields(fields(JSON.parse(text))['packages']))
    .filter(([place]) => place !== '')
    .map(([place, entry]) => readLocked(path, place, fields(entry)))
}

function readLocked(path: string, place: string, entry: Fields): Locked {
  const problem = (text: string): string => `${path}: ${place}: ${text}`
  const problems: string[] = []
  if (!String(entry['integrity']).startsWith('sha512-'))
    problems.push(problem('not pinned by SHA-512'))
  if ('hasInstallScript' in entry) problems.push(problem('runs a script when it is installed'))
  if ('resolved' in entry) problems.push(problem('names a registry'))
  if ('link' in entry) problems.push(problem('is a link'))
  return { name: place, isDevelopment: entry['dev'] === true, problems }
}

function checkVersions({ path, runtime, development }: Manifest): readonly string[] {
  return Object.entries({ ...runtime, ...development })
    .filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(String(version)))
    .map(([name, version]) => `${path}: ${name}: ${String(version)} is not one exact version`)
}

/** `npm ci` refuses a lockfile that is not the manifest's, but only where it runs; tools/setup skips it if it can. */
function checkAgreement(tree: Tree, { path, runtime, development }: Manifest): readonly string[] {
  const lock = fields(
    JSON.parse(tree.get(path.replace('package.json', 'package-lock.json')) ?? '{}'),
  )
  const own = fields(fields(lock['packages'])[''])
  const agrees =
    sameFields(fields(own['dependencies']), runtime) &&
    sameFields(fields(own['devDependencies']), development)
  return agrees
    ? []
    : [`${path}: its lockfile is another manifest's; run npm install --ignore-scripts`]
}

function checkCeiling(
  kind: keyof typeof ceilings,
  manifests: readonly Manifest[],
  packages: readonly Locked[],
): readonly string[] {
  const direct = manifests.reduce((sum, manifest) => sum + Object.keys(manifest[kind]).length, 0)
  const all = packages.filter(
    ({ isDevelopment }) => isDevelopment === (kind === 'development'),
  ).length
  const most = ceilings[kind]
  return [
    ...(direct > most.direct
      ? [`${kind}: ${direct} direct dependencies, at most ${most.direct}`]
      : []),
    ...(all > most.packages ? [`${kind}: ${all} packages, at most ${most.packages}`] : []),
  ]
}

function checkReasons(tree: Tree, manifests: readonly Manifest[]): readonly string[] {
  const rows = codeRowsOf(tree.get(reasons) ?? '')
  const names = manifests.flatMap((manifest) =>
    Object.keys({ ...manifest.runtime, ...manifest.development }),
  )
  return [
    ...names.filter((name) => !rows.includes(name)).map((name) => `${reasons}: no row for ${name}`),
    ...rows
      .filter((row) => !names.includes(row))
      .map((row) => `${reasons}: ${row} is not a dependency`),
  ]
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function sameFields(left: Fields, right: Fields): boolean {
  const text = (value: Fields): string => JSON.stringify(Object.entries(value).toSorted())
  return text(left) === text(right)
}

if (import.meta.main) report('lockfiles', checkLockfiles(readTree()))
