/** Reads which modules a TypeScript source imports, without a compiler: the sources keep to one style (Prettier). */
import { posix } from 'node:path'
import type { Tree } from './tree.ts'

export type Import = Readonly<{ specifier: string; line: number }>

const statement = /^(?:import|export)\b(?:[^'"`;=(]*?\bfrom)?\s*(['"])(?<specifier>[^'"]+)\1/gm
const call = /\bimport\(\s*(?:(['"])(?<specifier>[^'"]+)\1)?/g

/** All imports and re-exports, types included. A dynamic import of a computed name has the specifier `?`. */
export function importsOf(source: string): readonly Import[] {
  return [...source.matchAll(statement), ...source.matchAll(call)].map((match) => ({
    specifier: match.groups?.['specifier'] ?? '?',
    line: source.slice(0, match.index).split('\n').length,
  }))
}

/** Path from the root of what a relative specifier names; undefined for a bare one. */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (!/^\.{1,2}\//.test(specifier)) return undefined
  return posix.join(posix.dirname(from), specifier)
}

/** Every file that `entry` reaches, itself included, with the chain of imports that leads to it. */
export function reachableFrom(tree: Tree, entry: string): ReadonlyMap<string, readonly string[]> {
  const chains = new Map<string, readonly string[]>([[entry, [entry]]])
  for (const [path, chain] of chains) {
    for (const { specifier } of importsOf(tree.get(path) ?? '')) {
      const target = resolveImport(path, specifier) ?? specifier
      if (!chains.has(target)) chains.set(target, [...chain, target])
    }
  }
  return chains
}
