// The key of each option in reembed.yaml. A new option needs one line here or in FLAG_ONLY_OPTIONS;
// the schema, the editor's schema and `reembed config` are derived from the option.

import type { Command, Option } from 'commander'

export const DEFAULT_FILE = 'reembed.yaml'

export const CONFIG_KEYS: Readonly<Record<string, string>> = {
  source: 'source.uri',
  format: 'source.format',
  csv: 'source.csv',
  id: 'source.id',
  text: 'source.text',
  template: 'source.template',
  carry: 'source.carry',
  chunk: 'source.chunk',
  chunkTokens: 'source.chunk_tokens',
  chunkOverlap: 'source.chunk_overlap',
  chunkContext: 'source.chunk_context',
  tokenizer: 'model.tokenizer',

  model: 'model.id',
  revision: 'model.revision',
  prompt: 'model.prompt',
  promptName: 'model.prompt_name',
  queryPrompt: 'model.query_prompt',
  truncate: 'model.truncate',

  endpoint: 'endpoint.url',
  whenDone: 'endpoint.when_done',
  allowInsecure: 'endpoint.allow_insecure',
  endpointLimits: 'endpoint.limits',
  awaitEndpoint: 'endpoint.await',

  redis: 'queue.redis',
  queue: 'queue.name',
  insecureRedis: 'queue.insecure_redis',

  output: 'output.uri',
  documentsPerShard: 'output.documents_per_shard',
  dimensions: 'output.dimensions',
  dtype: 'output.dtype',
  includeText: 'output.include_text',
  arrowSchema: 'output.arrow_schema',
  unsafeStore: 'output.unsafe_store',
  reuse: 'output.reuse',

  pricePerHour: 'endpoint.price_per_hour',
  replicas: 'endpoint.replicas',

  layout: 'export.layout',

  maxRejects: 'limits.max_rejects',
  maxTruncated: 'limits.max_truncated',
  gate: 'gates.hold',
  gateQueries: 'gates.queries',
  gateQrels: 'gates.qrels',

  timeout: 'limits.timeout',
  maxCost: 'limits.max_cost',
  maxTokens: 'limits.max_tokens',

  concurrency: 'worker.concurrency',
  drainSeconds: 'worker.drain_seconds',
  giveUpMinutes: 'worker.give_up_minutes',
  sources: 'worker.sources',
  metrics: 'worker.metrics',
  metricsOpen: 'worker.metrics_open',

  hooks: 'producer.hooks',
  hookQuietSeconds: 'producer.hook_quiet_seconds',

  listen: 'console.listen',

  s3Endpoint: 's3.endpoint',
  s3Region: 's3.region',
  s3PathStyle: 's3.path_style',
  s3Checksums: 's3.checksums',
}

/** Options that belong to one call, not to a project. */
export const FLAG_ONLY_OPTIONS: ReadonlySet<string> = new Set([
  'as',
  'atOnce',
  'back',
  'changes',
  'check',
  'config',
  'cpu',
  'cron',
  'delete',
  'documents',
  'explain',
  'force',
  'instance',
  'json',
  'keep',
  'max',
  'min',
  'name',
  'olderThan',
  'part',
  'quantize',
  'queries',
  'reason',
  'record',
  'region',
  'rejects',
  'reuseFrom',
  'run',
  'sample',
  'schema',
  'seconds',
  'showText',
  'since',
  'sinks',
  'skipRefused',
  'sleepMinutes',
  'store',
  'texts',
  'timezone',
  'to',
  'tokens',
  'top',
  'update',
  'vectors',
  'version',
  'wait',
  'watch',
  'when',
])

/** Secrets have no flag. A value in the file sets the variable, unless it is set. */
export const SECRETS: readonly { readonly key: string; readonly variable: string }[] = [
  { key: 'endpoint.token', variable: 'REEMBED_ENDPOINT_TOKEN' },
  { key: 'producer.hook_secret', variable: 'REEMBED_HOOK_SECRET' },
  { key: 'worker.metrics_token', variable: 'REEMBED_METRICS_TOKEN' },
  { key: 'console.token', variable: 'REEMBED_CONSOLE_TOKEN' },
  { key: 'console.actions_token', variable: 'REEMBED_CONSOLE_ACTIONS_TOKEN' },
]

/** Paths in the file are relative to its folder; URLs are not changed. */
export const PATH_KEYS: ReadonlySet<string> = new Set([
  'source.uri',
  'output.uri',
  'model.tokenizer',
  'gates.queries',
  'gates.qrels',
  'worker.sources',
])

/** Options that some commands take once and others several times. The file may have a list. */
const LISTS: ReadonlySet<string> = new Set(['output'])

/**
 * Every option of all commands, once, by its name in code ('maxRejects'). Where commands differ,
 * the variadic form is taken for `LISTS`, else the single one.
 */
export function optionsOf(program: Command): Map<string, Option> {
  const found = new Map<string, Option>()
  const walk = (command: Command): void => {
    for (const option of command.options) {
      const name = option.attributeName()
      if (!found.has(name) || option.variadic === LISTS.has(name)) found.set(name, option)
    }
    for (const inner of command.commands) walk(inner)
  }
  walk(program)
  return found
}
