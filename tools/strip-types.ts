/**
 * Strips the types off every source of src, for the services: sh tools/run tools/strip-types.ts DIRECTORY
 *
 * src/host/load-stripped.ts says what the files are for.
 */
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { strippedName } from '../src/host/load-stripped.ts'
import { isTestFile, root } from './tree.ts'

function stripAll(directory: string): void {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  for (const path of globSync('src/**/*.ts', { cwd: root }).filter((path) => !isTestFile(path))) {
    const source = readFileSync(join(root, path), 'utf8')
    writeFileSync(join(directory, strippedName(source)), stripTypeScriptTypes(source))
  }
}

const [directory] = process.argv.slice(2)
if (directory === undefined) throw new Error('usage: strip-types.ts DIRECTORY')
stripAll(directory)
