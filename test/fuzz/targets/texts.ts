// Text and Markdown files, and how texts are cut into chunks: spans in order within the text, none
// over the limit but single characters, and nothing but white space between them.

import { readSlice, splitText } from '@reembed/corpus'
import { choicesOf, memoryStore, must, refusing, type Target } from '../target.ts'

/**
 * Tokens that do not add up over parts, as those of real tokenizers: words, and every fourth letter
 * of long ones.
 */
const countTokens = (text: string): number =>
  (text.match(/\S+/gu) ?? []).reduce((sum, word) => sum + 1 + Math.floor(word.length / 4), 0)

const MARKDOWN = `# Title\n\nOne paragraph. Two sentences! Three?\n\n## Below\n\n- a list\n- of things\n\n\`\`\`js\n# no heading\n\`\`\`\n\n| a | b |\n|---|---|\n\nSetext\n======\n\n> quoted text that goes on and on and on and on\n\n### Deep ###\nlonglonglonglonglonglonglongword\n`

export const target: Target = {
  what: 'text and Markdown files, cut into chunks',
  maxBytes: 1_500,
  maxMiB: 256,
  dictionary: [
    '\n\n',
    '\n# ',
    '\n## ',
    '```\n',
    '~~~\n',
    '\n---\n',
    '\n===\n',
    '- ',
    '> ',
    '|',
    '. ',
    '\r\n',
    '\u2028',
    '\ufeff',
    '。',
    '🦉',
    '\u200d',
    '    ',
  ],
  seeds: () =>
    [
      MARKDOWN,
      MARKDOWN.replaceAll('\n', '\r\n'),
      'größe 東京 🦉 '.repeat(30),
      `\ufeff${'x'.repeat(300)}`,
    ].flatMap(text => [
      Buffer.concat([Buffer.from([12, 3]), Buffer.from(text)]),
      Buffer.concat([Buffer.from([3, 0]), Buffer.from(text)]),
    ]),
  async check(input) {
    const choices = choicesOf(input, 2)
    const maxTokens = 1 + choices.number(60)
    const overlapTokens = Math.min(choices.number(30), Math.floor((maxTokens - 1) / 2))
    const { rest } = choices
    const store = memoryStore(new Map([['a.md', rest]]))
    const part = {
      key: 'a.md',
      etag: 'e',
      size: rest.length,
      format: 'markdown',
      start: 0,
      end: rest.length,
    } as const
    const records = await refusing(['SOURCE_FORMAT'], () =>
      Array.fromAsync(readSlice(store, { parts: [part] }, { fields: null }).records),
    )
    if (records === undefined) return
    must(records.length === 1, () => `${records.length} records of one file`)
    const [record] = records
    if (record?.kind !== 'document') return
    const bom = rest.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) ? 3 : 0
    must(record.text === rest.toString('utf8', bom), () => 'another text than the file has')
    checkSpans(record.text, splitText(record.text, { maxTokens, overlapTokens, countTokens }), maxTokens)
  },
}

function checkSpans(text: string, spans: ReturnType<typeof splitText>, maxTokens: number): void {
  let reached = 0
  let from = -1
  for (const { charStart, charEnd } of spans) {
    must(
      charStart > from && charEnd > charStart && charEnd <= text.length,
      () => `a chunk from ${charStart} to ${charEnd}`,
    )
    must(charEnd > reached, () => `a chunk that ends at ${charEnd}, the one before at ${reached}`)
    if (charStart > reached) {
      must(text.slice(reached, charStart).trim() === '', () => `text lost from ${reached} to ${charStart}`)
    }
    const chunk = text.slice(charStart, charEnd)
    must(
      countTokens(chunk) <= maxTokens || [...chunk].length === 1,
      () => `${countTokens(chunk)} of ${maxTokens} tokens in ${JSON.stringify(chunk)}`,
    )
    if (text.isWellFormed()) must(chunk.isWellFormed(), () => 'a chunk cuts a character in two')
    reached = charEnd
    from = charStart
  }
  must(text.slice(reached).trim() === '', () => `text lost from ${reached} on`)
}
