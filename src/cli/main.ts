/** The CLI `belladonna`. It reads its arguments, calls one function, and exits with that function's status. */
import { resolve } from 'node:path'
import { Command, CommanderError } from 'commander'
import { formatTerminal } from '../core/audit/printable.ts'
import { parseVerifierKey } from '../core/audit/signed-note.ts'
import { BelladonnaError } from '../core/error.ts'
import { version } from '../core/version.ts'
import { bridgePaths } from '../host/layout.ts'
import { auditShow, auditVerify } from './audit.ts'
import type { AuditOptions } from './audit.ts'
import { actions } from './actions.ts'
import { check } from './check.ts'
import type { QuestionOptions } from './check.ts'
import { configCheck } from './configuration.ts'
import { exitStatuses, formatError, reportError } from './exit.ts'
import { migrateConfig } from './migrate-config.ts'
import { policyReload } from './policy-reload.ts'
import { policyCheck, policyInstall } from './policy.ts'
import { showProgress } from './progress.ts'
import { endWithReader } from './reader-gone.ts'
import { run } from './run.ts'
import { status } from './status.ts'
import { up } from './up.ts'

const print = (line: string): void => {
  process.stdout.write(`${formatTerminal(line)}\n`)
}
const complain = (line: string): void => {
  process.stderr.write(`${formatTerminal(line)}\n`)
}
const output = { print, complain }

type RootOption = Readonly<{ root?: string }>

/** `--root /` and none at all mean the host. The result is the empty string or absolute, without a slash at its end. */
function rootOf({ root }: RootOption): string {
  if (root === '') throw new BelladonnaError('usage', '--root: expected a directory')
  return root === undefined ? '' : resolve(root).replace(/\/$/, '')
}

function addRoot(command: Command): Command {
  return command.option('--root <dir>', 'the bridge below this directory instead of the host’s')
}

function addExample(command: Command, line: string): Command {
  return command.addHelpText('after', `\nExample:\n  ${line}`)
}

function makeProgram(exit: (status: number) => void): Command {
  const program = new Command('belladonna')
    .description('A privilege bridge: runs the few privileged actions that a policy names.')
    .version(version)
    .exitOverride()
    .showSuggestionAfterError()
    .enablePositionalOptions()
  addExample(program, "belladonna run -r 'deploy 1.2' service.restart service=nginx.service")
  addUp(program)
  addRun(program, exit)
  addCheck(program, exit)
  addActions(program, exit)
  addStatus(program, exit)
  addPolicy(program.command('policy').description('check, install and reload policies'), exit)
  addConfig(program.command('config').description('check the configuration'), exit)
  addDev(program.command('dev').description('for changes from one version to the next'), exit)
  addAudit(program.command('audit').description('verify and read the log'), exit)
  return program
}

function addUp(program: Command): void {
  const command = program.command('up').description('start the bridge, in the foreground')
  addExample(addRoot(command), '# belladonna up --root /tmp/demo')
    .option('--unprivileged', 'for the caller’s own uid only, with fewer walls')
    .option('--json', 'an error as one JSON object')
    .action((options: RootOption & { unprivileged?: boolean }) => {
      up({ root: rootOf(options), unprivileged: options.unprivileged === true }, complain)
    })
}

function addRun(program: Command, exit: (status: number) => void): void {
  const command = program.command('run').description('run an action, as bell(1) does')
  addExample(addRoot(command), "belladonna run --json -r 'a try' kernel.swappiness value=10")
    .argument('<words...>', 'options of bell, ACTION, name=value or name@FILE …')
    .passThroughOptions()
    .allowUnknownOption()
    .action((words: string[], options: RootOption) => exit(run(rootOf(options), words)))
}

type QuestionFlags = RootOption & Readonly<{ as?: string; policy?: string; json?: boolean }>

function addQuestion(command: Command): Command {
  return addRoot(command)
    .option(
      '--as <who>',
      'user:NAME or uid:NUMBER, unit:NAME, or both with a comma between; default: the caller',
    )
    .option('--policy <source>', 'a file or directory to compile; default: what is installed')
    .option('--json', 'one JSON object')
}

function questionOptions(flags: QuestionFlags): QuestionOptions {
  const { as, policy: source, json } = flags
  return { root: rootOf(flags), source, as, json: json === true }
}

function addCheck(program: Command, exit: (status: number) => void): void {
  const command = program.command('check').description('say what a request would come to')
  addExample(
    addQuestion(command),
    'belladonna check --as user:ci service.restart service=nginx.service',
  )
    .argument('<action>')
    .argument('[values...]', 'name=value or name@FILE …')
    .option('-r, --reason <text>', 'why')
    .action((action: string, values: string[], flags: QuestionFlags & { reason?: string }) => {
      exit(check({ ...questionOptions(flags), action, values, reason: flags.reason ?? '' }, output))
    })
}

function addActions(program: Command, exit: (status: number) => void): void {
  const command = program.command('actions').description('list the actions that a grant gives')
  addExample(addQuestion(command), 'belladonna actions --json --as user:ci').action(
    (flags: QuestionFlags) => exit(actions(questionOptions(flags), output)),
  )
}

function addStatus(program: Command, exit: (status: number) => void): void {
  const command = program.command('status').description('what is up, and what this kernel enforces')
  addExample(addRoot(command), 'belladonna status --json | jq .features')
    .option('--json', 'one JSON object')
    .action(async (options: RootOption & { json?: boolean }) => {
      exit(await status(rootOf(options), options.json === true, print))
    })
}

