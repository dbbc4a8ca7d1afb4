/** The version of everything in this package; `package.json` has the same (a test compares). */
export const version = '0.1.0'
