// Describes what a run made: documents, chunks, and the text that the model did not read.

import {
  type Manifest,
  type TextEstimate,
  type Totals,
  type UnreadTokens,
  unreadShare,
} from '@reembed/protocol'
import { count, counted } from './numbers.ts'
import type { Row } from './rows.ts'

/**
 * '3,000 = 2,999 rows + 1 reject', or '196 documents in 2,301 chunks = …' if documents were cut.
 */
export function documentsText({ documents, sourceDocuments, rows, rejects }: Totals): string {
  const inputs =
    sourceDocuments === undefined || sourceDocuments === documents
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
export function unreadRow({ truncated, unread, sourceDocuments }: Totals): Row[] {
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

/**
 * The warning at the end of a run of which much was not read; undefined for others. The remedy is
 * the caller's: a program sets an option, a user a flag.
 */
export function unreadWarning({ unread }: Totals): string | undefined {
  if (unread === undefined || unreadShare(unread) <= NOTABLE_SHARE) return undefined
  return `warning: the model did not read ${unreadText(unread)}`
}

/** The same warning of a plan, by its estimate. */
export const unreadForecast = ({ truncated, inputs, limit, unread }: TextEstimate): string =>
  `warning: ${count(truncated)} of about ${counted(inputs, 'text')} exceed the ${limit} tokens that the model reads: ` +
  `${unreadText(unread)} will not be in the vectors`

/** The rows with the values that became null, and with the texts that were repaired. */
export function alteredRows({ nulled = {}, repaired }: Manifest['totals']): Row[] {
  const columns = Object.entries(nulled).map(([column, values]) => `${column} ${count(values)}`)
  const rows: Row[] = []
  if (columns.length > 0) rows.push(['null values', `${columns.join(', ')}: not exact in their column`])
  if (repaired > 0)
    rows.push([
      'repaired',
      `${counted(repaired, 'text')} with an unpaired surrogate, which UTF-8 cannot hold: U+FFFD in its place`,
    ])
  return rows
}

/**
 * The row with the number of embedded texts and of reused vectors. Empty if no vector was reused.
 */
export function reuseRow({
  totals,
  baseRun,
  unfinishedBaseRuns = [],
}: Pick<Manifest, 'totals' | 'baseRun' | 'unfinishedBaseRuns'>): Row[] {
  const { rows, reused = 0 } = totals
  const embedded = `${count(rows - reused)} embedded`
  const runs = [
    ...(baseRun ? [`run ${baseRun.run}`] : []),
    ...unfinishedBaseRuns.map(run => `the unfinished run ${run}`),
  ]
  if (runs.length === 0)
    return reused === 0 ? [] : [['texts', `${embedded}, ${counted(reused, 'duplicate text')}`]]
  const which = runs.length > 1 ? `run ${baseRun?.run}` : 'that run'
  const removed = !baseRun?.removedRows
    ? ''
    : `; ${counted(baseRun.removedRows, 'document')} of ${which} no longer ${baseRun.removedRows === 1 ? 'exists' : 'exist'}`
  return [['texts', `${embedded}, ${counted(reused, 'vector')} reused from ${runs.join(' and ')}${removed}`]]
}
