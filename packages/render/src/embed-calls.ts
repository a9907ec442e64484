// One call of an endpoint, in the languages of other programs.

import { shellWord } from '@reembed/shared'

interface EmbedTarget {
  readonly url: string
  readonly route: string
  readonly info: { readonly modelId: string }
}

/**
 * The calls that embed `text`.
 * @param token name of the environment variable with the token: the calls do not contain the token
 * itself, so they can be shared
 */
export function embedCalls(
  { url, route, info }: EmbedTarget,
  text: string,
  token: string | undefined,
): Record<'curl' | 'python' | 'javascript', string> {
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
