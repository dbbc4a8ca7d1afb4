/** Any policy, as a tree of plain values, and any way to write it in TOML: for properties that must hold for all. */
import fc from 'fast-check'

/** What TOML can say; an instant is a Date. */
export type Tree =
  string | number | boolean | Date | readonly Tree[] | { readonly [key: string]: Tree }
type Table = Extract<Tree, Readonly<Record<string, Tree>>>

const actionIds = ['a', 'b.c', 'd-1'] as const
const profileIds = ['p', 'q'] as const
const text = fc.constantFrom('Look', "it's", 'say "x"', 'back\\slash', 'é 😀', '#', '{{}}')

const common = {
  leading_dash: fc.constantFrom(true),
  repeat: fc.constantFrom({ max: 2 }, { min: 0, max: 3 }),
}
const optional = { requiredKeys: [] }
const param: fc.Arbitrary<Table> = fc.oneof(
  fc.record(
    {
      one_of: fc.constantFrom(['x', 'y'], ['x'], ["'", '"', '\\']),
      ...common,
    },
    { requiredKeys: ['one_of'] },
  ),
  fc.record(
    {
      integer: fc.constantFrom({ min: 0, max: 9 }, { min: 5, max: 1000 }),
      ...common,
    },
    { requiredKeys: ['integer'] },
  ),
  fc.record(
    {
      match: fc.constantFrom('[a-z]+', 'x|y', '\\d{1,3}', ".'?"),
      max_length: fc.constantFrom(1, 5),
      slash: fc.boolean(),
      ...common,
    },
    { requiredKeys: ['match'] },
  ),
  fc.record({ flag: fc.constantFrom('-v', '--x y') }),
)

const action: fc.Arbitrary<Table> = fc
  .record({
    about: text,
    params: fc.dictionary(fc.constantFrom('one', 'two', 'three'), param, { noNullPrototype: true }),
    more: fc.record(
      {
        env: fc.dictionary(fc.constantFrom('A', 'B_1'), text, { noNullPrototype: true }),
        cwd: fc.constantFrom('/', '/usr'),
        risk: fc.constantFrom('read-only', 'irreversible'),
        reason: fc.constantFrom('required', 'optional'),
        approval: fc.constantFrom({ need: 1, from: 'on' }, { need: 2, from: 'on', within: '5m' }),
      },
      optional,
    ),
    run_as: fc.constantFrom('root', 'ci:adm'),
    profile: fc.constantFrom(...profileIds),
  })
  .map(({ params, more, ...rest }) => ({
    ...rest,
    ...more,
    command: ['/usr/bin/true', 'fixed', ...Object.keys(params).map((name) => `{${name}}`)],
    ...(Object.keys(params).length === 0 ? {} : { params }),
  }))

const profile: fc.Arbitrary<Table> = fc.record(
  {
    network: fc.constantFrom('none', 'loopback'),
    read: fc.constantFrom(['/usr'], ['/etc/hosts', '/usr']),
    caps: fc.constantFrom([], ['CAP_SYSLOG', 'CAP_CHOWN']),
    limits: fc.record(
      { time: fc.constantFrom('1s', '1m'), processes: fc.constantFrom(1, 4_000) },
      optional,
    ),
  },
  optional,
)

const grant: fc.Arbitrary<Table> = fc.record(
  {
    who: fc.uniqueArray(
      fc.constantFrom('user:ci', 'uid:7', 'uid:8', 'group:adm', 'gid:7', 'unit:u.service'),
      { minLength: 1, maxLength: 3 },
    ),
    may: fc.uniqueArray(fc.constantFrom(...actionIds), { minLength: 1 }),
    until: fc.constantFrom(new Date(1000), new Date(2000)),
    namespace: fc.constantFrom('any', 'own'),
    uses: fc.constantFrom(1, 2),
    limit: fc.constantFrom({ rate: '1/s' }, { rate: '10/min', burst: 5 }),
  },
  { requiredKeys: ['who', 'may'] },
)

/** A policy without an error. Each action and profile is there, and any grants are. */
export const anyPolicy: fc.Arbitrary<Table> = fc
  .record({
    action: fc.record({ a: action, 'b.c': action, 'd-1': action }),
    profile: fc.record({ p: profile, q: profile }),
    grant: fc.array(grant, { maxLength: 5 }),
  })
  .map((tree) => ({ schema: 1, ...tree, approvers: { on: { members: ['key:b', 'key:a'] } } }))

/** How to write: each choice between n ways takes one number, and starts again when all are taken. */
export const anyStyle: fc.Arbitrary<readonly number[]> = fc.array(fc.nat(1_000), {
  ...{ minLength: 7, maxLength: 29 },
})

type Writer = Readonly<{
  choose: (ways: number) => number
  shuffle: <T>(items: readonly T[]) => T[]
}>

