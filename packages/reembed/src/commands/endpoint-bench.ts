import { type Endpoint, openEndpoint } from '@reembed/endpoint'
import {
  type BenchmarkResult,
  type BenchmarkSetting,
  benchmarkEndpoint,
  bestResult,
  generateTexts,
} from '@reembed/planner'
import { benchmarkHead, benchmarkLine, benchmarkRates, benchmarkSentence } from '@reembed/render'
import { ReembedError } from '@reembed/shared'
import { requireEndpoint } from '../open-resources.ts'
import type { EndpointFlags, JsonFlag } from '../options.ts'
import { note, print, write } from '../output.ts'
import { steps } from '../step-line.ts'

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
  if (!flags.json) note(benchmarkHead(pricePerHour !== undefined))
  const measured: BenchmarkResult[] = []
  for (const tokens of flags.tokens) {
    checkLength(tokens, endpoint)
    const texts = await generateTexts(endpoint, tokens)
    for (const setting of settingsOf(tokens, flags, endpoint)) {
      steps.show(
        `measuring ${setting.textsPerRequest} texts of ${tokens} tokens a request, ${setting.concurrency} at once`,
      )
      const one = await benchmarkEndpoint(endpoint, texts, setting, { seconds: flags.seconds })
      measured.push(one)
      if (!flags.json) write(`${benchmarkLine(one, pricePerHour)}\n`)
    }
  }
  const best = flags.tokens.map(tokens => bestResult(measured.filter(one => one.tokens === tokens)))
  const text = best.map((one, i) => benchmarkSentence(one, flags.tokens[i] ?? 0)).join('\n')
  print(
    flags.json,
    { settings: measured.map(one => ({ ...one, ...benchmarkRates(one, pricePerHour) })), best },
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
