import { createLimiter, type Endpoint, openProber } from '@reembed/endpoint'
import {
  compareRows,
  evaluateRows,
  healthOf,
  locateRows,
  mean,
  orderByIdHash,
  pairedDrop,
  type Rows,
  readQueries,
  readRowsById,
  type Scores,
  textsOf,
} from '@reembed/evaluate'
import { sampleInputs } from '@reembed/producer'
import { type Document, type Manifest, type Plan, type Recipe, requirePlan } from '@reembed/protocol'
import { requireManifest, truncateVectors } from '@reembed/shard'
import { messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { embed } from '@reembed/worker'
import { findTokenizer } from '../chunking.ts'
import { describeQuote, describeReuse } from '../describe-plan.ts'
import { findRun } from '../find-run.ts'
import { count, counted, facts, note, print } from '../format.ts'
import { embedQueries, hashOfQueries, type Query, readJudgedQueries } from '../gating.ts'
import { openExistingOutput, openSource, requireEndpoint, s3OptionsOf } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { planFrom } from '../planning.ts'
import { describeCompared, healthText, modelOf } from './diff.ts'

interface Flags extends CorpusFlags, OutputFlags, JsonFlag {
  readonly sample: string
  readonly top: number
}

/** Of the endpoint's permits: others may be using it. */
const PERMIT_SHARE = 0.5
/** Fewer say little of neighbours; more would have to be held. */
const [LEAST, MOST] = [500, 20_000]
const NEIGHBOURS_OF = 200
/** Documents that answer a query, beside the sample. */
const ANSWERS = 5_000

/** `reembed preview`: a sample with the new model beside the current version, and what the rest would take. Writes nothing. */
export async function preview(flags: Flags): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const corpus = stack.use(await openSource(flags))
  const store = stack.use(await openExistingOutput(flags))
  const before = await requireManifest(store, await findRun(store, undefined, 'current'))
  const queries = await queriesOf(flags)
  const resolved = await requireEndpoint(flags)
  const planned = await planFrom(corpus, flags, resolved, undefined, store)
  const { head, quoted, reuse } = planned
  const { recipe } = head

  const tokenizer = await findTokenizer(flags.tokenizer, flags.model)
  const { clusters } = await sampleInputs(corpus, planned, {
    tokenizer,
    documents: sampleSize(flags.sample, head.estimatedDocuments),
  })
  const sampled = uniqueIds(clusters.flatMap(({ documents }) => documents))
  const answers = new Set(queries.flatMap(({ relevant }) => Object.keys(relevant)))
  const located = await locateRows(store, before, new Set([...sampled.keys(), ...answers]))
  const known = [...sampled.values()].filter(({ id }) => located.has(id))
  if (known.length <= flags.top) {
    throw new ReembedError(
      'USAGE',
      `${count(known.length)} of ${count(sampled.size)} sampled documents are in run ${before.run}, too few to compare ${flags.top} neighbours: raise --sample or lower --top; \`reembed plan\` says what a run would take`,
    )
  }
  const extra = await answersOf(store, before, recipe, { answers, sampled, located, flags })

  await using endpoint = await openProber(resolved.url, { ...resolved.options, truncate: flags.truncate })
  const documents = orderByIdHash([...known, ...extra])
  const { rows: after, refused, tokens } = await embedAll(endpoint, documents, recipe)
  const then = await readRowsById(store, before, after.ids, located)
  const compared = await compareRows(then, after, {
    top: flags.top,
    queries: NEIGHBOURS_OF,
    sameSpace: before.spaceId === head.spaceId,
  })
  const health = [healthOf(then, before.totals.rows), healthOf(after, after.ids.length)] as const
  const scored = await scoresOf(store, before, { queries, flags, endpoint, recipe, then, after })
  const missing = [...answers].filter(id => !located.has(id)).length
  const unknown = sampled.size - known.length
  print(
    flags.json,
    {
      current: before.run,
      model: recipe.model,
      sampled: sampled.size,
      unknown,
      refused,
      tokens,
      ...compared,
      health,
      scores: scored?.summary ?? null,
      missingAnswers: missing,
      reuse,
      quote: head.quote,
    },
    facts([
      ['current', `${before.run}  ${modelOf(before)}  ${healthText(health[0])}`],
      ['new', `${modelOf(recipe)}  ${healthText(health[1])}`],
      [
        'sample',
        `${counted(sampled.size, 'document')} of about ${count(head.estimatedDocuments)}, ${count(unknown)} of them not in the current version, ${count(refused)} refused by the model${extra.length > 0 ? `; and ${count(extra.length)} that answer queries` : ''}`,
      ],
      ...describeCompared(compared),
      ...(scored?.lines ?? []),
      ...(missing > 0
        ? [
            [
              'qrels',
              `${count(missing)} of the ${count(answers.size)} documents in them are not in the current version`,
            ] as [string, string],
          ]
        : []),
      ...(reuse ? describeReuse(reuse, false) : []),
      ...(quoted ? describeQuote(quoted.quote) : []),
    ]),
  )
}

