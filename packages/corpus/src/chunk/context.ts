// The context of a chunk: the title of its document and the headings above it, as one line in front
// of the chunk. A model reads a chunk alone, and the words that say what it is about are often in
// these lines only.
//
//   Handbook > Operation > Backups      title and headings, outermost first
//                                       (an empty line)
//   Every night at two …                the chunk

import { blocksOf, HEADING } from './blocks.ts'
import { fits, type SplitOptions } from './split.ts'

/** The part of the tokens of a chunk that its context may take. */
const MAX_SHARE = 1 / 4
const MAX_CHARS = 200

export interface Context {
  /** Tokens to reserve in each chunk of the document. */
  readonly tokens: number
  /** The context of a chunk; empty if there is none, or if it does not fit. */
  before(chunk: string, headings: readonly string[]): string
}

/**
 * The contexts of the chunks of a document. A document that the model reads whole reserves nothing:
 * it stays one chunk, with as much context as fits.
 */
export function createContext(
  { title, text }: { readonly title: string | undefined; readonly text: string },
  { maxTokens, countTokens }: SplitOptions,
): Context {
  const most = Math.floor(maxTokens * MAX_SHARE)
  const lineOf = (headings: readonly string[]): string =>
    longestFitting(partsOf(title, headings), line => countTokens(line) <= most)

  const paths = new Map(blocksOf(text).map(({ headings }) => [headings.join('\n'), headings]))
  const isWhole = fits(text, maxTokens, countTokens)
  const tokens = isWhole ? 0 : Math.max(0, ...Array.from(paths.values(), path => countTokens(lineOf(path))))
  return {
    tokens,
    before(chunk, headings) {
      const own = leadingHeadings(chunk)
      const parts = partsOf(title, headings).filter(part => !own.includes(part) && !chunk.startsWith(part))
      return longestFitting(
        parts,
        line => countTokens(line) <= most && countTokens(line + chunk) <= maxTokens,
      )
    },
  }
}

/** The title and the headings as lines, without repetitions. */
const partsOf = (title: string | undefined, headings: readonly string[]): string[] => [
  ...new Set([title ?? '', ...headings].map(oneLine).filter(part => part !== '')),
]

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim().slice(0, MAX_CHARS).toWellFormed()

/** The context of as many parts as fit: the title and the innermost heading are kept longest. */
function longestFitting(parts: readonly string[], fitsIn: (line: string) => boolean): string {
  for (let kept = parts; kept.length > 0; kept = kept.length > 2 ? kept.toSpliced(1, 1) : kept.slice(1)) {
    const line = `${kept.join(' > ')}\n\n`
    if (fitsIn(line)) return line
  }
  return ''
}

/** The headings with which a chunk begins. */
function leadingHeadings(chunk: string): string[] {
  const own: string[] = []
  for (const [line] of chunk.matchAll(/[^\n]*(?:\n|$)/g)) {
    const heading = HEADING.exec(line.trimEnd())
    if (heading) own.push(oneLine(heading[2] ?? ''))
    else if (line.trim() !== '' || line === '') break
  }
  return own
}
