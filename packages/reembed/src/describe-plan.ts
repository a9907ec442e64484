// What a plan means, for people.

import type { PlannedRun, Preview, ReuseForecast, ReuseGroup } from '@reembed/producer'
import { type ActualCost, dollarsPerMillion, LIST_PRICE, type Price, type Quote } from '@reembed/protocol'
import { bytes, count, counted, dollars, duration } from './format.ts'

/** 'id: id, text: {{ title }} {{ text }}, carried: lang (string)' */
function fieldsOf({ recipe: { fields, template }, layout }: PlannedRun['head']): string {
  const text = template === undefined ? fields?.text : JSON.stringify(template)
  const carried = (layout?.carry ?? []).map(({ name, type }) => `${name} (${type})`).join(', ')
  return `id: ${fields?.id}, text: ${text}${carried && `, carried: ${carried}`}`
}

export function describePlan({ head }: PlannedRun): [string, string][] {
  const { model, fields, prompt } = head.recipe
  const rows: [string, string][] = [
    ['run', head.run],
    [
      'source',
      `${head.source}  ${counted(head.objects, 'object')}, ${bytes(head.bytes)}, about ${counted(head.estimatedDocuments, 'document')}`,
    ],
    ['fields', fields ? fieldsOf(head) : 'one document a file, id = its path'],
    ['model', `${model.id}@${model.revision ?? 'unstated'}  ${model.dimensions} dimensions`],
    [
      'shards',
      `${count(head.shards)}, about ${bytes((4 * model.dimensions * head.estimatedDocuments) / head.shards)} of vectors each`,
    ],
  ]
  const { chunking } = head.recipe
  if (chunking) {
    rows.push(['chunks', `at most ${chunking.maxTokens} tokens, ${chunking.overlapTokens} of them repeated`])
  }
  if (head.baseRun) rows.push(['reuse', `unchanged documents keep their vectors of run ${head.baseRun}`])
  if (prompt) rows.push(['prompt', JSON.stringify(prompt)])
  return rows
}

/** What is taken over, and why the rest isn't. */
export function describeReuse(reuse: ReuseForecast, explain: boolean): [string, string][] {
  const { reason, identical, changed, added, toEmbed } = reuse
  const all = identical.documents + changed.documents + added.documents
  const rows: [string, string][] = [
    ['embeds', `about ${count(toEmbed)} of about ${counted(all, 'document')}`],
  ]
  if (reason !== null) return [...rows, ['reuse', `none: ${reason}`]]
  if (!explain) return rows
  const of = ({ shards, documents, examples }: ReuseGroup, what: string): string =>
    shards === 0
      ? `none ${what}`
      : `${counted(shards, 'shard')} ${what}, about ${counted(documents, 'document')} (${examples.join(', ')}${shards > examples.length ? ', …' : ''})`
  const share = changed.documents === 0 ? 0 : (100 * changed.reusable) / changed.documents
  return [
    ...rows,
    ['as it is', of(identical, 'whose part of the corpus did not change')],
    [
      'looked up',
      `${of(changed, 'of objects or columns that changed')}${changed.shards > 0 ? `: ${share.toFixed(1)} % of the texts are known, of those looked at` : ''}`,
    ],
    ['new', of(added, 'of objects that were not there')],
  ]
}

/** What a run will take: tokens, time and money. */
export function describeQuote(quote: Quote): [string, string][] {
  const { tokens, relativeError, canaryTokens, sampled, inputs, tokensPerSecond, seconds, price } = quote
  const how =
    relativeError === null
      ? 'a guess from their characters'
      : `${share(relativeError)} at 95 %, from ${count(sampled)} of ${count(inputs)} texts`
  const canaries = canaryTokens > 0 ? `; ${count(canaryTokens)} of them prove the model` : ''
  const rows: [string, string][] = [
    ['tokens', `about ${count(tokens)} (± ${how}${canaries})`.replace('± a', 'a')],
  ]
  if (seconds !== null && tokensPerSecond !== null) {
    const cold =
      quote.coldStartSeconds > 0 ? `, after a cold start of ${duration(1000 * quote.coldStartSeconds)}` : ''
    rows.push([
      'time',
      `about ${duration(1000 * seconds)} at ${count(tokensPerSecond)} tokens/s, as just measured${cold}`,
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

/** What a run took, beside what was quoted. */
export function describePaid(paid: ActualCost, quote: Quote | undefined): [string, string][] {
  const { tokens, endpointSeconds } = paid
  const rows: [string, string][] = []
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
  `${dollars(perHour)} an hour${replicas === 1 ? '' : ` x ${replicas} replicas`}`

const comparison = (cost: number, tokens: number): string =>
  `${dollars(dollarsPerMillion(cost, tokens))} per 1M tokens (${LIST_PRICE.name}: ${dollars(LIST_PRICE.dollarsPerMillionTokens)}, list price of ${LIST_PRICE.asOf})`

const share = (value: number): string => `${(100 * value).toFixed(1)} %`
const signed = (value: number): string => `${value < 0 ? '' : '+'}${share(value)}`

const SHOWN_CHARS = 200

/** What some documents look like to the model. */
export function describePreview(
  { inspected, empty, rejected, tokens, overLimit, inputs }: Preview,
  maxInputLength: number | null,
): [string, string][] {
  const share = (n: number): string => (inspected === 0 ? '0 %' : `${((100 * n) / inspected).toFixed(1)} %`)
  const how = tokens.counted ? '' : " (estimated: name the model's tokenizer.json with --tokenizer to count)"
  const limit =
    maxInputLength === null ? 'limit unknown' : `${share(overLimit)} over the limit of ${maxInputLength}`
  return [
    ['looked at', `${counted(inspected, 'input')}: ${share(empty)} empty, ${share(rejected)} rejected`],
    [
      'tokens',
      `half up to ${tokens.p50}, 95 % up to ${tokens.p95}, 99 % up to ${tokens.p99}; ${limit}${how}`,
    ],
    ...inputs.map(({ id, text }): [string, string] => [`input ${id}`, shorten(text)]),
  ]
}

/** On one line: that it has line breaks shows. */
function shorten(text: string): string {
  const line = JSON.stringify(text)
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS - 1)}…` : line
}
