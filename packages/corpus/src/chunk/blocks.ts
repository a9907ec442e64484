// Splits a text into blocks: headings, paragraphs, fenced code. Blocks adjoin without a gap, so
// that their offsets are offsets of the text. Plain text is paragraphs between blank lines. One
// linear pass: texts may have 8 MiB, and a full Markdown parser takes 150 times as long and is not
// linear.
//
//   # Title          heading, depth 1: the blocks after it are under it
//                    (blank lines belong to the block before them)
//   Some words ...   paragraph
//   ```js            code, to the fence that closes it

export interface Block {
  readonly start: number
  readonly end: number
  readonly kind: 'heading' | 'paragraph' | 'code'
  /** Headings above the block, outermost first. A heading includes itself. */
  readonly headings: readonly string[]
}

/** A heading of Markdown: its marks, and its title. */
export const HEADING: RegExp = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/
const FENCE = /^ {0,3}(`{3,}|~{3,})/

/** Splits a text into blocks in order. Together they are the whole text. */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  const path: { depth: number; title: string }[] = []
  let start = 0
  let kind: Block['kind'] = 'paragraph'
  let fence: string | undefined
  let blankSeen = false

  const close = (end: number): void => {
    if (end > start) blocks.push({ start, end, kind, headings: path.map(({ title }) => title) })
    start = end
    kind = 'paragraph'
    blankSeen = false
  }

  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const next = newline === -1 ? text.length : newline + 1
    const line = text.slice(at, newline === -1 ? next : newline).replace(/\r$/, '')
    if (fence !== undefined) {
      if (line.trim().startsWith(fence) && line.trim().replaceAll(fence[0] ?? '', '') === '') {
        fence = undefined
        blankSeen = true
      }
    } else if (line.trim() === '') {
      blankSeen = true
    } else {
      const heading = HEADING.exec(line)
      const opened = FENCE.exec(line)?.[1]
      if (heading || opened || blankSeen || kind === 'heading') close(at)
      if (heading) {
        const depth = heading[1]?.length ?? 1
        while ((path.at(-1)?.depth ?? 0) >= depth) path.pop()
        path.push({ depth, title: (heading[2] ?? '').trim() })
        kind = 'heading'
      } else if (opened) {
        kind = 'code'
        fence = opened
      }
    }
    at = next
  }
  close(text.length)
  return blocks
}

/**
 * Splits a span that is too large: into lines if it has several, else sentences, else words, else
 * halves. Together the parts are the whole span, and none is empty. A surrogate pair is never cut.
 */
export function splitSpan(text: string, start: number, end: number): [number, number][] {
  for (const boundary of [lineEnds, sentenceEnds, wordEnds]) {
    const ends = boundary(text, start, end)
    if (ends.length > 1) return ends.map((to, i) => [ends[i - 1] ?? start, to])
  }
  const middle = start + Math.ceil((end - start) / 2)
  const isInsidePair = (text.charCodeAt(middle) & 0xfc00) === 0xdc00
  const cut = isInsidePair ? middle + 1 : middle
  return cut >= end
    ? [[start, end]]
    : [
        [start, cut],
        [cut, end],
      ]
}

function lineEnds(text: string, start: number, end: number): number[] {
  const ends: number[] = []
  for (let at = text.indexOf('\n', start); at !== -1 && at + 1 < end; at = text.indexOf('\n', at + 1))
    ends.push(at + 1)
  return [...ends, end]
}

const sentences = new Intl.Segmenter('en', { granularity: 'sentence' })

function sentenceEnds(text: string, start: number, end: number): number[] {
  return Array.from(
    sentences.segment(text.slice(start, end)),
    ({ index, segment }) => start + index + segment.length,
  )
}

function wordEnds(text: string, start: number, end: number): number[] {
  const ends: number[] = []
  for (const { 0: space, index } of text.slice(start, end).matchAll(/\s+/g)) {
    const at = start + index + space.length
    if (at < end) ends.push(at)
  }
  return [...ends, end]
}
