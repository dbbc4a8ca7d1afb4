/**
 * Keeps paths of somebody's own machine out of what is committed: they do not work elsewhere, and tell what is no one's
 * business. Example paths stay possible by a few names that stand for anybody.
 */
import { readTree, report } from './tree.ts'
import type { Tree } from './tree.ts'

/** Home directories that a text may use as examples. */
const anybody = 'alice|bob|ci|deploy|you|user|name|NAME|USER|agent|builder'

const personal: readonly RegExp[] = [
  /(?<![\w.$}~-])\/work\/[\w.-]+/g,
  /(?<![\w.$}~-])\/root\/[\w.-]+/g,
  new RegExp(`(?<![\\w.$}~-])/home/(?!(?:${anybody})\\b)[\\w.-]+`, 'g'),
  new RegExp(`/Users/(?!(?:${anybody})\\b)[\\w.-]+`, 'g'),
  /\b[A-Z]:\\Users\\\w+/g,
]

/** These hold such paths in order to look for them. */
const exempt = new Set(['tools/check-paths.ts', 'tools/checks.test.ts'])

export function checkPaths(tree: Tree): readonly string[] {
  return [...tree]
    .filter(([path]) => !exempt.has(path))
    .flatMap(([path, text]) =>
      text
        .split('\n')
        .flatMap((line, at) =>
          personal.flatMap((pattern) =>
            (line.match(pattern) ?? []).map((found) => `${path}:${at + 1}: ${found}`),
          ),
        ),
    )
}

if (import.meta.main) report('paths', checkPaths(readTree()))
