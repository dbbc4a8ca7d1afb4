import { randomFillSync } from 'node:crypto'

const poolBytes = 4096
const pool = new Uint8Array(poolBytes)
/** How much of the pool is given away. Owned by `randomBytes`. */
let used = poolBytes

/**
 * `size` bytes of the system's generator, at most 4096.
 *
 * They are drawn 4 KiB at a time: one small draw costs as much as a large one, and each run makes several. What was given
 * away is overwritten in the pool.
 */
export function randomBytes(size: number): Uint8Array {
  if (used + size > poolBytes) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = pool.slice(used, used + size)
  pool.fill(0, used, used + size)
  used += size
  return bytes
}
