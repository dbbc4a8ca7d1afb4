/**
 * Makes sure that suites over outside data did read it where it is there. Such a suite skips on a machine without data,
 * so a wrong path, or a loop over nothing, would look like success.
 */
import { isTestFile } from './tree.ts'
import type { Tree } from './tree.ts'

const mention =
  /\b(?:dataPath|skipWithoutData)\(\s*(?:[a-z]+,\s*)?(?:'(?<name>[^']+)'|(?<computed>[^')\s]))/g

/**
 * @param marks names that `test/data.ts` saw asked for during the run
 * @returns a problem for each name in a test file that was not, and for each name that is not written out
 */
export function checkDataMarks(tree: Tree, marks: ReadonlySet<string>): readonly string[] {
  return [...tree]
    .filter(
      ([path]) =>
        isTestFile(path) && /^(?:src|test)\/.*\.ts$/.test(path) && path !== 'test/data.ts',
    )
    .flatMap(([path, text]) =>
      [...text.matchAll(mention)].flatMap((match) => {
        const name = match.groups?.['name']
        if (name === undefined) return [`${path}: write the data's name as a literal`]
        return marks.has(name) ? [] : [`${path}: did not read the data ${JSON.stringify(name)}`]
      }),
    )
}
