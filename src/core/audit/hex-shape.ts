import { stringWhere } from '../json/shape.ts'
import type { Shape } from '../json/shape.ts'

/** Exactly so many lower-case hexadecimal digits. */
export function hexDigits(count: number): Shape<string> {
  const pattern = new RegExp(`^[0-9a-f]{${String(count)}}$`)
  return stringWhere((text) => pattern.test(text), `${String(count)} hexadecimal digits`)
}
