import { assertSameModel, openEndpoint } from '@reembed/endpoint'
import { nearest, textsOf } from '@reembed/evaluate'
import { findRun } from '@reembed/producer'
import { readManifest, requirePlan } from '@reembed/protocol'
import { truncateVectors } from '@reembed/shard'
import { messageOf, ReembedError } from '@reembed/shared'
import { note, print, printable } from '../format.ts'
import { openExistingOutput, openOrStartEndpoint, s3OptionsOf } from '../open-resources.ts'
import type { EndpointFlags, JsonFlag, OutputFlags } from '../options.ts'

interface Flags extends EndpointFlags, OutputFlags, JsonFlag {
  readonly top: number
  readonly run?: string
  readonly queryPrompt?: string
  readonly showText: boolean
}

const SHOWN_CHARS = 100

/** `reembed search`: embeds the query with the run's own model and compares it with every vector. */
export async function search(query: string, flags: Flags): Promise<void> {
  if (query.trim() === '') throw new ReembedError('USAGE', 'the text to search for is empty')
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openExistingOutput(flags))
  const run = await findRun(store, flags.run, 'current')
  const manifest = await readManifest(store, run)
  if (!manifest) {
    throw new ReembedError(
      'RUN_NOT_FOUND',
      `run ${run} is not finished: \`reembed status\` says how far it is`,
    )
  }
  const { url, options } = await openOrStartEndpoint(flags, stack, { quiet: true })
  const endpoint = stack.use(await openEndpoint(url, options))
  const revision = endpoint.info.revision ?? manifest.model.revision
  const { model, nativeDimensions = model.dimensions } = manifest
  assertSameModel(
    { ...model, dimensions: nativeDimensions },
    { url: endpoint.url, info: { ...endpoint.info, revision } },
  )

  const whole = await endpoint.embed([
    `${flags.queryPrompt || manifest.queryPrompt || ''}${query.toWellFormed()}`,
  ])
  const vector = truncateVectors(whole, manifest)
  const hits = await nearest(store, manifest, vector, flags.top)
  const texts = await readTexts(flags.showText, () =>
    requirePlan(store, run).then(plan => textsOf(hits, store, plan, s3OptionsOf(flags))),
  )
  print(
    flags.json,
    hits.map(({ id, score }) => ({ id, score, text: texts.get(id) ?? null })),
    hits
      .map(({ id, score }) =>
        `${score.toFixed(4)}  ${printable(id)}  ${shorten(texts.get(id) ?? '')}`.trimEnd(),
      )
      .join('\n'),
  )
}

/** Without the corpus, ids must do. */
async function readTexts(
  wanted: boolean,
  look: () => Promise<Map<string, string>>,
): Promise<Map<string, string>> {
  if (!wanted) return new Map()
  try {
    return await look()
  } catch (error) {
    note(`note: ids only, the texts cannot be read from the corpus any more: ${messageOf(error)}`)
    return new Map()
  }
}

function shorten(text: string): string {
  const line = printable(text.replace(/\s+/g, ' ').trim())
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS - 1).trimEnd()}…` : line
}
