// Describes what a run made: documents, chunks, and the text that the model did not read.

import type { Plan, TextEstimate, Totals, UnreadTokens } from '@reembed/protocol'
import { unreadShare } from '@reembed/protocol'
import { count, counted } from './format.ts'

/**
 * '3,000 = 2,999 rows + 1 reject', or '196 documents in 2,301 chunks = …' for a run with chunks.
 */
export function documentsText({ documents, sourceDocuments, rows, rejects }: Totals): string {
  const inputs =
    sourceDocuments === undefined
      ? count(documents)
      : `${counted(sourceDocuments, 'document')} in ${counted(documents, 'chunk')}`
  return `${inputs} = ${counted(rows, 'row')} + ${counted(rejects, 'reject')}`
}

/** Share of the text from which a user is warned that the model did not read it. */
const NOTABLE_SHARE = 0.01

/**
 * The text that the model did not read; no row where it read everything, and one that states so
 * where the limit of the model is unknown.
 */
export function unreadRow({ truncated, unread, sourceDocuments }: Totals): [string, string][] {
  if (unread === undefined)
    return [['cut', 'unknown: the endpoint did not state how many tokens its model reads of a text']]
  if (truncated === 0 || unread.tokens === 0) return []
  const noun = sourceDocuments === undefined ? 'text' : 'chunk'
  return [
    [
      'cut',
      `${counted(truncated, noun)} over the limit of the model: ${unreadText(unread)} not in the vectors`,
    ],
  ]
}

/** '490,145 of 539,752 tokens (90.8 %)', with the interval where they were estimated. */
export function unreadText(unread: UnreadTokens): string {
  const { tokens, low, high, of } = unread
  const interval = low === high ? '' : `, 95 % between ${count(low)} and ${count(high)}`
  return `${low === high ? '' : 'about '}${count(tokens)} of ${count(of)} tokens (${percent(unreadShare(unread))}${interval})`
}

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 2 : 1)} %`

/** The warning at the end of a run of which much was not read; undefined for others. */
export function unreadWarning(totals: Totals, plan: Pick<Plan, 'recipe' | 'texts'>): string | undefined {
  const { unread } = totals
  if (unread === undefined || unreadShare(unread) <= NOTABLE_SHARE) return undefined
  return `warning: the model did not read ${unreadText(unread)}. ${remedy(plan.texts)}`
}

/** The warning of a plan by estimate. */
export const unreadForecast = (texts: TextEstimate): string =>
  `warning: ${count(texts.truncated)} of about ${counted(texts.inputs, 'text')} exceed the ${texts.limit} tokens that the model reads: ` +
  `${unreadText(texts.unread)} will not be in the vectors. ${remedy(texts)}`

const remedy = (texts: TextEstimate | undefined): string =>
  `Embed them in chunks with --chunk-tokens ${texts?.limit ?? 256}, or use a model that reads longer texts`
