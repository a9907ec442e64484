// The options that commands share, each declared once. A flag overrides its environment variable.
// Secrets have no flag: a command line is visible to every user of a machine.

import type { EndpointLimits } from '@reembed/endpoint'
import { type CsvDialect, type Dtype, FORMATS, type Format, parseCsvDialect } from '@reembed/protocol'
import { messageOf } from '@reembed/shared'
import { type Command, InvalidArgumentError, Option } from 'commander'

export interface S3Flags {
  readonly s3Endpoint?: string
  readonly s3Region?: string
  readonly s3PathStyle?: boolean
  readonly s3Checksums?: 'when_required' | 'when_supported'
}

export interface EndpointFlags {
  readonly endpoint?: string
  readonly model?: string
  readonly revision?: string
  readonly allowInsecure?: boolean
  readonly endpointLimits?: EndpointLimits
}

/** The budget of a run, and the price that its cost is computed from. */
export interface SpendingFlags {
  readonly pricePerHour?: number
  readonly replicas?: number
  readonly maxCost?: number
  readonly maxTokens?: number
}

export interface CorpusFlags extends EndpointFlags, S3Flags, SpendingFlags {
  readonly source: string
  readonly format?: Format
  readonly csv?: CsvDialect
  readonly id?: string
  readonly text?: string
  readonly template?: string
  readonly carry?: readonly string[]
  readonly chunk: boolean
  readonly chunkTokens?: number
  readonly chunkOverlap?: number
  readonly chunkContext?: boolean
  /** What will load the run, as reembed.yaml names it: a layout, or URLs of vector stores. */
  readonly consumers?: readonly string[]
  readonly tokenizer?: string
  readonly prompt: string
  readonly promptName?: string
  readonly truncate: boolean
  readonly documentsPerShard?: number
  readonly maxRejects?: string
  readonly maxTruncated?: string
  readonly dimensions?: number
  readonly dtype?: Dtype
  readonly includeText?: boolean
  readonly gate?: readonly string[]
  readonly gateQueries?: string
  readonly gateQrels?: string
  readonly queryPrompt?: string
  readonly arrowSchema?: boolean
  readonly reuse: boolean
  readonly reuseFrom?: string
  readonly awaitEndpoint?: boolean
}

export interface OutputFlags extends S3Flags {
  readonly output: string
  readonly unsafeStore?: boolean
}

export interface RedisFlags {
  readonly redis?: string
  readonly queue?: string
  readonly insecureRedis?: boolean
}

export interface WorkerFlags {
  readonly concurrency: number
}

export interface MetricsFlags {
  readonly metrics?: string
  readonly metricsOpen?: boolean
}

export interface JsonFlag {
  readonly json?: boolean
}

export function add(command: Command, options: readonly Option[]): Command {
  for (const one of options) command.addOption(one)
  return command
}

