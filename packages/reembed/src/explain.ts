// Adds to a library error the flag that sets the option at fault, or the command that helps.

import { messageOf, ReembedError } from '@reembed/shared'

/** Flags by the option that an error names. */
const FLAGS: Readonly<Record<string, string>> = {
  allowInsecure: '--allow-insecure',
  'chunking.maxTokens': '--chunk-tokens',
  console: '--listen',
  'console.token': 'REEMBED_CONSOLE_TOKEN',
  csv: '--csv',
  endpoint: '--endpoint',
  'endpoint.region': '--instance, --region; `reembed endpoint price` lists them',
  'fields.carry': '--carry',
  'fields.id': '--id',
  'fields.template': '--template',
  'fields.text': '--text',
  format: '--format',
  'gates.queries': '--gate-queries, --gate-qrels',
  hooks: '--hooks',
  keep: '--keep',
  'log.level': 'REEMBED_LOG',
  maxTruncated: '--max-truncated',
  metrics: '--metrics',
  name: '--name',
  'metrics.allowUnauthenticated': 'REEMBED_METRICS_TOKEN, --metrics-open',
  output: '--output',
  part: '--part',
  prompt: '--prompt',
  promptName: '--prompt, --prompt-name',
  quantize: '--quantize',
  redis: '--redis',
  'redis.insecure': '--insecure-redis',
  queue: '--queue',
  sample: '--sample, --top; `reembed plan` shows tokens, time and cost',
  since: '--since',
  skipRefused: '--skip-refused',
  source: '--source',
  'spending.pricePerHour': '--price-per-hour',
  store: '--store',
  target: '--to',
  timeout: '--timeout',
  tokenizer: '--tokenizer',
  unsafe: '--unsafe-store',
  update: '--update',
  'worker.sources': '--sources',
  'vectors.dimensions': '--dimensions',
}

/** Commands by the reason of an error. */
const COMMANDS: Readonly<Record<string, string>> = {
  budget_exceeded: '--max-cost, --max-tokens',
  endpoint_paused: '`reembed endpoint resume` starts it',
  nothing_published: '`reembed status` shows its newest run',
  run_deleting: '`reembed gc --delete` completes or cancels the deletion',
  run_not_finished: '`reembed status` shows its progress',
  run_not_loaded: '`reembed load` loads it',
  run_not_found: '`reembed ls` lists its runs',
  run_paused: '`reembed resume` continues it',
  shard_missing: '`reembed run` writes it again',
}

/** The message of anything thrown, with the flag or the command that corrects it. */
export function explain(error: unknown): string {
  const message = messageOf(error)
  if (!(error instanceof ReembedError)) return message
  const { option, reason } = error
  const hint = (option && FLAGS[option]) ?? (reason && COMMANDS[reason])
  return hint === undefined || hint === '' ? message : `${message} (${hint})`
}
