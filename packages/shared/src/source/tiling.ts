// The check that makes "every byte was read once" provable from receipts alone.

import type { PartRead } from '../corpus.ts'

/**
 * What is wrong with the ranges read of one object, given in the order of the plan, or undefined if they tile
 * [0, size) without gap or overlap. A part in which no line begins has read nothing: its empty range is no link.
 */
export function faultOfTiling(
  reads: Iterable<Pick<PartRead, 'start' | 'end'>>,
  size: number,
): string | undefined {
  let at = 0
  for (const { start, end } of reads) {
    if (start === end) continue
    if (start > at) return `bytes ${at} to ${start} were not read`
    if (start < at) return `bytes ${start} to ${at} were read twice`
    at = end
  }
  if (at < size) return `bytes ${at} to ${size} were not read`
  return at > size ? `${at} bytes were read of an object of ${size}` : undefined
}