function openWriter(style: readonly number[]): Writer {
  let at = 0
  const choose = (ways: number): number => (style[at++ % style.length] ?? 0) % ways
  const shuffle = <T>(items: readonly T[]): T[] =>
    items
      .map((item) => ({ item, key: choose(1_000) }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item)
  return { choose, shuffle }
}

/** The same policy as TOML: `style` chooses order, quotes, headers, comments, blanks and the way numbers are written. */
export function writeToml(tree: Tree, style: readonly number[]): string {
  const lines: string[] = []
  if (isTable(tree)) writeTable(lines, openWriter(style), [], tree)
  return `${lines.join('\n')}\n`
}

/** Two files that say together what the tree says. */
export function splitPolicy(tree: Tree, style: readonly number[]): readonly Tree[] {
  if (!isTable(tree)) return []
  const { choose } = openWriter(style)
  const halves: Record<string, Tree>[] = [{ schema: 1 }, { schema: 1 }]
  for (const [key, value] of Object.entries(tree)) {
    const parts = Array.isArray(value)
      ? splitList(value, choose)
      : isTable(value)
        ? splitTable(value, choose)
        : []
    parts.forEach((part, half) => {
      const target = halves[half]
      if (target !== undefined) target[key] = part
    })
  }
  return halves
}

function splitList(list: readonly Tree[], choose: Writer['choose']): readonly Tree[] {
  const sides = list.map((item) => ({ item, side: choose(2) }))
  return [0, 1].map((half) => sides.filter(({ side }) => side === half).map(({ item }) => item))
}

function splitTable(table: Table, choose: Writer['choose']): readonly Tree[] {
  const sides = Object.entries(table).map((entry) => ({ entry, side: choose(2) }))
  return [0, 1].map((half) =>
    Object.fromEntries(sides.filter(({ side }) => side === half).map(({ entry }) => entry)),
  )
}

function writeTable(lines: string[], writer: Writer, path: readonly string[], table: Table): void {
  const entries = writer.shuffle(Object.entries(table))
  const isSection = new Map(
    entries.map(([key, value]) => [key, isSectionLike(value) && writer.choose(3) > 0]),
  )
  for (const [key, value] of entries.filter(([name]) => isSection.get(name) !== true)) {
    lines.push(
      ...fillerOf(writer),
      `${keyOf(writer, key)} = ${inline(writer, value)}${tailOf(writer)}`,
    )
  }
  for (const [key, value] of entries.filter(([name]) => isSection.get(name) === true)) {
    const below = [...path, keyOf(writer, key)]
    for (const part of Array.isArray(value) ? writer.shuffle(value) : [value]) {
      const header = below.join(writer.choose(2) === 0 ? '.' : ' . ')
      lines.push(...fillerOf(writer), Array.isArray(value) ? `[[${header}]]` : `[${header}]`)
      if (isTable(part)) writeTable(lines, writer, below, part)
    }
  }
}

/** A table, or a list of tables: what may have a header of its own. An empty list has none to be seen by. */
function isSectionLike(value: Tree): boolean {
  return isTable(value) || (Array.isArray(value) && value.length > 0 && value.every(isTable))
}

/** Lists of names are sets, so they are shuffled too; a command is not, and is told by its program. */
function inline(writer: Writer, value: Tree): string {
  if (typeof value === 'string') return quoted(writer, value)
  if (typeof value === 'number') return numberOf(writer, value)
  if (typeof value === 'boolean') return String(value)
  if (value instanceof Date) return value.toISOString().replace('T', writer.choose(2) ? 'T' : ' ')
  if (isTable(value)) {
    const members = writer.shuffle(Object.entries(value))
    return `{ ${members.map(([key, item]) => `${keyOf(writer, key)} = ${inline(writer, item)}`).join(', ')} }`
  }
  const isCommand = value[0] === '/usr/bin/true'
  const items = (isCommand ? value : writer.shuffle(value)).map((item) => inline(writer, item))
  return writer.choose(2) === 0
    ? `[${items.join(', ')}]`
    : `[\n  # each\n  ${items.map((item) => `${item},\n`).join('')}]`
}

function quoted({ choose }: Writer, text: string): string {
  const isLiteral = !text.includes("'") && choose(2) === 0
  return isLiteral ? `'${text}'` : JSON.stringify(text).replace('a', choose(2) ? 'a' : '\\u0061')
}

function keyOf(writer: Writer, key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) && writer.choose(2) === 0 ? key : `"${key}"`
}

function numberOf({ choose }: Writer, value: number): string {
  const hexadecimal = `0x${value.toString(16)}`
  return (
    [String(value), hexadecimal, String(value).replace(/(?=(?:\d{3})+$)\B/g, '_')][choose(3)] ?? ''
  )
}

function fillerOf({ choose }: Writer): readonly string[] {
  return [[], [''], ['# a comment: [x] = "y"'], ['   ', '\t# [[grant]]']][choose(4)] ?? []
}

function tailOf({ choose }: Writer): string {
  return ['', ' # why', '  '][choose(3)] ?? ''
}

function isTable(value: Tree): value is Table {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date)
}
