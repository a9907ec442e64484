// Cuts a text into chunks of a maximum number of tokens. A text that fits is one chunk. Otherwise
// blocks stay whole if they fit, a heading begins a new chunk, and neighbours under one heading may
// overlap. Offsets are exact: a chunk is a slice of the text.
//
//   | heading | paragraph | paragraph ...... | paragraph | heading | ...
//   |<----- chunk 0 ----->|                              |
//                 |<-- overlap -->|
//                 |<-------- chunk 1 ------->| ...

import type { ChunkSpan } from '@reembed/protocol'
import { type Block, blocksOf, splitSpan } from './blocks.ts'

/** Counts the model's tokens of a text, without the special tokens that frame every text. */
export type CountTokens = (text: string) => number

export interface SplitOptions {
  /** Maximum tokens of a chunk, without special tokens. */
  readonly maxTokens: number
  /** Maximum tokens of a chunk that the next one repeats. At most half of `maxTokens`. */
  readonly overlapTokens: number
  readonly countTokens: CountTokens
  /** Limits the time of one text, in which tokens are counted many times. */
  readonly limited?: (<T>(text: string, work: () => T) => T) | undefined
  /** Whether each chunk has its context in front, which counts towards its tokens. */
  readonly hasContext?: boolean
}

export type TextSpan = Pick<ChunkSpan, 'charStart' | 'charEnd' | 'headings'>

interface Piece {
  readonly start: number
  readonly end: number
  readonly tokens: number
}

/**
 * Cuts a text into chunks; none for a text of only white space. Offsets are UTF-16 code units. A
 * single character that exceeds the limit is kept as a chunk.
 */
export function splitText(text: string, { maxTokens, overlapTokens, countTokens }: SplitOptions): TextSpan[] {
  if (fits(text, maxTokens, countTokens)) {
    return spanOf(text, 0, text.length, blocksOf(text)[0]?.headings ?? [])
  }
  const spans: TextSpan[] = []

  function splitSection(blocks: readonly Block[]): void {
    const headings = blocks.at(-1)?.headings ?? []
    const pieces = blocks.flatMap(({ start, end }) => piecesOf(start, end))
    for (let first = 0, start = pieces[0]?.start ?? 0; first < pieces.length; ) {
      let last = first
      let tokens = countTokens(text.slice(start, pieces[first]?.end))
      while (last + 1 < pieces.length && tokens + (pieces[last + 1]?.tokens ?? 0) <= maxTokens) {
        last += 1
        tokens += pieces[last]?.tokens ?? 0
      }
      // The tokens of parts need not add up to those of the whole, so the chunk itself is counted.
      while (last > first && countTokens(text.slice(start, pieces[last]?.end)) > maxTokens) last -= 1
      const end = pieces[last]?.end ?? text.length
      // Only white space, even with an overlap before it, is not a chunk.
      const isBlank = text.slice(pieces[first]?.start, end).trim() === ''
      if (!isBlank) spans.push(...spanOf(text, start, end, headings))
      first = last + 1
      const next = pieces[first]
      if (next) start = isBlank ? next.start : overlapStart(start, next)
    }
  }

  function piecesOf(start: number, end: number): Piece[] {
    const tokens = countTokens(text.slice(start, end))
    if (tokens <= maxTokens) return [{ start, end, tokens }]
    const parts = splitSpan(text, start, end)
    return parts.length === 1 ? [{ start, end, tokens }] : parts.flatMap(([from, to]) => piecesOf(from, to))
  }

  /**
   * The earliest word start after `from` that overlap and limit allow for a chunk that continues
   * with `next`.
   */
  function overlapStart(from: number, next: Piece): number {
    const room = Math.min(overlapTokens, maxTokens - next.tokens)
    if (room <= 0) return next.start
    const before = text.slice(from, next.start)
    // Not at its first word: the next chunk must not contain all of this one.
    const first = from + before.length - before.trimStart().length
    const starts = Array.from(before.matchAll(/(?<=\s)\S/g), ({ index }) => from + index).filter(
      start => start > first,
    )
    let [low, high] = [0, starts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (countTokens(text.slice(starts[middle], next.start)) <= room) high = middle
      else low = middle + 1
    }
    const start = starts[low] ?? next.start
    return countTokens(text.slice(start, next.end)) <= maxTokens ? start : next.start
  }

  for (const section of sectionsOf(blocksOf(text))) splitSection(section)
  return spans
}

/**
 * Characters of a prefix that decides for a long text, per token of the limit. Tokens at its end
 * may differ from those of the whole text, so the prefix must exceed the limit by a margin.
 */
const PREFIX_CHARACTERS = 16
const PREFIX_MARGIN = 2

/** Whether a text has at most `maxTokens` tokens. A much longer text is not counted as a whole. */
export function fits(text: string, maxTokens: number, countTokens: CountTokens): boolean {
  // No tokenizer makes more tokens than bytes, and UTF-8 has at most three bytes for each UTF-16
  // code unit.
  if (text.length * 3 <= maxTokens) return true
  const prefix = text.slice(0, maxTokens * PREFIX_CHARACTERS)
  const isClearlyLonger = prefix.length < text.length && countTokens(prefix) > PREFIX_MARGIN * maxTokens
  return !isClearlyLonger && countTokens(text) <= maxTokens
}

/** Yields the blocks from one heading to the next. Adjacent headings stay together. */
function* sectionsOf(blocks: readonly Block[]): Generator<Block[], void, undefined> {
  let section: Block[] = []
  for (const block of blocks) {
    if (block.kind === 'heading' && section.at(-1)?.kind !== 'heading' && section.length > 0) {
      yield section
      section = []
    }
    section.push(block)
  }
  if (section.length > 0) yield section
}

/** The span without surrounding white space; none if it is only white space. */
function spanOf(text: string, start: number, end: number, headings: readonly string[]): TextSpan[] {
  const slice = text.slice(start, end)
  const charStart = start + slice.length - slice.trimStart().length
  const charEnd = start + slice.trimEnd().length
  return charEnd > charStart ? [{ charStart, charEnd, headings }] : []
}
