// Describes plans, quotes and previews as rows of text.

import type { PlannedRun, Preview, ReuseForecast, ReuseGroup } from '@reembed/planner'
import {
  type ActualCost,
  baseRunsOf,
  dollarsPerMillion,
  LIST_PRICE,
  type Price,
  type Quote,
} from '@reembed/protocol'
import { modelText } from './model.ts'
import { bytes, count, counted, dollars, duration } from './numbers.ts'
import type { Row } from './rows.ts'

/** 'id: id, text: {{ title }} {{ text }}, carried: lang (string)' */
function fieldsOf({ recipe: { fields, template }, layout }: PlannedRun['head']): string {
  const text = template === undefined ? fields?.text : JSON.stringify(template)
  const carried = (layout?.carry ?? []).map(({ name, type }) => `${name} (${type})`).join(', ')
  return `id: ${fields?.id}, text: ${text}${carried && `, carried: ${carried}`}`
}

/** About how many chunks, or documents, are embedded. */
export const inputsOf = ({ recipe, texts, estimatedDocuments }: PlannedRun['head']): number =>
  recipe.chunking && texts ? texts.inputs : estimatedDocuments

/** What a run would read and make: source, fields, model, shards, chunks, reuse, prompt. */
export function describePlan({ head }: PlannedRun): Row[] {
  const { model, fields, prompt } = head.recipe
  const inputs = inputsOf(head)
  const rows: Row[] = [
    ['run', head.run],
    [
      'source',
      `${head.source}  ${counted(head.objects, 'object')}, ${bytes(head.bytes)}, about ${counted(head.estimatedDocuments, 'document')}`,
    ],
    ['fields', fields ? fieldsOf(head) : 'one document per file, id = its path'],
    ['model', `${modelText(head.recipe)}  ${model.dimensions} dimensions`],
    [
      'shards',
      `${count(head.shards)}, about ${bytes((4 * model.dimensions * inputs) / head.shards)} of vectors each`,
    ],
  ]
  const { chunking } = head.recipe
  if (chunking) {
    rows.push([
      'chunks',
      `about ${count(inputs)} of at most ${counted(chunking.maxTokens, 'token')}${chunking.overlapTokens > 0 ? `, ${chunking.overlapTokens} of them repeated from the chunk before` : ''}${chunking.context ? ', with title and headings in front' : ''}`,
    ])
  }
  const bases = baseRunsOf(head)
  if (bases.length > 0)
    rows.push(['reuse', `unchanged documents keep their vectors of run ${bases.join(' or ')}`])
  if (prompt) rows.push(['prompt', JSON.stringify(prompt)])
  return rows
}

/** What the new run carries over from its base run, and why it embeds the rest. */
export function describeReuse(reuse: ReuseForecast, explain: boolean): Row[] {
  const { reason, identical, changed, added, toEmbed } = reuse
  const all = identical.documents + changed.documents + added.documents
  const rows: Row[] = [['embeds', `about ${count(toEmbed)} of about ${counted(all, 'document')}`]]
  if (reason !== null) return [...rows, ['reuse', `none: ${reason}`]]
  if (!explain) return rows
  const of = ({ shards, documents, examples }: ReuseGroup, what: string, none: string): string =>
    shards === 0
      ? none
      : `${counted(shards, 'shard')} ${what}, about ${counted(documents, 'document')} (${examples.join(', ')}${shards > examples.length ? ', …' : ''})`
  const share = changed.documents === 0 ? 0 : (100 * changed.reusable) / changed.documents
  return [
    ...rows,
    ['carried over', of(identical, 'of unchanged slices', 'no slice was unchanged')],
    [
      'looked up',
      `${of(changed, 'with changes', 'no slice with changes')}${changed.shards > 0 ? `: ${share.toFixed(1)} % of sampled texts already have vectors` : ''}`,
    ],
    ['new', of(added, 'of new objects', 'no new objects')],
  ]
}

