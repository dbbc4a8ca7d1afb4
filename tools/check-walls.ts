/**
 * Holds the walls between the folders of src, because the promises rest on them: what decides is pure, what runs as root
 * loads nothing that others wrote, and what reads untrusted bytes cannot start a process.
 *
 * Tests may import what they like, but nothing that ships may import a test.
 */
import { isBuiltin } from 'node:module'
import { importsOf, reachableFrom, resolveImport } from './imports.ts'
import { isTestFile, readTree, report } from './tree.ts'
import type { Tree } from './tree.ts'

/** What a folder of src may import: folders (itself always), and which bare names. */
const walls: Readonly<Record<string, { folders: readonly string[]; bare: readonly string[] }>> = {
  core: { folders: [], bare: ['node:crypto'] },
  client: { folders: ['core'], bare: ['node:net'] },
  console: { folders: ['client', 'core'], bare: [] },
  host: { folders: ['core'], bare: ['node:*', 'packages'] },
  daemon: { folders: ['host', 'core'], bare: ['node:*', 'packages'] },
  cli: { folders: ['client', 'host', 'core'], bare: ['node:*', 'packages'] },
}

/** The one door from cli to daemon: `belladonna up` starts the bridge by it. */
const daemonDoor = { from: /^src\/cli\/up(-[a-z-]+)?\.ts$/, to: /^src\/daemon\/[a-z-]+\.ts$/ }

const executor = 'src/daemon/executor/main.ts'
const executorMayLoad = /^src\/(?:core|host|daemon\/executor)\//
const unprivileged = ['src/daemon/broker/main.ts', 'src/daemon/observer/main.ts']
const startsProcesses = new Set(['node:child_process', 'node:cluster', 'node:worker_threads'])

export function checkWalls(tree: Tree): readonly string[] {
  const shipped = [...tree.keys()].filter((path) => /^src\/.*\.ts$/.test(path) && !isTestFile(path))
  return [
    ...shipped.flatMap((path) => checkFile(tree, path)),
    ...checkExecutor(tree),
    ...unprivileged.flatMap((entry) => checkUnprivileged(tree, entry)),
  ]
}

function checkFile(tree: Tree, path: string): readonly string[] {
  const folder = path.split('/')[1] ?? ''
  const wall = walls[folder]
  if (wall === undefined) return [`${path}: no folder ${JSON.stringify(folder)} is planned in src`]
  const packages = runtimePackages(tree)
  return importsOf(tree.get(path) ?? '').flatMap(({ specifier, line }) => {
    const target = resolveImport(path, specifier)
    const allowed =
      target === undefined
        ? isBareAllowed(specifier, wall.bare, packages)
        : isFileAllowed(path, target, [folder, ...wall.folders])
    if (target !== undefined && !tree.has(target)) return [`${path}:${line}: there is no ${target}`]
    return allowed ? [] : [`${path}:${line}: src/${folder} may not import ${specifier}`]
  })
}

function isBareAllowed(specifier: string, bare: readonly string[], packages: ReadonlySet<string>) {
  if (bare.includes(specifier)) return true
  if (specifier.startsWith('node:') && isBuiltin(specifier)) return bare.includes('node:*')
  return bare.includes('packages') && packages.has(packageOf(specifier))
}

function isFileAllowed(path: string, target: string, folders: readonly string[]) {
  if (isTestFile(target)) return false
  if (target === 'package.json') return path.startsWith('src/cli/') // for --version
  if (daemonDoor.from.test(path) && daemonDoor.to.test(target)) return true
  return folders.some((folder) => target.startsWith(`src/${folder}/`))
}

/** The part that runs as root: Node's own modules and our own few folders, and no way around this check. */
function checkExecutor(tree: Tree): readonly string[] {
  if (!tree.has(executor)) return []
  return [...reachableFrom(tree, executor)].flatMap(([target, chain]) => {
    const isOurs = executorMayLoad.test(target) && tree.has(target)
    const isNodes = target.startsWith('node:') && isBuiltin(target)
    if (!isOurs && !isNodes) return [`the executor may not load ${chain.join(' → ')}`]
    const hidden = /\b(?:createRequire|getBuiltinModule|process\.binding)\b/.exec(
      tree.get(target) ?? '',
    )
    return hidden === null ? [] : [`${target}: ${hidden[0]} would hide an import of the executor`]
  })
}

function checkUnprivileged(tree: Tree, entry: string): readonly string[] {
  if (!tree.has(entry)) return []
  return [...reachableFrom(tree, entry)]
    .filter(([target]) => startsProcesses.has(target))
    .map(([, chain]) => `who holds no privilege starts no process: ${chain.join(' → ')}`)
}

function runtimePackages(tree: Tree): ReadonlySet<string> {
  const manifest: unknown = JSON.parse(tree.get('package.json') ?? '{}')
  if (typeof manifest !== 'object' || manifest === null || !('dependencies' in manifest))
    return new Set()
  return new Set(Object.keys(manifest.dependencies ?? {}))
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

if (import.meta.main) report('walls', checkWalls(readTree()))
