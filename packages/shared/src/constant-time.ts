// Comparison of secrets.

import { hash, timingSafeEqual } from 'node:crypto'

/**
 * Whether a given secret equals the expected one. The comparison of the SHA-256 hashes takes a time
 * that depends neither on the position of the first difference nor on the expected length.
 */
export const constantTimeEqual = (given: string, expected: string): boolean =>
  timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', expected, 'buffer'))