/** '1%' of the documents, 500 at least; '2000' is meant as it stands. */
function sampleSize(sample: string, documents: number): number {
  const wanted = sample.endsWith('%')
    ? Math.max(LEAST, Math.ceil((Number.parseFloat(sample) / 100) * documents))
    : Number(sample)
  return Math.min(MOST, wanted)
}

async function queriesOf({ gateQueries, gateQrels }: Flags): Promise<Query[]> {
  if (gateQueries === undefined && gateQrels === undefined) return []
  if (gateQueries !== undefined && gateQrels !== undefined) return readJudgedQueries(gateQueries, gateQrels)
  throw new ReembedError('USAGE', '--gate-queries and --gate-qrels go together')
}

const uniqueIds = (documents: readonly Document[]): Map<string, Document> =>
  new Map(documents.filter(({ text }) => text.trim() !== '').map(document => [document.id, document]))

/** The documents that answer queries and are not in the sample, read from the corpus where the current version has them. */
async function answersOf(
  store: Store,
  before: Manifest,
  recipe: Recipe,
  {
    answers,
    sampled,
    located,
    flags,
  }: {
    readonly answers: ReadonlySet<string>
    readonly sampled: ReadonlyMap<string, Document>
    readonly located: ReadonlyMap<string, number>
    readonly flags: Flags
  },
): Promise<Document[]> {
  const wanted = [...answers]
    .filter(id => !sampled.has(id))
    .flatMap(id => {
      const shard = located.get(id)
      return shard === undefined ? [] : [{ id, score: 0, shard }]
    })
  if (wanted.length > ANSWERS) {
    note(`note: ${count(ANSWERS)} of ${count(wanted.length)} documents that answer queries are looked at`)
  }
  const plan: Plan = { ...(await requirePlan(store, before.run)), recipe }
  try {
    const texts = await textsOf(wanted.slice(0, ANSWERS), store, plan, s3OptionsOf(flags))
    return Array.from(texts, ([id, text]) => ({
      kind: 'document',
      id,
      text,
      position: { part: 0, offset: 0 },
    }))
  } catch (error) {
    note(`note: queries are asked of the sample alone, their answers can't be read: ${messageOf(error)}`)
    return []
  }
}

async function embedAll(
  endpoint: Endpoint,
  documents: readonly Document[],
  recipe: Recipe,
): Promise<{ rows: Rows; refused: number; tokens: number | null }> {
  const { dimensions, maxConcurrentRequests } = endpoint.info
  await using limiter = createLimiter({ max: Math.max(1, PERMIT_SHARE * maxConcurrentRequests) })
  const ids: string[] = []
  const vectors = new Float32Array(documents.length * recipe.model.dimensions)
  let refused = 0
  let tokens: number | null = 0
  for await (const window of embed(documents, { endpoint, limiter, prompt: recipe.prompt })) {
    const cut = truncateVectors(window.vectors.slice(0, window.documents.length * dimensions), recipe)
    vectors.set(cut, ids.length * recipe.model.dimensions)
    ids.push(...window.documents.map(({ id }) => id))
    refused += window.rejects.length
    tokens = tokens === null || window.tokens === null ? null : tokens + window.tokens
    window.release()
  }
  const { dimensions: kept } = recipe.model
  return { rows: { ids, vectors: vectors.slice(0, ids.length * kept), dimensions: kept }, refused, tokens }
}

interface Scored {
  readonly summary: Readonly<Record<string, { readonly before: number | null; readonly after: number }>>
  readonly lines: [string, string][]
}

/** How well both models answer the queries within the sample. The current one's vectors of them lie with its run. */
async function scoresOf(
  store: Store,
  before: Manifest,
  {
    queries,
    flags,
    endpoint,
    recipe,
    then,
    after,
  }: {
    readonly queries: readonly Query[]
    readonly flags: Flags
    readonly endpoint: Endpoint
    readonly recipe: Recipe
    readonly then: Rows
    readonly after: Rows
  },
): Promise<Scored | undefined> {
  if (queries.length === 0) return undefined
  const cutoffs = [flags.top]
  const asked = await embedQueries(queries, flags.queryPrompt ?? '', endpoint, recipe)
  const now = await evaluateRows(asked, after, cutoffs)
  const { evaluation } = await requirePlan(store, before.run)
  const comparable = evaluation?.sha256 === hashOfQueries(queries)
  const was = comparable ? await evaluateRows(await readQueries(store, before.run), then, cutoffs) : {}
  const names = Object.keys(now)
  return {
    summary: Object.fromEntries(
      names.map(name => [name, { before: was[name] ? mean(was[name]) : null, after: mean(now[name] ?? []) }]),
    ),
    lines: names.map(name => [name, describeScore(name, was, now, before.run)]),
  }
}

function describeScore(name: string, was: Scores, now: Scores, run: string): string {
  const [theirs, own = []] = [was[name], now[name]]
  const figure = `${fixed(mean(own))} over ${count(own.length)} queries within the sample`
  if (theirs === undefined) return `${figure}; run ${run} was planned without these queries`
  const { drop, low, high } = pairedDrop(theirs, own)
  return `${figure}, the current version has ${fixed(mean(theirs))}: a drop of ${fixed(drop)} (95 % interval ${fixed(low)} to ${fixed(high)})`
}

const fixed = (value: number): string => value.toFixed(3)
