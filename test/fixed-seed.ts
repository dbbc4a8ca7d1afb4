/**
 * Loaded into every test process: property tests take the same examples in each run, so that coverage is the same too and a
 * failure can be seen again. `BELLADONNA_SEED` gives others.
 */
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env['BELLADONNA_SEED'] ?? 20_261_123) })
