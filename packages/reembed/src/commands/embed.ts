import { type Endpoint, openEndpoint } from '@reembed/endpoint'
import { ReembedError, shellWord } from '@reembed/shared'
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
  const calls = callsOf(endpoint, text, options.token && variable)
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

/**
 * The calls contain the name of the environment variable, not the token itself, so they can be
 * shared.
 */
function callsOf({ url, route, info }: Endpoint, text: string, token: string | undefined) {
  const body =
    route === '/embed' ? { inputs: [text], truncate: true } : { model: info.modelId, input: [text] }
  const json = JSON.stringify(body)
  const target = `${url}${route}`
  const pick = route === '/embed' ? '[0]' : '["data"][0]["embedding"]'
  const python = route === '/embed' ? `{"inputs": [${JSON.stringify(text)}], "truncate": True}` : json
  return {
    curl: [
      `curl -s ${shellWord(target)} -H 'content-type: application/json'`,
      ...(token ? [`-H "authorization: Bearer $${token}"`] : []),
      `-d ${shellWord(json)}`,
    ].join(' \\\n  '),
    python: [
      `import json${token ? ', os' : ''}, urllib.request`,
      `request = urllib.request.Request(${JSON.stringify(target)}, json.dumps(${python}).encode(), {"content-type": "application/json"${token ? `, "authorization": "Bearer " + os.environ["${token}"]` : ''}})`,
      `vector = json.load(urllib.request.urlopen(request))${pick}`,
      'print(len(vector), vector[:3])',
    ].join('\n'),
    javascript: [
      `const reply = await fetch(${JSON.stringify(target)}, {`,
      `  method: 'POST',`,
      `  headers: { 'content-type': 'application/json'${token ? `, authorization: "Bearer " + process.env.${token}` : ''} },`,
      `  body: JSON.stringify(${json}),`,
      '})',
      `const vector = (await reply.json())${pick}`,
      'console.log(vector.length, vector.slice(0, 3))',
    ].join('\n'),
  }
}
