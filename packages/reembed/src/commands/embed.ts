import { openEndpoint } from '@reembed/endpoint'
import { embedCalls } from '@reembed/render'
import { ReembedError } from '@reembed/shared'
import { requireEndpoint } from '../open-resources.ts'
import type { EndpointFlags, JsonFlag } from '../options.ts'
import { facts, print } from '../output.ts'

const SHOWN = 6

/**
 * `reembed embed`: embeds one text, and prints the same call for other programs, without the
 * token.
 */
export async function embed(text: string, flags: EndpointFlags & JsonFlag): Promise<void> {
  if (text.trim() === '')
    throw new ReembedError('USAGE', 'the text to embed is empty: give at least one character')
  const { url, options } = await requireEndpoint(flags)
  await using endpoint = await openEndpoint(url, options)
  const startedMs = performance.now()
  const vector = await endpoint.embed([text.toWellFormed()])
  const ms = performance.now() - startedMs
  const { modelId, revision, dimensions, version } = endpoint.info
  const variable = process.env.REEMBED_ENDPOINT_TOKEN ? 'REEMBED_ENDPOINT_TOKEN' : 'HF_TOKEN'
  const calls = embedCalls(endpoint, text, options.token && variable)
  const start = Array.from(vector.subarray(0, SHOWN), value => value.toFixed(4)).join(', ')
  print(
    flags.json,
    { model: modelId, revision, dimensions, ms, vector: [...vector], calls },
    [
      facts([
        [
          'endpoint',
          `${endpoint.url}  ${version ?? 'version unknown'}, ${endpoint.route}, ${ms.toFixed(1)} ms`,
        ],
        ['model', `${modelId}@${revision ?? 'unstated'}`],
        ['vector', `[${start}, …]  ${dimensions} dimensions, norm ${Math.hypot(...vector).toFixed(4)}`],
      ]),
      `\n# curl\n${calls.curl}`,
      `\n# Python\n${calls.python}`,
      `\n# JavaScript\n${calls.javascript}`,
    ].join('\n'),
  )
}
