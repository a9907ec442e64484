import {
  type Endpoint,
  type EndpointTarget,
  openEndpoint,
  openTarget,
  parseTargets,
  probeRequestTokens,
} from '@reembed/endpoint'
import { examineEmbedder, examineIndex } from '@reembed/evaluate'
import { promptMismatch, sampleCorpus, survey } from '@reembed/planner'
import { inspectRedis, redisAddress, requireNoEviction, requireRights, secureUrlOf } from '@reembed/queue'
import { counted, endpointText, indexReportText, memoryText, paintFirst, sourceText } from '@reembed/render'
import { absoluteUrl, EXIT, printable, ReembedError } from '@reembed/shared'
import { openIndex } from '@reembed/sinks'
import { checkStore, openStore, raceStore } from '@reembed/store'
import { explain } from '../explain.ts'
import { onInterrupt } from '../interrupt.ts'
import { describePromptMismatch } from '../notices.ts'
import { endpointOptionsOf, openSource, requireRedis, s3OptionsOf } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
import { note, print } from '../output.ts'
import { steps } from '../step-line.ts'

type Flags = Omit<CorpusFlags, 'source'> &
  Partial<Pick<CorpusFlags, 'source'>> &
  Partial<OutputFlags> &
  RedisFlags &
  JsonFlag & { readonly store?: string }

interface Check {
  readonly name: string
  /** Skipped: the option that names the part was not given. */
  readonly status: 'ok' | 'failed' | 'skipped'
  readonly detail: string
}

const SHOWN = { ok: 'ok  ', failed: 'FAIL', skipped: 'skip' } as const

/** `reembed doctor`: checks everything that was given, and does not stop at the first fault. */
export async function doctor(flags: Flags): Promise<void> {
  const checks: Check[] = []
  const check = async (
    name: string,
    given: string | undefined,
    option: string,
    inspect: (given: string) => Promise<string>,
  ): Promise<void> => {
    if (given === undefined) {
      checks.push({ name, status: 'skipped', detail: `give ${option} to check it` })
      return
    }
    steps.show(`checking the ${name}`)
    try {
      checks.push({ name, status: 'ok', detail: await inspect(given) })
    } catch (error) {
      if (error instanceof ReembedError && error.code === 'INTERRUPTED') throw error
      checks.push({ name, status: 'failed', detail: explain(error) })
    }
  }
  await check('source', flags.source, '--source', source => inspectSource({ ...flags, source }))
  await check('output', flags.output, '--output', url => inspectOutput(url, flags))
  await check('redis', flags.redis, '--redis', () => inspectRedisOf(flags))
  if (flags.store !== undefined) await check('store', flags.store, '--store', url => inspectIndex(url, flags))
  for (const { shown, open } of await endpointsOf(flags)) {
    await check('endpoint', shown, '--endpoint', () => inspectEndpoint(open, flags))
  }
  const lines = checks.map(
    ({ name, status, detail }) => `${SHOWN[status]}  ${name.padEnd(9)} ${printable(detail)}`,
  )
  print(flags.json, checks, paintFirst(lines.join('\n'), process.stdout))
  if (checks.some(({ status }) => status === 'failed')) process.exitCode = EXIT.unreachable
  else if (flags.source !== undefined && flags.output !== undefined)
    note('next: `reembed plan` with the same options shows tokens, time and cost; `reembed run` embeds')
}

/** An index with faults fails the check. */
async function inspectIndex(url: string, { endpoint: at, ...flags }: Flags): Promise<string> {
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  const index = stack.use(await openIndex(url))
  await using endpoint = at === undefined ? null : await openEndpoint(at, endpointOptionsOf(flags))
  const report = await examineIndex(index, {
    signal,
    embed: endpoint ? examineEmbedder(endpoint, flags.prompt) : undefined,
    onProgress: (rows, pass) => steps.show(`pass ${pass} of 2: ${counted(rows, 'row')} read`),
    onCompare: vectors => steps.show(`comparing ${counted(vectors, 'vector')} with each other`),
  })
  const text = indexReportText(report)
  if (report.findings.length > 0) throw new Error(text)
  return text
}

async function inspectRedisOf(flags: RedisFlags): Promise<string> {
  const url = secureUrlOf(requireRedis(flags))
  const facts = await inspectRedis(url)
  requireNoEviction(facts, url)
  await requireRights(url)
  return `${redisAddress(url)}  version ${facts.version}, ${facts.evictionPolicy}, ${memoryText(facts)}; every command of a worker is permitted`
}

async function inspectSource(flags: CorpusFlags & Partial<OutputFlags>): Promise<string> {
  await using corpus = await openSource(flags)
  const found = await survey(corpus)
  const { id, text, template, carry } = flags
  const fields = { ...(id && { id }), ...(text && { text }) }
  const sample = await sampleCorpus(corpus, found, { fields, template, carry })
  return sourceText(corpus.store.url, found, sample, template)
}

/**
 * The race of two puts detects a store that checks for a key and writes it in two separate steps.
 * It leaves a few small objects, so only this command runs it.
 */
async function inspectOutput(url: string, flags: Flags): Promise<string> {
  await using store = await openStore(absoluteUrl(url), { create: true, s3: s3OptionsOf(flags) })
  for await (const _ of store.list('')) break
  await checkStore(store)
  await raceStore(store)
  return `${store.url}  list, put and conditional put work; of concurrent puts of one key, exactly one succeeds`
}

/** One check per replica, where the endpoint's replicas can be resolved. */
async function endpointsOf(
  flags: Flags,
): Promise<readonly { readonly shown: string | undefined; readonly open: () => Promise<Endpoint> }[]> {
  const { endpoint: shown = '' } = flags
  const options = endpointOptionsOf(flags)
  const find = async (): Promise<EndpointTarget[]> => parseTargets(shown, options).resolve()
  const places = await find().catch(() => [])
  return places.length > 1
    ? places.map(place => ({ shown: place.label, open: () => openTarget(place, options) }))
    : [{ shown: flags.endpoint, open: () => openEndpoint(shown, options) }]
}

async function inspectEndpoint(open: () => Promise<Endpoint>, flags: Flags): Promise<string> {
  await using endpoint = await open()
  const requestTokens = await requestTokensOf(endpoint)
  const applied = await endpoint.appliedPrompt()
  const mismatch = promptMismatch(
    { id: endpoint.info.modelId },
    { prompt: flags.prompt, template: flags.template, applied },
  )
  const warning = mismatch && describePromptMismatch(mismatch)
  return endpointText(endpoint, { applied, requestTokens, warning })
}

/** A server with OpenAI's route alone shows its limit of tokens by what it refuses. */
async function requestTokensOf(endpoint: Endpoint): Promise<string> {
  if (endpoint.info.kind === 'tei') return ''
  const { accepted, refused } = await probeRequestTokens(endpoint)
  return refused === null
    ? `, ${accepted} tokens per request or more`
    : `, ${accepted} to ${refused} tokens per request`
}
