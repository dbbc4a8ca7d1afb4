/**
 * One engine deciding in process, with a given number of rules: prints the nanoseconds of each decision, a line each.
 *
 *     node bench/decision-engine.ts belladonna|cedar|casbin RULES ROUNDS
 *
 * Rule n lets one user do one action. Every request is permitted, by a rule drawn at random: no engine can gain by an order.
 */
import { isGid, isUid } from '../src/core/identity.ts'
import { compilePolicy } from '../src/core/policy/compile.ts'
import { formatCompiledPolicy } from '../src/core/policy/compiled.ts'
import { parseCompiledPolicy } from '../src/core/policy/compiled-parse.ts'
import { decide } from '../src/core/policy/decide.ts'
import { indexPolicy } from '../src/core/policy/policy-index.ts'
import { readPolicyFacts } from '../src/host/policy-facts.ts'
import { settleHeap } from '../src/host/settled-heap.ts'
import { readTomlTree } from '../src/host/toml-tree.ts'
import { formatRules } from './bridge.ts'

/** Makes the request that rule `rule` permits, as it comes from a socket: what decides about it is what is measured. */
type Engine = (rule: number) => () => boolean

/** A string that nobody has looked at yet, as a decoder makes it. */
function decoded(text: string): string {
  return Buffer.from(text).toString('latin1')
}

const firstUid = 100_000

/** As a service has it: read from its compiled form, and then the heap is settled. */
function openBelladonna(rules: number): Engine {
  const reading = readTomlTree('bench.toml', formatRules(rules, firstUid))
  if (reading.kind === 'invalid') throw new Error(reading.problem.message)
  const result = compilePolicy([reading.tree], readPolicyFacts(0, 'x86_64'))
  if (result.kind === 'invalid') throw new Error(result.problems[0]?.message)
  const index = indexPolicy(parseCompiledPolicy(formatCompiledPolicy(result.policy)))
  settleHeap()
  const facts = { nowMs: 0, uses: new Map<string, number>(), rates: new Map<string, number>() }
  return (rule) => {
    const [uid, gid] = [firstUid + rule, firstUid + rule]
    if (!isUid(uid) || !isGid(gid)) throw new RangeError(`rule ${rule}`)
    const subject = { uid, gid, groups: [], pid: 7, foreign: false, unit: null }
    const request = {
      action: decoded(`bench.rule${rule}`),
      reason: '',
      nonce: null,
      parameters: [],
    }
    return () => decide(index, subject, request, facts).kind === 'permit'
  }
}

async function openCasbin(rules: number): Promise<Engine> {
  const { newEnforcer, newModelFromString, StringAdapter } = await import('casbin')
  const model = newModelFromString(`[request_definition]
r = sub, act
[policy_definition]
p = sub, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.act == p.act
`)
  const lines = Array.from({ length: rules }, (_, n) => `p, ${firstUid + n}, bench.rule${n}`)
  const enforcer = await newEnforcer(model, new StringAdapter(lines.join('\n')))
  return (rule) => {
    const [subject, action] = [decoded(`${firstUid + rule}`), decoded(`bench.rule${rule}`)]
    return () => enforcer.enforceSync(subject, action)
  }
}

async function openCedar(rules: number): Promise<Engine> {
  const cedar = await import('@cedar-policy/cedar-wasm/nodejs')
  const policies = Array.from(
    { length: rules },
    (_, n) =>
      `permit(principal == User::"${firstUid + n}", action == Action::"bench.rule${n}", resource);`,
  )
  const parsed = cedar.preparsePolicySet('bench', { staticPolicies: policies.join('\n') })
  if (parsed.type !== 'success') throw new Error(JSON.stringify(parsed))
  return (rule) => {
    const call = {
      principal: { type: 'User', id: decoded(`${firstUid + rule}`) },
      action: { type: 'Action', id: decoded(`bench.rule${rule}`) },
      resource: { type: 'Host', id: 'this' },
      context: {},
      preparsedPolicySetId: 'bench',
      entities: [],
    }
    return () => {
      const answer = cedar.statefulIsAuthorized(call)
      return answer.type === 'success' && answer.response.decision === 'allow'
    }
  }
}

async function open(name: string | undefined, rules: number): Promise<Engine> {
  if (name === 'belladonna') return openBelladonna(rules)
  if (name === 'casbin') return await openCasbin(rules)
  if (name === 'cedar') return await openCedar(rules)
  throw new Error('usage: decision-engine.ts belladonna|cedar|casbin RULES ROUNDS')
}

/** A permutation of the rules again and again, so that each is as often asked as the others. */
function ruleOf(round: number, rules: number): number {
  return (round * 7919) % rules
}

const [name, rulesText, roundsText] = process.argv.slice(2)
const [rules, rounds] = [Number(rulesText), Number(roundsText)]
const engine = await open(name, rules)
for (let round = 0; round < rounds / 5; round++) engine(ruleOf(round, rules))()
const elapsedNs: number[] = []
for (let round = 0; round < rounds; round++) {
  const rule = ruleOf(round, rules)
  const attempt = engine(rule)
  const start = process.hrtime.bigint()
  const permitted = attempt()
  elapsedNs.push(Number(process.hrtime.bigint() - start))
  if (!permitted) throw new Error(`${name}: rule ${rule} did not permit`)
}
console.log(elapsedNs.join('\n'))
