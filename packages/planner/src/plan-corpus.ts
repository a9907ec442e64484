// Plans a run from options: reads the model from the endpoint, samples and slices the corpus, and
// quotes the run.

import {
  type Endpoint,
  type EndpointResolver,
  ensureReference,
  modelOf,
  openProber,
  type ResolvedEndpoint,
  resolveGiven,
} from '@reembed/endpoint'
import { resolveGates, storeQueries } from '@reembed/evaluate'
import { type RunBudget, readManifest, type ShardLayout, unreadShare } from '@reembed/protocol'
import { announcePlanning, type PlanningStep, type RedisTarget, requestWake } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type BaseRunResult, findBaseRun, type RecipeIds, requireBaseRun } from './base-run.ts'
import { resolveChunking } from './chunking.ts'
import type { Corpus } from './corpus.ts'
import { promptMismatch } from './documented-prompts.ts'
import { findRun } from './find-run.ts'
import { copyIfNeeded, inspectCorpus } from './inspect-corpus.ts'
import { measureTokenCosts } from './measure-tokens.ts'
import { resolvePrompt } from './named-prompt.ts'
import type { PlanNotice, PlanOptions, PlanStep } from './options.ts'
import { type PlanRequest, type PlanResult, planRun } from './plan.ts'
import { keptLimits, truncationAllowed } from './publish-limits.ts'
import { type Quoted, quotePlan, resolvePrice } from './quoting.ts'
import { lookUpRun } from './record-plan.ts'
import { forecastReuse, type ReuseForecast } from './reuse-forecast.ts'
import { budgetOf, requirePrice } from './run-budget.ts'
import { sampleTexts } from './sample-texts.ts'
import { checkTokenizerFile, type FoundTokenizer, openTokenizerSource } from './tokenizer.ts'