/** The tokens, time and cost that a run is expected to need. */
export function describeQuote(quote: Quote): Row[] {
  const { tokens, relativeError, canaryTokens, sampled, inputs, tokensPerSecond, seconds, price } = quote
  const how =
    relativeError === null
      ? 'estimated from the number of characters'
      : inputs === 0
        ? 'every sampled text already has its vector'
        : sampled >= inputs && relativeError === 0
          ? `all of ${counted(inputs, 'text')} counted`
          : `± ${share(relativeError)} with 95 % confidence, from ${count(Math.min(sampled, inputs))} of ${count(inputs)} texts`
  const canaries =
    canaryTokens > 0
      ? `; of these, ${count(canaryTokens)} tokens are check texts that prove which model answers`
      : ''
  const rows: Row[] = [['tokens', `about ${count(tokens)} (${how}${canaries})`]]
  if (seconds !== null && tokensPerSecond !== null) {
    const cold =
      quote.coldStartSeconds > 0 ? `, after a cold start of ${duration(1000 * quote.coldStartSeconds)}` : ''
    rows.push([
      'time',
      `about ${duration(1000 * seconds)} at ${count(tokensPerSecond)} tokens/s, measured now${cold}`,
    ])
  }
  if (quote.dollars !== null && price) {
    rows.push([
      'cost',
      `about ${dollars(quote.dollars)} at ${priceText(price)}; ${comparison(quote.dollars, tokens)}`,
    ])
  }
  return rows
}

/** The actual tokens, time and cost of a run, with the quoted ones. */
export function describePaid(paid: ActualCost, quote: Quote | undefined): Row[] {
  const { tokens, endpointSeconds } = paid
  const rows: Row[] = []
  if (tokens !== null) {
    const off =
      quote && quote.tokens > 0
        ? `, quoted ${count(quote.tokens)} (${signed(tokens / quote.tokens - 1)})`
        : ''
    rows.push(['tokens', `${count(tokens)}${off}`])
  }
  if (endpointSeconds !== null) {
    const quoted = quote?.seconds
      ? `, quoted ${duration(1000 * (quote.seconds + quote.coldStartSeconds))}`
      : ''
    rows.push(['endpoint', `${duration(1000 * endpointSeconds)}${quoted}`])
  }
  if (paid.dollars !== null && tokens) {
    const quoted = quote?.dollars ? `, quoted ${dollars(quote.dollars)}` : ''
    rows.push(['cost', `${dollars(paid.dollars)}${quoted}; ${comparison(paid.dollars, tokens)}`])
  }
  return rows
}

const priceText = ({ perHour, replicas }: Price): string =>
  `${dollars(perHour)} per hour${replicas === 1 ? '' : ` x ${replicas} replicas`}`

const comparison = (cost: number, tokens: number): string =>
  `${dollars(dollarsPerMillion(cost, tokens))} per 1M tokens (${LIST_PRICE.name}: ${dollars(LIST_PRICE.dollarsPerMillionTokens)}, list price of ${LIST_PRICE.asOf})`

const share = (value: number): string => `${(100 * value).toFixed(1)} %`
const signed = (value: number): string => `${value < 0 ? '' : '+'}${share(value)}`

const SHOWN_CHARS = 200

/** Statistics of the sampled inputs, and some inputs as the model receives them. */
export function describePreview(
  { inspected, empty, rejected, tokens, overLimit, inputs }: Preview,
  maxInputLength: number | null,
): Row[] {
  const share = (n: number): string => (inspected === 0 ? '0 %' : `${((100 * n) / inspected).toFixed(1)} %`)
  const how = tokens.counted
    ? ''
    : ' (estimated from the characters: no tokenizer.json of the model was found)'
  const limit =
    maxInputLength === null ? 'limit unknown' : `${share(overLimit)} over the limit of ${maxInputLength}`
  return [
    ['sampled', `${counted(inspected, 'input')}: ${share(empty)} empty, ${share(rejected)} rejected`],
    [
      'lengths',
      `in tokens: median ${tokens.p50}, 95 % at most ${tokens.p95}, 99 % at most ${tokens.p99}; ${limit}${how}`,
    ],
    ...inputs.map(({ id, text }): Row => [`input ${id}`, shorten(text)]),
  ]
}

/** One line: JSON shows the line breaks of the text. */
function shorten(text: string): string {
  const line = JSON.stringify(text)
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS - 1)}…` : line
}
