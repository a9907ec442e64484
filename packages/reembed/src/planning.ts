// From flags to a planned run: ask the endpoint which model it is, look at the corpus, cut it.

import { type Endpoint, ensureReference, modelOf, openEndpoint, openProber } from '@reembed/endpoint'
import {
  type BaseRunResult,
  type Corpus,
  findBaseRun,
  forecastReuse,
  lookUpRun,
  type PlanResult,
  planRun,
  type RecipeIds,
  type ReuseForecast,
  requireBaseRun,
} from '@reembed/producer'
import type { RunBudget, ShardLayout } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { chunkingOf, findTokenizer } from './chunking.ts'
import { findRun } from './find-run.ts'
import { counted, note } from './format.ts'
import { gateSetupOf, storeQueries } from './gating.ts'
import { promptOf } from './named-prompt.ts'
import type { ResolvedEndpoint } from './open-resources.ts'
import type { CorpusFlags, RedisFlags } from './options.ts'
import { budgetOf, priceOf, type Quoted, quoteFrom } from './quoting.ts'

/** `output` undefined means a dry run: nothing is written anywhere; `previousOutput` is where its versions would lie. */
export async function planFrom(
  corpus: Corpus,
  wanted: CorpusFlags & RedisFlags,
  resolved: ResolvedEndpoint,
  output: Store | undefined,
  previousOutput: Store | undefined = output,
): Promise<
  PlanResult & {
    readonly maxInputLength: number | null
    readonly budget: RunBudget
    readonly quoted?: Quoted
    readonly reuse?: ReuseForecast
  }
> {
  const { url, options } = resolved
  const price = await priceOf(wanted, resolved)
  const budget = budgetOf(wanted, price)
  const gating = await gateSetupOf(wanted)
  const onState = (state: string): void => note(`endpoint  ${state}`)
  await using endpoint = await openProber(
    url,
    { ...options, truncate: wanted.truncate },
    { redis: wanted.redis, onState },
  )
  const model = modelOf(endpoint)
  const flags = { ...wanted, prompt: await promptOf(wanted, model) }
  await checkServerPrompt(endpoint, flags.prompt)
  if (output) {
    if (model.revision === null) {
      note(
        `note: ${endpoint.url} does not state its model's revision; its reference vectors stand in for it (or give --revision)`,
      )
    }
    await ensureReference(output, endpoint, () => openEndpoint(url, { ...options, truncate: flags.truncate }))
  }
  const planned = await planRun(corpus, {
    model,
    prompt: flags.prompt,
    truncate: flags.truncate,
    fields: { ...(flags.id && { id: flags.id }), ...(flags.text && { text: flags.text }) },
    template: flags.template,
    carry: flags.carry,
    chunking: await chunkingOf(flags, endpoint, output),
    dimensions: flags.dimensions,
    dtype: flags.dtype,
    layout: layoutOf(flags),
    documentsPerShard: flags.documentsPerShard,
    maxRejects: flags.maxRejects,
    findBaseRun: flags.reuse ? previousOutput && (ids => baseRunOf(previousOutput, flags, ids)) : false,
    lookUpRun: async run => (output ? lookUpRun(output, run) : { run }),
  })
  const { skipped, mixedInFiles } = planned
  if (skipped.count > 0) {
    note(
      `note: ${counted(skipped.count, 'object')} left out, unknown by extension or set aside by a leading _: ${namesOf(skipped)}; --format reads all as one format`,
    )
  }
  if (mixedInFiles.count > 0) {
    note(
      `note: ${counted(mixedInFiles.count, 'text or Markdown object')} beside objects of records, each a document as well: ${namesOf(mixedInFiles)}; ` +
        "if they are none, name a glob such as '**/*.parquet' as the source",
    )
  }
  if (planned.repeatedDecompression) {
    const { key, compression, slices, factor } = planned.repeatedDecompression
    note(
      `note: ${key} is one ${compression} stream: each of its ${slices} slices unpacks it from the start, ${Math.round(factor)} times in all; ` +
        'written by bgzip, or as zstd in several frames, each would begin near its place',
    )
  }
  const { maxInputLength } = endpoint.info
  // A run that was begun before has its quote.
  if ('seq' in planned.head) return { ...planned, maxInputLength, budget }
  const reuse = await forecastReuse(previousOutput, corpus.store, planned)
  const quoted = await quoteFrom(corpus, planned, endpoint, {
    reuse,
    tokenizer: await findTokenizer(flags.tokenizer, flags.model),
    price,
    // A dry run is made to be told; else somebody who gave a price wants to know.
    measureThroughput: output === undefined || price !== undefined,
    resolved,
  })
  if (output) await storeQueries(output, planned.head.run, gating, endpoint, planned.head.recipe)
  const { queries: _, ...gates } = gating
  const head = { ...planned.head, ...gates, quote: quoted.quote }
  return { ...planned, head, maxInputLength, budget, quoted, reuse }
}

const namesOf = ({ count, examples }: PlanResult['skipped']): string =>
  `${examples.join(', ')}${count > examples.length ? ', …' : ''}`

async function baseRunOf(store: Store, { reuseFrom }: CorpusFlags, ids: RecipeIds): Promise<BaseRunResult> {
  return reuseFrom === undefined
    ? findBaseRun(store, ids)
    : requireBaseRun(store, await findRun(store, reuseFrom, 'newest'), ids)
}

/** A server's own prompt comes in front of ours, and no request can ask it not to: the model would see both. */
async function checkServerPrompt(endpoint: Endpoint, prompt: string): Promise<void> {
  const applied = await endpoint.appliedPrompt()
  if (!applied) return
  if (prompt !== '') {
    throw new ReembedError(
      'USAGE',
      `--prompt ${JSON.stringify(prompt)} would come after the prompt ${JSON.stringify(applied)} that ${endpoint.url} ` +
        'puts in front of every text by itself: leave --prompt out, or start the server without its default prompt',
    )
  }
  note(`note: ${endpoint.url} puts ${JSON.stringify(applied)} in front of every text by itself`)
}

/** Undefined where shards have nothing but what they always have: so the run's id stays what it was. */
function layoutOf({ includeText, arrowSchema }: CorpusFlags): ShardLayout | undefined {
  return includeText || arrowSchema
    ? { ...(includeText && { text: true }), ...(arrowSchema && { arrowSchema }) }
    : undefined
}
