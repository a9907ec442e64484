// The options that commands share, each declared once. A flag wins over its environment variable.
// Secrets have no flag: a command line is visible to every user of a machine.

import { type Dtype, FORMATS, type Format } from '@reembed/protocol'
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
}

/** What a run may cost, and how that is reckoned. */
export interface SpendingFlags {
  readonly pricePerHour?: number
  readonly replicas?: number
  readonly maxCost?: number
  readonly maxTokens?: number
}

export interface CorpusFlags extends EndpointFlags, S3Flags, SpendingFlags {
  readonly source: string
  readonly format?: Format
  readonly id?: string
  readonly text?: string
  readonly template?: string
  readonly carry?: readonly string[]
  readonly chunkTokens?: number
  readonly chunkOverlap?: number
  readonly tokenizer?: string
  readonly prompt: string
  readonly promptName?: string
  readonly truncate: boolean
  readonly documentsPerShard?: number
  readonly maxRejects: string
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
}

export interface OutputFlags extends S3Flags {
  readonly output: string
  readonly unsafeStore?: boolean
}

export interface RedisFlags {
  readonly redis?: string
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

/** A port alone may be a number in the file. */
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

/** A share like '1%' or a count like '2000'. */
export function sampleSize(value: string): string {
  const [, share, size] = /^(?:(\d+(?:\.\d+)?)%|([1-9]\d{0,14}))$/.exec(value.trim()) ?? []
  if (size !== undefined || (Number(share) > 0 && Number(share) <= 100)) return value.trim()
  throw new InvalidArgumentError("Expected a share like '1%' or a count like '2000'.")
}

/** Given several times is the same as a list with commas. */
export const repeated = (value: string, before: unknown): string =>
  typeof before === 'string' ? `${before},${value}` : value

/** A line break can't be typed inside a quoted argument of every shell. */
const unescaped = (value: string): string => value.replaceAll('\\n', '\n').replaceAll('\\t', '\t')

const source = new Option('--source <url>', 'folder, file or s3:// URL of the corpus').env('REEMBED_SOURCE')
const outputOption = new Option('--output <url>', 'folder or s3:// URL for the vectors').env('REEMBED_OUTPUT')

export const optionalSource: Option = source
export const optionalOutput: Option = outputOption

const REQUIRED = new WeakSet<Option>()

/**
 * Whether a command cannot do without this option; program.ts asks for it after the misspelt ones.
 */
export const isRequired = (option: Option): boolean => REQUIRED.has(option)

function required(option: Option): Option {
  const copy = new Option(option.flags, option.description)
  if (option.envVar) copy.env(option.envVar)
  if (option.argChoices) copy.choices(option.argChoices)
  if (option.parseArg) copy.argParser(option.parseArg)
  REQUIRED.add(copy)
  return copy
}

/** The same option where it may be left out. */
export const optional = (option: Option): Option =>
  Object.assign(new Option(option.flags, option.description), option)

export const config: Option = new Option(
  '--config <file>',
  'values for options that neither a flag nor a variable gives (default: reembed.yaml, if there is one)',
).env('REEMBED_CONFIG')

export const corpus: readonly Option[] = [
  required(source),
  new Option('--format <format>', 'read every object as this, whatever its extension').choices(FORMATS),
  new Option('--id <field>', 'field of the id, or its path (default: first of id, _id, doc_id, docid)'),
  new Option(
    '--text <field>',
    'field of the text (default: first of text, content, contents, body, passage)',
  ),
  new Option(
    '--template <template>',
    "make the text of several fields, '{{ title }}\\n\\n{{ text }}'; \\n is a line break",
  ).argParser(unescaped),
  new Option(
    '--chunk-tokens <n>',
    "cut documents into chunks of at most so many of the model's tokens",
  ).argParser(positive),
  new Option('--chunk-overlap <n>', 'tokens that a chunk repeats of the one before it').argParser(positive),
  new Option(
    '--tokenizer <file>',
    "the model's tokenizer.json, for --chunk-tokens (default: that of a --model folder)",
  ),
  new Option('--carry <field...>', "fields that become columns of the shards, 'lang' or 'year:int32'"),
  new Option('--prompt <text>', "put in front of each document's text, as the model card asks").default(''),
  new Option(
    '--prompt-name <name>',
    'the same by its name in the config_sentence_transformers.json of the model',
  ),
  new Option('--no-truncate', 'reject documents over the limit of the model instead of cutting them'),
  new Option('--documents-per-shard <n>', 'documents a shard shall have, about').argParser(positive),
  new Option(
    '--dimensions <n>',
    'keep the first n dimensions of each vector, normalised again; for models trained for it (Matryoshka)',
  ).argParser(positive),
  new Option('--dtype <type>', 'how vectors are stored').choices(['float32', 'float16']),
  new Option('--include-text', "keep each document's text in the shards"),
  new Option('--arrow-schema', "tell Arrow's readers that vectors are of fixed size (ARROW:schema)"),
  new Option('--no-reuse', 'embed everything anew, also what did not change since the current version'),
  new Option('--reuse-from <run>', 'take unchanged vectors from this run instead of the current version'),
  new Option('--max-rejects <limit>', "publish with at most this many rejects, '20' or '1%'")
    .default('1%')
    .argParser(rejectLimit),
]

const unsafeStore = new Option(
  '--unsafe-store',
  'use a store without conditional writes; only ever with a single worker',
)

export const output: readonly Option[] = [required(outputOption), unsafeStore]

export const outputs: readonly Option[] = [
  required(new Option('--output <url...>', 'outputs to serve, each with all below it').env('REEMBED_OUTPUT')),
  unsafeStore,
]

export const optionalOutputs: readonly Option[] = [
  new Option('--output <url...>', 'outputs whose runs to look at').env('REEMBED_OUTPUT'),
]

export const endpoint: readonly Option[] = [
  new Option(
    '--endpoint <url>',
    'TEI or OpenAI-compatible server; replicas as a list with commas, or dns+http://name for all addresses of a name; ' +
      'or hf:namespace/name; token in REEMBED_ENDPOINT_TOKEN or HF_TOKEN',
  )
    .env('REEMBED_ENDPOINT')
    .argParser(repeated),
  new Option(
    '--model <name>',
    "the endpoint's model where it does not say; without --endpoint a model folder or Hub id to run here",
  ).env('REEMBED_MODEL'),
  new Option('--revision <revision>', "the model's exact revision, where the endpoint does not say").env(
    'REEMBED_REVISION',
  ),
  new Option('--allow-insecure', 'send the token over plain http'),
]

/** For commands that are about an endpoint and start none. */
export const requiredEndpoint: readonly Option[] = endpoint.map(one =>
  one.attributeName() === 'endpoint' ? required(one) : one,
)

export const whenDone: Option = new Option(
  '--when-done <what>',
  'what happens to an hf: endpoint after the last shard; keep lets it fall asleep by itself',
)
  .choices(['keep', 'sleep', 'pause'])
  .default('keep')

export const rejects: Option = required(
  new Option('--rejects', 'its rejects are what is tried again; the only thing there is to retry'),
)

export const price: readonly Option[] = [
  new Option(
    '--price-per-hour <dollars>',
    'of one replica of the endpoint (default: what Hugging Face lists, for hf: endpoints)',
  ).argParser(amount),
  new Option(
    '--replicas <n>',
    'replicas that are paid for (default: 1, or what Hugging Face runs)',
  ).argParser(positive),
]

export const budgetOptions: readonly Option[] = [
  new Option(
    '--max-cost <dollars>',
    'stop when the endpoint was used for so much; what is finished is kept',
  ).argParser(amount),
  new Option(
    '--max-tokens <n>',
    'stop when so many tokens were embedded; what is finished is kept',
  ).argParser(positive),
]

export const queryPrompt: Option = new Option(
  '--query-prompt <text>',
  'put in front of queries, as the model card asks (search: that of the run, if none)',
).default('')

/** What a run must show before it is published. */
export const gates: readonly Option[] = [
  new Option(
    '--gate <gate...>',
    "hold back publishing unless: 'recall@10 drop 0.02', 'ndcg@10 min 0.4', 'overlap@10 min 0.3', 'rows drop 5%', 'rejects max 1%'",
  ),
  new Option('--gate-queries <file>', 'JSONL of queries (id or _id, text) that recall and ndcg gates go by'),
  new Option('--gate-qrels <file>', 'their judgements: TSV of query-id, corpus-id, score'),
  queryPrompt,
]

/** What a run may cost. */
export const spending: readonly Option[] = [...price, ...budgetOptions]

export const redis: readonly Option[] = [
  new Option('--redis <url>', 'redis://host:6379, or rediss:// with TLS').env('REDIS_URL'),
  new Option('--insecure-redis', 'use a Redis on another machine without password or TLS').env(
    'REEMBED_INSECURE_REDIS',
  ),
]

export const worker: readonly Option[] = [
  new Option('--concurrency <n>', 'jobs at once').default(4).argParser(positive).env('REEMBED_CONCURRENCY'),
]

export const drain: Option = new Option('--drain-seconds <n>', 'after SIGTERM, time for jobs under way')
  .default(25)
  .argParser(positive)
  .env('REEMBED_DRAIN_SECONDS')

export const metrics: readonly Option[] = [
  new Option(
    '--metrics <address>',
    'serve /metrics, /live and /ready on this port of loopback, or host:port with a token in REEMBED_METRICS_TOKEN',
  )
    .argParser(address)
    .env('REEMBED_METRICS'),
  new Option(
    '--metrics-open',
    'let anybody who reaches --metrics read it, where a NetworkPolicy guards it',
  ).env('REEMBED_METRICS_OPEN'),
]

export const hooks: readonly Option[] = [
  new Option(
    '--hooks <address>',
    'take POST /hooks/huggingface, mlflow and generic on this port of loopback, or host:port; secret in REEMBED_HOOK_SECRET',
  )
    .argParser(address)
    .env('REEMBED_HOOKS'),
  new Option('--hook-quiet-seconds <n>', 'quiet that ends a burst of hooks').default(30).argParser(positive),
]

export const schedule: readonly Option[] = [
  required(new Option('--cron <expression>', "five fields, like '0 3 * * *'")),
  new Option('--timezone <zone>', 'like Europe/Berlin').default('UTC'),
  new Option('--when <condition>', 'what must have changed since the newest run')
    .choices(['always', 'model_changed', 'source_changed'])
    .default('always'),
]

export const scale: readonly Option[] = [
  new Option('--min <n>', 'replicas that never sleep').argParser(zeroOrMore),
  new Option('--max <n>', 'replicas at most').argParser(positive),
  new Option('--sleep-minutes <n>', 'without requests, 15 at least').argParser(positive),
]

export const deploy: readonly Option[] = [
  required(new Option('--as <endpoint>', 'its name to be, hf:namespace/name')),
  required(
    new Option('--instance <instance>', 'hardware, as `reembed endpoint price` lists it: nvidia-a10g-x1'),
  ),
  new Option('--region <region>', 'where').default('aws/us-east-1'),
  new Option(
    '--revision <revision>',
    'commit, branch or tag of the model: what it stands at now is kept; main if none',
  ),
  new Option('--cpu', 'the instance has no GPU'),
  new Option('--max <n>', 'replicas at most').default(1).argParser(positive),
  new Option('--sleep-minutes <n>', 'without requests, 15 at least').default(15).argParser(positive),
  new Option('--wait', 'until it answers'),
]

export const s3: readonly Option[] = [
  new Option('--s3-endpoint <url>', 'any S3-compatible server').env('AWS_ENDPOINT_URL_S3'),
  new Option('--s3-region <region>', 'region of the bucket').env('AWS_REGION'),
  new Option('--no-s3-path-style', 'address buckets by host name on --s3-endpoint too'),
  new Option('--s3-checksums <when>', 'when to send checksums').choices(['when_required', 'when_supported']),
]

export const exported: readonly Option[] = [
  required(
    new Option('--layout <layout>', 'whose files').choices([
      'hf',
      'pinecone',
      'milvus',
      'lance',
      'pgvector',
      'elasticsearch',
      'vespa',
      'npy',
      'arrow',
    ]),
  ),
  new Option('--to <url>', 'empty folder or s3:// URL (default: <output>/exports/<run>/<layout>)'),
  new Option(
    '--quantize <types>',
    "vectors of other types beside the float32 ones: 'int8', 'ubinary' or both with a comma",
  ).argParser(quantizations),
  new Option('--name <name>', 'table, collection, index, namespace or document type'),
]

function quantizations(value: string): string[] {
  const types = value.split(',').map(type => type.trim())
  if (types.every(type => type === 'int8' || type === 'ubinary')) return [...new Set(types)]
  throw new InvalidArgumentError("Expected 'int8', 'ubinary' or 'int8,ubinary'.")
}

export const json: Option = new Option('--json', 'print one JSON document')