export interface PlanContext {
  /**
   * Where the run is written: the reference vectors of its model, its tokenizer and its queries are
   * written during planning. Undefined: a dry run, nothing is written.
   */
  readonly output?: Store | undefined
  /** Where the versions before this run are read; default `output`. */
  readonly previousOutput?: Store | undefined
  /**
   * A Redis through which this process shares the endpoint's limit with workers. With `output`, an
   * entry in it shows other processes what planning does, until the plan is recorded.
   */
  readonly redis?: RedisTarget | undefined
  /**
   * Waits for an address without a server, at most 15 minutes, and asks an autoscaler for a replica
   * by an entry in `redis` until the run is planned.
   */
  readonly awaitEndpoint?: boolean | undefined
  /** The caller publishes a run that is finished already, with the limits that are given. */
  readonly publishesFinished?: boolean | undefined
  readonly onNotice?: ((notice: PlanNotice) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Share of the text that a user must hear of if the model does not read it. */
const NOTABLE_SHARE = 0.01

/** A planned run with its budget and its quote. */
export interface PlannedCorpus extends PlanResult {
  /** The endpoint that planning used. */
  readonly endpoint: ResolvedEndpoint
  /** The model's limit in tokens, where the endpoint states it. */
  readonly maxInputLength: number | null
  readonly budget: RunBudget
  /** Undefined for a run that was recorded before: its plan has a quote. */
  readonly quoted?: Quoted
  /** The tokenizer of a run with chunks, or one that is on this machine. */
  readonly tokenizer?: FoundTokenizer | undefined
  readonly reuse?: ReuseForecast
}

/**
 * Plans a run with an endpoint, or with one that is resolved once the corpus and the options are
 * known to be valid; record it with `submitRun` or `recordPlan`.
 * @throws ReembedError USAGE for options that contradict each other, the endpoint or the corpus,
 * with `option` set to the option at fault; SOURCE_EMPTY, SOURCE_FORMAT, FIELD_NOT_FOUND;
 * MODEL_MISMATCH; ENDPOINT_UNREACHABLE.
 */
export async function planCorpus(
  corpus: Corpus,
  given: ResolvedEndpoint | EndpointResolver,
  options: PlanOptions = {},
  context: PlanContext = {},
): Promise<PlannedCorpus> {
  const { output, redis, signal } = context
  if (output === undefined || redis === undefined) return planQuietly(corpus, given, options, context)
  let step: PlanningStep = { step: 'connecting', done: 0 }
  const announcement = announcePlanning(redis, output.url, { step, signal })
  const report = (next: PlanningStep): void => {
    step = next
    announcement.report(next)
  }
  const onNotice = (notice: PlanNotice): void => {
    if (notice.kind === 'progress') report({ step: notice.step, done: notice.done, of: notice.of })
    if (notice.kind === 'endpoint_state') report({ ...step, endpoint: notice.state })
    context.onNotice?.(notice)
  }
  try {
    const resolve: EndpointResolver = () => resolveGiven(given, state => report({ ...step, endpoint: state }))
    const planned = await planQuietly(corpus, resolve, options, { ...context, onNotice })
    report({ step: 'recording', done: 0 })
    return { ...planned, announcement }
  } catch (error) {
    await announcement[Symbol.asyncDispose]()
    throw error
  }
}

/** `planCorpus` without an entry in Redis. */
async function planQuietly(
  source: Corpus,
  given: ResolvedEndpoint | EndpointResolver,
  options: PlanOptions,
  context: PlanContext,
): Promise<PlannedCorpus> {
  const { output, previousOutput = output, signal, onNotice = () => {} } = context
  const { truncate = true } = options
  // What is wrong with the options or the corpus costs no start of an endpoint.
  const gating = await resolveGates(options)
  if (options.maxTruncated !== undefined) truncationAllowed(options.maxTruncated)
  await checkTokenizerFile(options)
  const base = options.reuse === false ? undefined : options.reuse?.run
  if (base !== undefined && previousOutput) await findRun(previousOutput, base, 'newest')
  const onProgress: PlanRequest['onProgress'] = (step, done) => onNotice({ kind: 'progress', step, done })
  const request = requestOf(options, previousOutput)
  requirePrice(options.spending ?? {}, given)
  const inspecting = { ...request, onProgress, signal }
  const sampled = await inspectCorpus(source, inspecting)
  const { corpus, inspected } = await copyIfNeeded(source, sampled, output, inspecting)
  const step = (name: PlanStep): void => onNotice({ kind: 'progress', step: name, done: 0 })
  step('connecting')
  const resolved = await resolveGiven(given)
  step('connecting')
  const { url, options: endpointOptions } = resolved
  const price = await resolvePrice(options.spending ?? {}, resolved)
  const budget = budgetOf(options.spending ?? {}, price)
  const { redis, awaitEndpoint = false } = context
  await using _wake = awaitEndpoint && redis !== undefined ? await requestWake(redis) : undefined
  await using endpoint = await openProber(
    url,
    { ...endpointOptions, truncate, signal },
    { redis, awaitAddress: awaitEndpoint, onState: state => onNotice({ kind: 'endpoint_state', state }) },
  )
  const model = modelOf(endpoint)
  const prompt = await resolvePrompt(options, model)
  await checkPrompt(endpoint, { prompt, template: options.fields?.template }, onNotice)
  if (output) {
    if (model.revision === null) onNotice({ kind: 'revision_unstated', url: endpoint.url })
    step('reference')
    await ensureReference(output, endpoint, {
      onProgress: (done, of) => onNotice({ kind: 'progress', step: 'reference', done, of }),
    })
  }
  const tokenizers = openTokenizerSource(options, resolved, model, {
    outputs: [output, previousOutput],
    output,
    async measure(reason) {
      step('measuring_tokens')
      const texts = await sampleTexts(corpus.store, inspected, { template: options.fields?.template, signal })
      const costs = await measureTokenCosts(texts, model.id, some => endpoint.countTokens(some, { signal }))
      if (costs) onNotice({ kind: 'tokens_measured', url: endpoint.url, reason })
      return costs
    },
  })
  const chunkingContext = { endpoint, tokenizers, prompt, output, source: corpus.store, onNotice, signal }
  const planned = await planRun(corpus, {
    ...request,
    inspected,
    model,
    prompt,
    chunking: found => resolveChunking(options, found, chunkingContext),
    lookUpRun: async run => (output ? lookUpRun(output, run) : { run }),
    onProgress,
    signal,
  })
  const { chunking } = planned.head.recipe
  const tokenizer = chunking ? await tokenizers.find() : await tokenizers.local()
  if (tokenizer?.isKept) onNotice({ kind: 'tokens_measured_before' })
  noticesOf(planned).forEach(onNotice)
  for (const consumer of options.consumers ?? []) {
    const message = consumer.warning(planned.head.recipe.model)
    if (message !== undefined) onNotice({ kind: 'consumer_warning', message })
  }
  const { maxInputLength } = endpoint.info
  // A run that was recorded before has its quote.
  if ('seq' in planned.head) {
    const limits = keptLimits(planned.head, {
      gates: gating.gates,
      evaluation: gating.evaluation,
      ...(!(context.publishesFinished && output && (await readManifest(output, planned.head.run))) && {
        maxRejects: options.maxRejects,
        maxTruncated: options.maxTruncated,
      }),
    })
    if (limits.length > 0) onNotice({ kind: 'limits_kept', limits })
    return { ...planned, endpoint: resolved, maxInputLength, budget, tokenizer }
  }
  step('comparing')
  const reuse = await forecastReuse(
    corpus.share === undefined ? previousOutput : undefined,
    corpus.store,
    planned,
  )
  const quoted = await quotePlan(corpus, planned, endpoint, {
    reuse,
    tokenizer,
    price,
    // The measurement costs seconds and tokens: only for a dry run, and where there is a price to
    // apply it to.
    measureThroughput: output === undefined || price !== undefined,
    resolved,
    onNotice,
  })
  if (output) await storeQueries(output, planned.head.run, gating, endpoint, planned.head.recipe)
  const { queries: _, ...gates } = gating
  const { quote, texts } = quoted
  if (unreadShare(texts.unread) > NOTABLE_SHARE) onNotice({ kind: 'text_unread', texts })
  const head = { ...planned.head, ...gates, quote, texts, maxTruncated: options.maxTruncated }
  return { ...planned, head, endpoint: resolved, maxInputLength, budget, quoted, reuse, tokenizer }
}

/** The part of a request that the options alone determine. */
function requestOf(
  { fields, vectors, reuse, truncate, documentsPerShard, maxRejects, consumers }: PlanOptions,
  previous: Store | undefined,
): Omit<PlanRequest, 'model'> {
  return {
    truncate,
    fields: { ...(fields?.id && { id: fields.id }), ...(fields?.text && { text: fields.text }) },
    template: fields?.template,
    carry: fields?.carry,
    dimensions: vectors?.dimensions,
    dtype: vectors?.dtype,
    layout: layoutOf(vectors),
    documentsPerShard,
    maxRejects,
    consumers,
    findBaseRun: reuse === false ? false : previous && (ids => baseRunOf(previous, reuse?.run, ids)),
  }
}

/** Notices about the objects of the corpus. */
function noticesOf({
  head,
  sample,
  skipped,
  empty,
  mixedInFiles,
  repeatedDecompression,
}: PlanResult): PlanNotice[] {
  const notices: PlanNotice[] = sample.tables.map(table => ({ kind: 'csv_dialect', ...table }))
  if (head.table) notices.push({ kind: 'table', table: head.table })
  if (skipped.count > 0) notices.push({ kind: 'objects_skipped', ...skipped })
  if (empty.count > 0) notices.push({ kind: 'objects_empty', ...empty })
  if (mixedInFiles.count > 0) notices.push({ kind: 'files_among_records', ...mixedInFiles })
  const { fit } = sample
  if (fit?.reject !== undefined) {
    const { rejected, records, reject: message } = fit
    notices.push({ kind: 'sample_rejects', rejected, records, message })
  }
  for (const column of fit?.columns ?? []) notices.push({ kind: 'column_fit', fit: column })
  if (repeatedDecompression) notices.push({ kind: 'repeated_decompression', ...repeatedDecompression })
  return notices
}

async function baseRunOf(store: Store, name: string | undefined, ids: RecipeIds): Promise<BaseRunResult> {
  return name === undefined
    ? findBaseRun(store, ids)
    : requireBaseRun(store, await findRun(store, name, 'newest'), ids)
}

/**
 * Compares the prompt with the model's card. A server with a default prompt puts it in front of the
 * run's prompt, and no request can prevent that: the model would read both.
 */
async function checkPrompt(
  endpoint: Endpoint,
  { prompt, template }: { readonly prompt: string; readonly template: string | undefined },
  onNotice: (notice: PlanNotice) => void,
): Promise<void> {
  const applied = await endpoint.appliedPrompt()
  const mismatch = promptMismatch(modelOf(endpoint), { prompt, template, applied })
  if (mismatch !== undefined) onNotice({ kind: 'prompt_mismatch', mismatch })
  if (!applied) return
  if (prompt !== '') {
    throw new ReembedError(
      'USAGE',
      `the prompt ${JSON.stringify(prompt)} would come after the prompt ${JSON.stringify(applied)} that ${endpoint.url} ` +
        'puts in front of every text by itself: leave yours out, or start the server without its default prompt',
      { option: 'prompt' },
    )
  }
  onNotice({ kind: 'server_prompt', url: endpoint.url, prompt: applied })
}

/** Undefined for the default columns, because a layout is part of the run id. */
function layoutOf({
  includeText,
  arrowSchema,
}: NonNullable<PlanOptions['vectors']> = {}): ShardLayout | undefined {
  return includeText || arrowSchema
    ? { ...(includeText && { text: true }), ...(arrowSchema && { arrowSchema }) }
    : undefined
}
