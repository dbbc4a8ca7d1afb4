import type { Target } from './target.ts'
export function servicesTarget(): Target { return { seeds: [], words: [], run: () => undefined } }
