import {
  type BenchmarkResult,
  type BenchmarkSetting,
  benchmarkEndpoint,
  bestResult,
  type Endpoint,
  generateTexts,
  openEndpoint,
} from '@reembed/endpoint'
import { ReembedError } from '@reembed/shared'
import { count, note, print } from '../format.ts'
import { requireEndpoint } from '../open-resources.ts'
import type { EndpointFlags, JsonFlag } from '../options.ts'

interface Flags extends EndpointFlags, JsonFlag {
  readonly tokens: readonly number[]
  readonly texts?: readonly number[]
  readonly atOnce?: readonly number[]
  readonly seconds: number
  readonly pricePerHour?: number
  readonly replicas?: number
}

const TEXTS = [1, 8, 32]
const AT_ONCE = [1, 4, 16, 64]

/** `reembed endpoint bench`: measures each setting on a live endpoint, and prints the best one. */
export async function endpointBench(flags: Flags): Promise<void> {
  const { url, options } = await requireEndpoint(flags)
  const pricePerHour = flags.pricePerHour && flags.pricePerHour * (flags.replicas ?? 1)
  await using endpoint = await openEndpoint(url, options)
  const { modelId, revision, dimensions, version } = endpoint.info
  note(
    `endpoint  ${endpoint.url}  ${modelId}@${revision ?? 'unstated'}, ${dimensions} dimensions, ${version ?? 'version unknown'}, ${endpoint.route}`,
  )
  if (!flags.json) note(`${HEAD}${pricePerHour === undefined ? '' : '  $/1M tokens'}`)
  const measured: BenchmarkResult[] = []
  for (const tokens of flags.tokens) {
    checkLength(tokens, endpoint)
    const texts = await generateTexts(endpoint, tokens)
    for (const setting of settingsOf(tokens, flags, endpoint)) {
      const one = await benchmarkEndpoint(endpoint, texts, setting, { seconds: flags.seconds })
      measured.push(one)
      if (!flags.json) process.stdout.write(`${rowOf(one, pricePerHour)}\n`)
    }
  }
  const best = flags.tokens.map(tokens => bestResult(measured.filter(one => one.tokens === tokens)))
  const text = best.map((one, i) => sentenceOf(one, flags.tokens[i] ?? 0)).join('\n')
  print(
    flags.json,
    { settings: measured.map(one => ({ ...one, ...ratesOf(one, pricePerHour) })), best },
    text,
  )
}

function checkLength(tokens: number, { url, info }: Endpoint): void {
  const { maxInputLength } = info
  if (maxInputLength === null || tokens <= maxInputLength) return
  throw new ReembedError(
    'USAGE',
    `--tokens ${tokens} is over the limit of ${url}, which truncates texts at ${maxInputLength} tokens: give at most ${maxInputLength}`,
  )
}

/**
 * Every combination that the endpoint's limits allow.
 * @throws ReembedError USAGE for a requested setting over a limit, which would be skipped otherwise
 */
function settingsOf(tokens: number, flags: Flags, { url, info }: Endpoint): BenchmarkSetting[] {
  const { maxClientBatchSize, maxConcurrentRequests } = info
  const texts = flags.texts ?? TEXTS.filter(one => one <= maxClientBatchSize)
  const tooMany = texts.find(one => one > maxClientBatchSize)
  if (tooMany !== undefined) {
    throw new ReembedError(
      'USAGE',
      `--texts ${tooMany} is over the limit of ${url} (--max-client-batch-size): give at most ${maxClientBatchSize} texts per request`,
    )
  }
  return texts.flatMap(textsPerRequest =>
    (flags.atOnce ?? AT_ONCE.filter(one => one * textsPerRequest <= maxConcurrentRequests)).map(
      concurrency => ({ tokens, textsPerRequest, concurrency }),
    ),
  )
}

const HEAD = 'tokens  texts/request  at once  requests/s   texts/s    tokens/s    p50 ms    p99 ms  refused'

interface Rates {
  readonly requestsPerSecond: number
  readonly textsPerSecond: number
  readonly tokensPerSecond: number | null
  readonly dollarsPerMillionTokens: number | null
}

function ratesOf({ requests, texts, totalTokens, seconds }: BenchmarkResult, pricePerHour?: number): Rates {
  const tokensPerSecond = totalTokens === null ? null : totalTokens / seconds
  return {
    requestsPerSecond: requests / seconds,
    textsPerSecond: texts / seconds,
    tokensPerSecond,
    dollarsPerMillionTokens:
      pricePerHour === undefined || tokensPerSecond === null
        ? null
        : (pricePerHour / 3600 / tokensPerSecond) * 1e6,
  }
}

function rowOf(one: BenchmarkResult, pricePerHour: number | undefined): string {
  const rates = ratesOf(one, pricePerHour)
  const cells: [string, number][] = [
    [String(one.tokens), 6],
    [String(one.textsPerRequest), 13],
    [String(one.concurrency), 7],
    [rates.requestsPerSecond.toFixed(1), 10],
    [rates.textsPerSecond.toFixed(1), 8],
    [rates.tokensPerSecond === null ? '?' : count(rates.tokensPerSecond), 10],
    [one.p50Ms.toFixed(1), 8],
    [one.p99Ms.toFixed(1), 8],
    [String(one.refused + one.failed), 7],
  ]
  if (pricePerHour !== undefined) {
    cells.push([
      rates.dollarsPerMillionTokens === null ? '?' : rates.dollarsPerMillionTokens.toPrecision(3),
      11,
    ])
  }
  return cells.map(([cell, width]) => cell.padStart(width)).join('  ')
}

function sentenceOf(best: BenchmarkResult | undefined, tokens: number): string {
  if (best === undefined) return `${tokens} tokens: the endpoint refused requests with every setting`
  const { textsPerRequest, concurrency, texts, seconds } = best
  return (
    `best for ${tokens} tokens: ${textsPerRequest} texts per request, ${concurrency} concurrent requests ` +
    `(${count(texts / seconds)} texts/s; within 3 % of the fastest, fewest texts in flight)`
  )
}