type PolicyFlags = RootOption & Readonly<{ json?: boolean }>

function addPolicy(policy: Command, exit: (status: number) => void): void {
  const add = (name: 'check' | 'install', about: string, call: typeof policyCheck): void => {
    const example = `${name === 'install' ? '# ' : ''}belladonna policy ${name} packaging/policy/example.toml`
    addExample(addRoot(policy.command(name).description(about)), example)
      .argument(
        '[source]',
        'a file, or a directory of *.toml files; default: etc/belladonna/policy.d, or what the configuration says',
      )
      .option('--json', 'one JSON object')
      .action((source: string | undefined, options: PolicyFlags) => {
        exit(call({ root: rootOf(options), source, json: options.json === true }, output))
      })
  }
  addExample(policy, 'belladonna policy check packaging/policy/example.toml')
  add('check', 'find every error of a policy; installs nothing', policyCheck)
  add('install', 'compile a policy and put it in place for the next start or reload', policyInstall)
  addReload(policy.command('reload'), exit)
}

function addReload(command: Command, exit: (status: number) => void): void {
  addExample(addRoot(command), '# belladonna policy reload')
    .description('have a running bridge read the installed policy, and wait for the result')
    .option('--json', 'one JSON object')
    .action(async (options: PolicyFlags) => {
      exit(await policyReload({ root: rootOf(options), json: options.json === true }, output))
    })
}

function addConfig(config: Command, exit: (status: number) => void): void {
  addExample(config, 'belladonna config check')
  addExample(addRoot(config.command('check')), 'belladonna config check belladonna.toml')
    .description('find every error of a configuration, or show what each key comes to')
    .argument('[file]', 'default: etc/belladonna/belladonna.toml')
    .option('--json', 'one JSON object')
    .action((file: string | undefined, options: PolicyFlags) => {
      exit(configCheck({ root: rootOf(options), file, json: options.json === true }, output))
    })
}

function addDev(dev: Command, exit: (status: number) => void): void {
  const example = 'belladonna dev migrate-config /etc/belladonna/belladonna.toml'
  addExample(dev, example)
  addExample(addRoot(dev.command('migrate-config')), example)
    .description('show what an old configuration becomes, as a unified difference')
    .argument('[old]', 'default: etc/belladonna/belladonna.toml')
    .option('--write', 'make it so; the old file stays beside it as a backup')
    .option('--json', 'one JSON object')
    .action((file: string | undefined, options: PolicyFlags & Readonly<{ write?: boolean }>) => {
      const { write, json } = options
      const flags = { write: write === true, json: json === true }
      exit(migrateConfig({ root: rootOf(options), file, ...flags }, output))
    })
}

type AuditFlags = RootOption & Readonly<{ json?: boolean; last?: string; key?: string }>

function auditOptions(flags: AuditFlags, directory?: string): AuditOptions {
  if (flags.key !== undefined) checkKey(flags.key)
  return {
    directory: directory ?? bridgePaths(rootOf(flags)).lib,
    isCopy: directory !== undefined,
    json: flags.json === true,
    ...(flags.key === undefined ? {} : { key: flags.key }),
  }
}

function checkKey(vkey: string): void {
  try {
    parseVerifierKey(vkey)
  } catch (cause) {
    throw new BelladonnaError('usage', '--key', { cause })
  }
}

function addAudit(audit: Command, exit: (status: number) => void): void {
  addExample(audit, '# belladonna audit show --last 5')
  addVerify(audit.command('verify'), exit)
  addShow(audit.command('show'), exit)
}

function addVerify(command: Command, exit: (status: number) => void): void {
  addExample(addRoot(command), 'belladonna audit verify --key "$(cat host.pub)" copy')
    .description('prove the log from files and the public key')
    .argument('[dir]', 'var/lib/belladonna of a copied host')
    .option('--json', 'one JSON object')
    .option('--key <vkey>', 'believe this verifier key, not the one in the directory')
    .action(async (directory: string | undefined, options: AuditFlags) => {
      using progress = showProgress('verifying')
      const wanted = { ...auditOptions(options, directory), onEntry: progress.show }
      exit(await auditVerify(wanted, print))
    })
}

function addShow(command: Command, exit: (status: number) => void): void {
  addExample(addRoot(command), '# belladonna audit show 12')
    .description('the story of a request')
    .argument('[id]', 'index of an entry, or the start of an action digest')
    .option('--last <n>', 'the last N requests')
    .option('--json', 'one JSON object')
    .action((id: string | undefined, options: AuditFlags) => {
      if (id !== undefined && options.last !== undefined) {
        throw new BelladonnaError('usage', 'an id and --last exclude each other')
      }
      exit(auditShow(auditOptions(options), id ?? { last: Number(options.last ?? 1) }, print))
    })
}

/**
 * Commander throws for --help and for a wrong command line; it has printed by then. Who asked for JSON finds the error on standard
 * output too, as one object.
 */
function statusOf(error: unknown, wantsJson: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitStatuses.usage
  if (wantsJson && error instanceof BelladonnaError) print(formatError(error))
  return reportError(error, complain)
}

endWithReader()
// Owned by the hook below: whether the command that runs was given --json.
let wantsJson = false
const program = makeProgram((code) => {
  process.exitCode = code
})
program.hook('preAction', (_, command) => {
  wantsJson = command.opts()['json'] === true
})
try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = statusOf(error, wantsJson)
}
