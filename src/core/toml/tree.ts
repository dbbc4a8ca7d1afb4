/** A value with the place it was read from; line and column count from 1, the column in UTF-16 code units. */
export type Located<T> = Readonly<{ value: T; line: number; column: number; file: string }>

/** One key of a table with its value; dotted keys and headers are already unfolded into tables. */
export type TomlEntry = Readonly<{ key: Located<string>; node: TomlNode }>

/** The kind of a TOML date or time: only `offset` names an instant. */
export type DatetimeFlavour = 'offset' | 'local' | 'date' | 'time'

/**
 * A TOML value with its place: what host hands to core, which knows no TOML. Entries keep the order of the file and
 * have no key twice.
 */
export type TomlNode =
  | (Located<readonly TomlEntry[]> & Readonly<{ kind: 'table' }>)
  | (Located<readonly TomlNode[]> & Readonly<{ kind: 'array' }>)
  | (Located<string> & Readonly<{ kind: 'string' }>)
  | (Located<bigint> & Readonly<{ kind: 'integer' }>)
  | (Located<number> & Readonly<{ kind: 'float' }>)
  | (Located<boolean> & Readonly<{ kind: 'boolean' }>)
  | (Located<string> & Readonly<{ kind: 'datetime'; flavour: DatetimeFlavour }>)

/** A table of the tree. */
export type TomlTable = Extract<TomlNode, { kind: 'table' }>
