// Which hosts Hugging Face runs, and which token an endpoint gets.

const HOST = /(?:^|\.)(?:huggingface\.co|hf\.co|huggingface\.cloud)$/

/**
 * Whether Hugging Face runs the host, as the Hub and Inference Endpoints. Hosts of Spaces run the
 * programs of their authors, so they are not among them.
 */
export const isHuggingFaceHost = (hostname: string): boolean => HOST.test(hostname.toLowerCase())

export interface Tokens {
  /** The token that was given for the endpoint. */
  readonly endpoint?: string | undefined
  /** The token of Hugging Face that was given for all that Hugging Face serves. */
  readonly huggingFace?: string | undefined
}

/**
 * Returns the token to send to `endpoint`, a URL, a list of replicas or `hf:namespace/name`: the
 * one that was given for it, else that of Hugging Face where Hugging Face runs every host of it.
 * Another host must never receive a token that was not given for it.
 */
export function tokenFor(endpoint: string | undefined, tokens: Tokens): string | undefined {
  if (tokens.endpoint) return tokens.endpoint
  const isOfHuggingFace = endpoint?.split(',').every(one => isRunByHuggingFace(one.trim())) === true
  return (isOfHuggingFace && tokens.huggingFace) || undefined
}

function isRunByHuggingFace(endpoint: string): boolean {
  if (endpoint.startsWith('hf:')) return true
  const url = endpoint.replace(/^dns\+/, '')
  return URL.canParse(url) && isHuggingFaceHost(new URL(url).hostname)
}
