// Determined once per endpoint, before the first document: the kind of server, the route, the
// dimensions and whether vectors are normalised.

import { cosine, ReembedError } from '@reembed/shared'
import type { EndpointLimits, StatedInfo } from './info.ts'
import { negotiateOpenai } from './openai-server.ts'
import { failureBehind, toError } from './outcome.ts'
import { readInfo } from './read-info.ts'
import { type Negotiated, PROBE_TEXTS, type Probed, probeRoute } from './route-probe.ts'
import type { Server } from './server.ts'

/** Minimum cosine between the two routes of one server; batching changes the last bits. */
const PARITY = 0.9999

/**
 * Reads `/info`, chooses route and encoding, and derives dimensions and normalisation from a test
 * request. A server that does not answer `/info` as TEI does is used by OpenAI's route if the name
 * of its model is given. @throws ReembedError by the kind of failure
 */
export async function negotiate(
  server: Server,
  limits: EndpointLimits = {},
  signal?: AbortSignal | undefined,
): Promise<Negotiated> {
  const read = await readInfo(server, signal)
  const { doubt } = read
  const stated = lowered(read.stated, limits)
  if (doubt === undefined) return negotiateAs(stated, server, signal)
  // Some servers answer an unknown path with any status, and a TEI that starts answers 503: the
  // other route shows which it is.
  const found = await negotiateOpenai(server, stated, signal).catch((error: unknown) => {
    throw failureBehind(error)?.kind === 'route_missing' ? toError(doubt, server.url) : error
  })
  const again = await readInfo(server, signal)
  return again.stated.kind === 'tei' ? negotiateAs(lowered(again.stated, limits), server, signal) : found
}

const least = (...limits: readonly (number | null | undefined)[]): number | null =>
  limits.reduce<number | null>((low, each) => (each == null ? low : Math.min(low ?? each, each)), null)

const lowered = (stated: StatedInfo, { inputs, requestTokens, textTokens }: EndpointLimits): StatedInfo => ({
  ...stated,
  maxClientBatchSize: least(stated.maxClientBatchSize, inputs) ?? stated.maxClientBatchSize,
  maxRequestTokens: least(stated.maxRequestTokens, requestTokens),
  maxInputLength: least(stated.maxInputLength, textTokens),
})

const negotiateAs = (
  stated: StatedInfo,
  server: Server,
  signal: AbortSignal | undefined,
): Promise<Negotiated> =>
  stated.kind === 'tei' ? negotiateTei(server, stated, signal) : negotiateOpenai(server, stated, signal)

/**
 * Chooses the route of a TEI. `/v1/embeddings` costs a sixteenth of the client CPU of `/embed` but
 * has no `truncate`, so it is used where the server's default is the wanted one and both routes
 * return the same vectors.
 */
async function negotiateTei(
  server: Server,
  stated: StatedInfo,
  signal: AbortSignal | undefined,
): Promise<Negotiated> {
  const plain = await probeRoute(server, '/embed', signal)
  const quick =
    stated.autoTruncate === server.truncate
      ? await probeRoute(server, '/v1/embeddings', signal).catch((error: unknown) => {
          if (error instanceof ReembedError && error.code === 'ENDPOINT_UNSUPPORTED') return undefined
          throw error
        })
      : undefined
  const { route, servedModel, dimensions, normalized } = quick && agree(quick, plain) ? quick : plain
  return { server, route, servedModel, countsTokens: true, info: { ...stated, dimensions, normalized } }
}

function agree(a: Probed, b: Probed): boolean {
  const { dimensions } = b
  return (
    a.vectors.length === b.vectors.length &&
    PROBE_TEXTS.every((_, i) => {
      const [from, to] = [i * dimensions, (i + 1) * dimensions]
      return cosine(a.vectors.subarray(from, to), b.vectors.subarray(from, to)) >= PARITY
    })
  )
}