const wholeFrom =
  (least: 0 | 1) =>
  (value: string): number => {
    if (/^(0|[1-9]\d{0,14})$/.test(value) && Number(value) >= least) return Number(value)
    throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`)
  }
export const positive: (value: string) => number = wholeFrom(1)
export const zeroOrMore: (value: string) => number = wholeFrom(0)

/**
 * A parser that changes nothing: options with a parser may be numbers in the config file, such as a
 * port.
 */
const address = (value: string): string => value

/** A price or a time: a number above 0. */
export function amount(value: string): number {
  const number = Number(value)
  if (/^\d+(\.\d+)?$/.test(value) && number > 0) return number
  throw new InvalidArgumentError('Expected a number above 0.')
}

/** '1,8,32': whole numbers of at least 1. */
export const positives = (value: string): number[] => value.split(',').map(one => positive(one.trim()))

/** A count like '20' or a share like '1%'. */
export function rejectLimit(value: string): string {
  if (/^\d+(\.\d+)?%?$/.test(value.trim())) return value.trim()
  throw new InvalidArgumentError("Expected a count like '20' or a share like '1%'.")
}

/** A dialect like 'separator=semicolon quote=none'. */
export const csvDialect = (value: string): CsvDialect => {
  try {
    return parseCsvDialect(value)
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error))
  }
}

const LIMIT_KEYS: Readonly<Record<string, keyof EndpointLimits>> = {
  inputs: 'inputs',
  tokens: 'requestTokens',
  text: 'textTokens',
}

/** Limits like 'inputs=10,tokens=8000,text=512'. */
export function endpointLimits(value: string): EndpointLimits {
  const pairs = value.split(/[\s,]+/).map(pair => pair.split('='))
  const limits = pairs.map(([name = '', count = '']) => [LIMIT_KEYS[name], Number(count)] as const)
  if (limits.every(([key, count]) => key !== undefined && Number.isSafeInteger(count) && count > 0))
    return Object.fromEntries(limits)
  throw new InvalidArgumentError("Expected limits like 'inputs=10,tokens=8000,text=512'.")
}

/** A share of the text like '1%'. */
export function textShare(value: string): string {
  if (/^\d+(\.\d+)?%$/.test(value.trim()) && Number.parseFloat(value) <= 100) return value.trim()
  throw new InvalidArgumentError("Expected a share like '1%'.")
}

/** A share like '1%' or a count like '2000'. */
export function sampleSize(value: string): string {
  const [, share, size] = /^(?:(\d+(?:\.\d+)?)%|([1-9]\d{0,14}))$/.exec(value.trim()) ?? []
  if (size !== undefined || (Number(share) > 0 && Number(share) <= 100)) return value.trim()
  throw new InvalidArgumentError("Expected a share like '1%' or a count like '2000'.")
}

/** Repeating the flag equals a list with commas. */
export const repeated = (value: string, before: unknown): string =>
  typeof before === 'string' ? `${before},${value}` : value

/** Not every shell lets a user type a line break inside a quoted argument. */
const unescaped = (value: string): string => value.replaceAll('\\n', '\n').replaceAll('\\t', '\t')

const source = new Option(
  '--source <url>',
  'read the corpus from this folder, file, glob or URL (s3://, hf://, postgres://…?table=, qdrant+https://…?collection=)',
).env('REEMBED_SOURCE')
const outputOption = new Option('--output <url>', 'keep the vectors in this folder or s3:// URL').env(
  'REEMBED_OUTPUT',
)

export const optionalSource: Option = source
export const optionalOutput: Option = outputOption

const REQUIRED = new WeakSet<Option>()

/** Whether a command requires this option; program.ts reports it when it is missing. */
export const isRequired = (option: Option): boolean => REQUIRED.has(option)

function required(option: Option): Option {
  const copy = new Option(option.flags, option.description)
  if (option.envVar) copy.env(option.envVar)
  if (option.argChoices) copy.choices(option.argChoices)
  if (option.parseArg) copy.argParser(option.parseArg)
  REQUIRED.add(copy)
  return copy
}

/** A copy of the option that is not required. */
export const optional = (option: Option): Option =>
  Object.assign(new Option(option.flags, option.description), option)

export const config: Option = new Option(
  '--config <file>',
  'read values from this file; flags and variables override them (default: reembed.yaml, if it exists)',
).env('REEMBED_CONFIG')

export const timeout: Option = new Option(
  '--timeout <seconds>',
  'wait this long for a reply of Redis, a store, the Hub or the endpoint, then fail',
)
  .default(60)
  .argParser(amount)
  .env('REEMBED_TIMEOUT')

export const maxTruncated: Option = new Option(
  '--max-truncated <share>',
  "publish only if the model read all of the text but this share, like '1%' (default: any share, with a warning)",
).argParser(textShare)

export const corpus: readonly Option[] = [
  required(source),
  new Option('--format <format>', 'read every object in this format, whatever its extension').choices(
    FORMATS,
  ),
  new Option(
    '--csv <dialect>',
    "read CSV and TSV in this dialect, like 'separator=semicolon quote=none escape=backslash header=no' (default: found for each object; TSV has no quotes)",
  ).argParser(csvDialect),
  new Option(
    '--id <field>',
    'take the id from this field or path (default: the first of id, _id, doc_id, docid)',
  ),
  new Option(
    '--text <field>',
    'take the text from this field or path (default: the first of text, content, contents, body, passage)',
  ),
  new Option(
    '--template <template>',
    "build the text from several fields, like '{{ title }}\\n\\n{{ text }}'; \\n is a line break",
  ).argParser(unescaped),
  new Option(
    '--chunk-tokens <n>',
    "split documents into chunks of at most n of the model's tokens (default: text and Markdown files over the model's limit are split at the limit)",
  ).argParser(positive),
  new Option('--no-chunk', 'embed long files as one document each; the model reads only their beginning'),
  new Option('--chunk-overlap <n>', 'repeat the last n tokens of a chunk in the next').argParser(positive),
  new Option('--chunk-context', 'put the title and the headings above a chunk in front of its text'),
  new Option(
    '--tokenizer <file>',
    'count tokens with this tokenizer.json of the model (default: that of the local model, else that of the model on the Hub, else measured at the endpoint)',
  ),
  new Option(
    '--carry <field...>',
    "copy these fields into columns of the shards, like 'lang', 'year:int32' or 'language=lang' under another name; a value that does not fit becomes null, or rejects its document with 'year:int32!'",
  ),
  new Option('--prompt <text>', 'add this text before each document, as the model card requires').default(''),
  new Option(
    '--prompt-name <name>',
    "put the prompt with this name from the model's config_sentence_transformers.json before each document",
  ),
  new Option('--no-truncate', 'reject documents over the limit of the model instead of truncating them'),
  new Option('--documents-per-shard <n>', 'put about n documents into each shard').argParser(positive),
  new Option(
    '--dimensions <n>',
    'keep the first n dimensions of each vector and normalise it again; for Matryoshka models',
  ).argParser(positive),
  new Option('--dtype <type>', 'store vectors in this type').choices(['float32', 'float16']),
  new Option('--include-text', "store each document's text in the shards"),
  new Option('--arrow-schema', 'write ARROW:schema, so that Arrow reads vectors as fixed-size lists'),
  new Option('--no-reuse', 'embed every text, also texts that did not change since the current version'),
  new Option('--reuse-from <run>', 'reuse vectors of this run instead of the current version'),
  new Option(
    '--max-rejects <limit>',
    "publish with at most this many rejects, like '20' or '5%' (default: 1%)",
  ).argParser(rejectLimit),
  maxTruncated,
]

const unsafeStore = new Option(
  '--unsafe-store',
  'allow a store without conditional writes; safe with a single worker only',
)

export const output: readonly Option[] = [required(outputOption), unsafeStore]

export const outputs: readonly Option[] = [
  required(
    new Option('--output <url...>', 'serve these outputs and all outputs below them').env('REEMBED_OUTPUT'),
  ),
  unsafeStore,
]

export const sources: Option = new Option(
  '--sources <url...>',
  'read only corpora in these places (default: all that plans name, but no local folder for an output in S3)',
).env('REEMBED_SOURCES')

export const sinks: Option = new Option(
  '--sinks <url...>',
  'also load runs into these vector stores, as `reembed load` asks (default: the sinks of reembed.yaml)',
).env('REEMBED_SINKS')

export const optionalOutputs: readonly Option[] = [
  new Option('--output <url...>', 'export metrics of the runs in these outputs').env('REEMBED_OUTPUT'),
]

export const consoleOptions: readonly Option[] = [
  required(new Option('--output <url...>', 'show the runs in these outputs').env('REEMBED_OUTPUT')),
  new Option(
    '--listen <address>',
    'serve the pages on this loopback port, or on host:port with the token in REEMBED_CONSOLE_TOKEN',
  )
    .default('9467')
    .argParser(address)
    .env('REEMBED_CONSOLE'),
  new Option('--endpoint <url...>', 'embed searched texts with these servers, one for each model').env(
    'REEMBED_ENDPOINT',
  ),
]

export const endpoint: readonly Option[] = [
  new Option(
    '--endpoint <url>',
    'embed with this TEI or OpenAI-compatible server: a URL, several with commas, dns+http://name for all addresses ' +
      'of a name, or hf:namespace/name; set the token in REEMBED_ENDPOINT_TOKEN, or HF_TOKEN for a host of Hugging Face',
  )
    .env('REEMBED_ENDPOINT')
    .argParser(repeated),
  new Option(
    '--model <name>',
    "set the name of the endpoint's model if it does not report one; without --endpoint, run this model folder or Hub id here",
  ).env('REEMBED_MODEL'),
  new Option(
    '--revision <revision>',
    "set the model's exact revision if the endpoint does not report it",
  ).env('REEMBED_REVISION'),
  new Option('--allow-insecure', 'send the token over plain http'),
  new Option(
    '--endpoint-limits <limits>',
    "send at most this much, like 'inputs=10,tokens=8000,text=512': texts of a request, tokens of a request, tokens of a text " +
      '(default: what the server states, else what it accepts)',
  ).argParser(endpointLimits),
]

/** For commands that need an endpoint and do not start one. */
export const requiredEndpoint: readonly Option[] = endpoint.map(one =>
  one.attributeName() === 'endpoint' ? required(one) : one,
)

export const whenDone: Option = new Option(
  '--when-done <what>',
  'keep, sleep or pause an hf: endpoint after the last shard; with keep it scales to zero when idle',
)
  .choices(['keep', 'sleep', 'pause'])
  .default('keep')

export const rejects: Option = required(
  new Option('--rejects', 'retry the rejects of the run (required: nothing else can be retried)'),
)

export const price: readonly Option[] = [
  new Option(
    '--price-per-hour <dollars>',
    'compute the cost from this price of one replica (default for hf: endpoints: the list price)',
  ).argParser(amount),
  new Option(
    '--replicas <n>',
    'compute the cost for n replicas (default: 1; for hf: endpoints, the running ones)',
  ).argParser(positive),
]

export const budgetOptions: readonly Option[] = [
  new Option(
    '--max-cost <dollars>',
    'pause the run when the endpoint cost reaches this amount; completed shards are kept',
  ).argParser(amount),
  new Option(
    '--max-tokens <n>',
    'pause the run when n tokens are embedded; completed shards are kept',
  ).argParser(positive),
]

export const queryPrompt: Option = new Option(
  '--query-prompt <text>',
  'add this text before each query, as the model card requires (search: the one of the run by default)',
).default('')

/** Queries with judgements, for gates and evaluations. */
export const judgedQueries: readonly Option[] = [
  new Option(
    '--gate-queries <file>',
    'evaluate recall and ndcg gates with the queries of this JSONL file or s3:// object (id or _id, text)',
  ),
  new Option(
    '--gate-qrels <file>',
    'read the judgements of the queries from this TSV file or s3:// object (query-id, corpus-id, score)',
  ),
]

/** Conditions that a run must meet before it is published. */
export const gates: readonly Option[] = [
  new Option(
    '--gate <gate...>',
    "publish only if these conditions hold: 'recall@10 drop 0.02', 'ndcg@10 min 0.4', 'overlap@10 min 0.3', 'rows drop 5%', 'rejects max 1%'",
  ),
  ...judgedQueries,
  queryPrompt,
]

/** The price and the budget of a run. */
export const spending: readonly Option[] = [...price, ...budgetOptions]

export const redis: readonly Option[] = [
  new Option('--redis <url>', 'use the queue in this Redis: redis://host:6379, or rediss:// with TLS').env(
    'REDIS_URL',
  ),
  new Option(
    '--queue <name>',
    'use the queue of this name: its workers, jobs and progress (default: embed)',
  ).env('REEMBED_QUEUE'),
  new Option('--insecure-redis', 'allow a Redis on another machine without password or TLS').env(
    'REEMBED_INSECURE_REDIS',
  ),
]

export const worker: readonly Option[] = [
  new Option('--concurrency <n>', 'process n jobs at the same time')
    .default(4)
    .argParser(positive)
    .env('REEMBED_CONCURRENCY'),
]

export const drain: Option = new Option(
  '--drain-seconds <n>',
  'wait this many seconds after SIGTERM for jobs in flight',
)
  .default(25)
  .argParser(positive)
  .env('REEMBED_DRAIN_SECONDS')

export const awaitEndpoint: Option = new Option(
  '--await-endpoint',
  'wait up to 15 minutes for an address without a server, and let an autoscaler start one',
).env('REEMBED_AWAIT_ENDPOINT')

export const giveUp: Option = new Option(
  '--give-up-minutes <n>',
  'exit with an error after n minutes without a job because of a wrong key, right, model or address',
)
  .default(15)
  .argParser(amount)
  .env('REEMBED_GIVE_UP_MINUTES')

export const metrics: readonly Option[] = [
  new Option(
    '--metrics <address>',
    'serve /metrics, /live and /ready on this loopback port, or on host:port with the token in REEMBED_METRICS_TOKEN',
  )
    .argParser(address)
    .env('REEMBED_METRICS'),
  new Option(
    '--metrics-open',
    'serve /metrics without authentication; restrict access with a NetworkPolicy',
  ).env('REEMBED_METRICS_OPEN'),
]

export const hooks: readonly Option[] = [
  new Option(
    '--hooks <address>',
    'accept POST /hooks/huggingface, mlflow and generic on this loopback port, or on host:port; set the secret in REEMBED_HOOK_SECRET',
  )
    .argParser(address)
    .env('REEMBED_HOOKS'),
  new Option('--hook-quiet-seconds <n>', 'plan after n seconds without another hook')
    .default(30)
    .argParser(positive),
]

export const schedule: readonly Option[] = [
  required(new Option('--cron <expression>', "run at these times: five fields, like '0 3 * * *'")),
  new Option('--timezone <zone>', 'read the times in this time zone, like Europe/Berlin').default('UTC'),
  new Option('--when <condition>', 'run only if this changed since the newest run')
    .choices(['always', 'model_changed', 'source_changed'])
    .default('always'),
]

export const scale: readonly Option[] = [
  new Option('--min <n>', 'keep at least n replicas running').argParser(zeroOrMore),
  new Option('--max <n>', 'run at most n replicas').argParser(positive),
  new Option('--sleep-minutes <n>', 'scale to zero after n minutes without requests (at least 15)').argParser(
    positive,
  ),
]

export const deploy: readonly Option[] = [
  required(new Option('--as <endpoint>', 'give the endpoint this name, hf:namespace/name')),
  required(
    new Option('--instance <instance>', 'use this hardware of `reembed endpoint price`, like nvidia-a10g-x1'),
  ),
  new Option('--region <region>', 'run in this region').default('aws/us-east-1'),
  new Option(
    '--revision <revision>',
    'serve this commit, branch or tag of the model, fixed at its current commit (default: main)',
  ),
  new Option('--cpu', 'use an instance without GPU'),
  new Option('--max <n>', 'run at most n replicas').default(1).argParser(positive),
  new Option('--sleep-minutes <n>', 'scale to zero after n minutes without requests (at least 15)')
    .default(15)
    .argParser(positive),
  new Option('--wait', 'wait until the endpoint answers'),
]

export const s3: readonly Option[] = [
  new Option('--s3-endpoint <url>', 'use this S3-compatible server').env('AWS_ENDPOINT_URL_S3'),
  new Option('--s3-region <region>', 'use this region of the bucket').env('AWS_REGION'),
  new Option('--no-s3-path-style', 'address buckets by host name, also on --s3-endpoint'),
  new Option('--s3-checksums <when>', 'send checksums in these cases').choices([
    'when_required',
    'when_supported',
  ]),
]

export const exported: readonly Option[] = [
  required(
    new Option(
      '--layout <layout>',
      'write the files in the layout that this database or library loads',
    ).choices(
      'hf pinecone pinecone-documents milvus lance pgvector elasticsearch elasticsearch-base64 vespa npy arrow'.split(
        ' ',
      ),
    ),
  ),
  new Option(
    '--to <url>',
    'write to this empty folder or s3:// URL (default: <output>/exports/<run>/<layout>)',
  ),
  new Option(
    '--quantize <types>',
    "also write quantized vectors, in addition to the float32 ones: 'int8', 'ubinary' or both with a comma",
  ).argParser(quantizations),
  new Option('--name <name>', 'set the name of the table, collection, index, namespace or document type'),
  new Option(
    '--since <version>',
    'only write rows that were added or changed since this version or run, and the ids to delete first',
  ),
  new Option('--skip-refused', 'leave out rows that the database cannot store, and list them in refused/'),
]

export const vectorStore: readonly Option[] = [
  required(
    new Option(
      '--to <url>',
      'use this vector store: postgres://user@host/database, lancedb:./folder, qdrant+https://host, milvus+https://host, elasticsearch+https://host, opensearch+https://host',
    ),
  ),
  new Option(
    '--name <name>',
    "set the name that searches use: a view or an alias (default: 'embeddings'); the run has a table of its own",
  ),
]

export const keep: Option = new Option(
  '--keep <n>',
  "delete what searches used before, except the newest n (default: 'keep' of this store in reembed.yaml)",
).argParser(wholeFrom(0))

export const examinedStore: Option = new Option(
  '--store <url>',
  'examine the vectors of an index of any vector store: postgres://user@host/database?table=docs, …',
)

export const update: Option = new Option(
  '--update',
  'write only what changed since the version that searches use, in its place, if the recipe is the same',
)

function quantizations(value: string): string[] {
  const types = value.split(',').map(type => type.trim())
  if (types.every(type => type === 'int8' || type === 'ubinary')) return [...new Set(types)]
  throw new InvalidArgumentError("Expected 'int8', 'ubinary' or 'int8,ubinary'.")
}

/** Recorded with the decision, the user and the time. */
export const reason: Option = new Option('--reason <text>', 'record why')

export const json: Option = new Option('--json', 'print one JSON document')
