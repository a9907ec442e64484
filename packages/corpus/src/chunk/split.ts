// Cuts a text into chunks that fit a number of tokens; what fits as a whole is one chunk. Else blocks stay whole where they fit; a heading begins a new chunk;
// neighbours under one heading may overlap. Offsets are exact: a chunk is a slice of the text.
//
//   | heading | paragraph | paragraph ...... | paragraph | heading | ...
//   |<----- chunk 0 ----->|                              |
//                 |<-- overlap -->|
//                 |<-------- chunk 1 ------->| ...

import type { ChunkSpan } from '@reembed/protocol'
import { type Block, blocksOf, splitSpan } from './blocks.ts'

/** How many tokens of the model a text has, without those that frame every text. */
export type CountTokens = (text: string) => number

export interface SplitOptions {
  /** Of a chunk, without the tokens that frame every text. */
  readonly maxTokens: number
  /** How much of a chunk the next one repeats, at most. Less than half of `maxTokens`. */
  readonly overlapTokens: number
  readonly countTokens: CountTokens
}

export type TextSpan = Pick<ChunkSpan, 'charStart' | 'charEnd' | 'headings'>

interface Piece {
  readonly start: number
  readonly end: number
  readonly tokens: number
}

/** The chunks of a text, none for one that is only whitespace. A single character over the limit is let through. */
export function splitText(text: string, { maxTokens, overlapTokens, countTokens }: SplitOptions): TextSpan[] {
  // No tokenizer makes more tokens than bytes, and bytes are three times the UTF-16 units at most.
  if (text.length * 3 <= maxTokens || countTokens(text) <= maxTokens) {
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
      // Tokens of parts need not add up to those of the whole: so count what came out.
      while (last > first && countTokens(text.slice(start, pieces[last]?.end)) > maxTokens) last -= 1
      const end = pieces[last]?.end ?? text.length
      // White space alone, with what it would repeat, is no chunk.
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

  /** As far back from `next` as overlap and limit allow, at the start of a word behind `from`. */
  function overlapStart(from: number, next: Piece): number {
    const room = Math.min(overlapTokens, maxTokens - next.tokens)
    if (room <= 0) return next.start
    const before = text.slice(from, next.start)
    // Not from its first word on: the next chunk must not hold all of this one.
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

/** The blocks between one heading and the next; headings that follow each other at once stay together. */
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

/** Without the white space around it. */
function spanOf(text: string, start: number, end: number, headings: readonly string[]): TextSpan[] {
  const slice = text.slice(start, end)
  const charStart = start + slice.length - slice.trimStart().length
  const charEnd = start + slice.trimEnd().length
  return charEnd > charStart ? [{ charStart, charEnd, headings }] : []
}
