/**
 * The types of toml-eslint-parser name one of eslint's, a linter that we do not install for that.
 *
 * Only the compiler reads this file; nothing of eslint exists at run time.
 */
declare module 'eslint' {
  export namespace SourceCode {
    type VisitorKeys = Readonly<Record<string, readonly string[]>>
  }
}
