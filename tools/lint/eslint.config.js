// What the linter is for: a promise nobody awaits (run before record), a union's case nobody handles, a cast that hides an
// unchecked value, and a pure core that reads a clock. Formatting is Prettier's, imports between folders are
// tools/check-walls.ts.
import tseslint from 'typescript-eslint'

const suites = ['test', 'describe', 'it', 'suite']

/** What would make `src/core` depend on more than its arguments. */
const impureGlobals = [
  ...['Date', 'performance', 'process', 'fetch', 'WebSocket', 'console', 'crypto', 'navigator'],
  ...[
    'setTimeout',
    'setInterval',
    'setImmediate',
    'queueMicrotask',
    'Intl',
    'Buffer',
    'globalThis',
  ],
]

export default tseslint.config(
  { ignores: ['**/node_modules/', 'tools/lint/', 'native/out/', '.setup/'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { project: ['../../tsconfig.json'], tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-eval': 'error',
      'prefer-const': 'error',
      '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'never' }],
      '@typescript-eslint/consistent-type-definitions': ['error', 'type'],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: [{ from: 'package', name: suites, package: 'node:test' }] },
      ],
      '@typescript-eslint/no-confusing-void-expression': 'off', // `return problem(…)` ends a check in one line
      '@typescript-eslint/promise-function-async': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { allowDefaultCaseForExhaustiveSwitch: false, considerDefaultExhaustiveForUnions: false },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'no default exports: one name per thing' },
        {
          selector:
            'ClassDeclaration:not([superClass.name="Error"])' +
            ':not(:has(MethodDefinition[computed=true] MemberExpression[property.name=/^(async)?dispose$/i]))',
          message: 'a class only for the error and for what must be disposed of',
        },
      ],
    },
  },
  {
    // Tests read vectors and answers as JSON, and make broken values on purpose.
    files: ['**/*.test.ts', '**/*.test-*.ts', 'test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-array-delete': 'off',
    },
  },
  {
    files: ['src/core/**/*.ts'],
    ignores: ['**/*.test.ts', '**/*.test-*.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...impureGlobals.map((name) => ({ name, message: 'src/core is pure: pass it in' })),
      ],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random' }],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            {
              name: 'node:crypto',
              allowImportNames: [
                ...[
                  'createHash',
                  'createHmac',
                  'hash',
                  'verify',
                  'createPublicKey',
                  'timingSafeEqual',
                  'KeyObject',
                ],
              ],
              message: 'src/core hashes, verifies and compares; it makes no keys and no randomness',
            },
          ],
          patterns: [
            { regex: '^(?!\\.{1,2}/|node:crypto$)', message: 'src/core has no dependency' },
          ],
        },
      ],
    },
  },
)
