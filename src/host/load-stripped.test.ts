import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { loadFrom, strippedName } from './load-stripped.ts'

const own = readFileSync(new URL('load-stripped.ts', import.meta.url), 'utf8')

test('load stripped: what runs is the file of the source’s digest, and after a change the source', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'stripped-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const put = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  put('package.json', '{"type":"module"}')
  const loader = put(strippedName(own), stripTypeScriptTypes(own))
  const run = (program: string): string => {
    const flags = ['--disable-warning=ExperimentalWarning', '--import', loader]
    return spawnSync(process.execPath, [...flags, program], { encoding: 'utf8' }).stdout
  }
  const source = "const shown: string = 'the source'\nconsole.log(shown)\n"
  const program = put('program.ts', source)
  assert.equal(run(program), 'the source\n')
  put(strippedName(source), "console.log('the stripped file', import.meta.url)\n")
  assert.equal(run(program), `the stripped file ${pathToFileURL(program).href}\n`)
  put('program.ts', `${source}// changed\n`)
  assert.equal(run(program), 'the source\n')
})

test('load stripped: only TypeScript files are looked up', () => {
  const load = loadFrom(new URL('file:///nowhere/'))
  const context = { conditions: [], format: undefined, importAttributes: {} }
  const passed: string[] = []
  const next = (url: string): { format: string; source: string } => {
    passed.push(url)
    return { format: 'builtin', source: '' }
  }
  const urls = ['node:fs', 'file:///nowhere/a.js', 'data:text/javascript,1.ts', import.meta.url]
  for (const url of urls) load(url, context, next)
  assert.deepEqual(passed, urls)
})
