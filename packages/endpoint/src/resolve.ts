// Resolves the endpoint that a program specifies to the URL that answers: `hf:namespace/name` is
// read, woken and waited for.

import type { EndpointOptions } from './client/endpoint.ts'
import { createHf, type Hf, type HfEndpoint, type HfName, type HfOptions, parseHfName } from './hf/api.ts'
import { type WaitOptions, waitUntilRunning } from './hf/state.ts'

/** The URL of an endpoint and the options to open it. */
export interface ResolvedEndpoint {
  readonly url: string
  readonly options: EndpointOptions
  /** The tokenizer.json of the model, if the endpoint runs on this machine. */
  readonly tokenizer?: string | undefined
  /** Set only for a Hugging Face endpoint: its description at the time it was resolved. */
  readonly hf?: {
    readonly api: Hf
    readonly name: HfName
    readonly initial: HfEndpoint
    /** Time from the first read of the endpoint's state until it answered. */
    readonly coldStartMs: number
  }
}

/**
 * Resolves an endpoint when it is needed: it may have to start first, and a request that is wrong
 * in itself must not wait for that.
 * @param onState receives its state while it starts
 */
export type EndpointResolver = (onState: (state: string) => void) => Promise<ResolvedEndpoint>

export const resolveGiven = async (
  given: ResolvedEndpoint | EndpointResolver,
  onState: (state: string) => void = () => {},
): Promise<ResolvedEndpoint> => (typeof given === 'function' ? given(onState) : given)

export interface ResolveOptions {
  /** How the endpoint is opened later; a revision that Hugging Face states is added. */
  readonly options?: EndpointOptions | undefined
  /** Access to the management API of Hugging Face; default: with the token of `options`. */
  readonly hf?: HfOptions | undefined
  /** Called with each change of state while an endpoint of Hugging Face wakes. */
  readonly onState?: WaitOptions['onState']
  readonly signal?: AbortSignal | undefined
}

/**
 * Resolves a URL as it is, and `hf:namespace/name` to the URL of that endpoint once it answers; may
 * take minutes.
 * @throws ReembedError ENDPOINT_UNSUPPORTED for an endpoint that is paused or has failed,
 * ENDPOINT_UNREACHABLE
 */
export async function resolveEndpoint(
  endpoint: string,
  { options = {}, hf, onState, signal }: ResolveOptions = {},
): Promise<ResolvedEndpoint> {
  const name = parseHfName(endpoint)
  if (!name) return { url: endpoint, options }
  const api = createHf(hf ?? { token: options.token })
  const startedMs = Date.now()
  const initial = await waitUntilRunning(api, name, { onState, signal })
  const coldStartMs = Date.now() - startedMs
  // TEI on Hugging Face states no revision; the endpoint's settings do.
  const revision = options.revision ?? initial.revision
  return {
    url: initial.url,
    options: { ...options, ...(revision && { revision }) },
    hf: { api, name, initial, coldStartMs },
  }
}

/** Checks that an `hf:` endpoint exists, and wakes nothing. @throws ReembedError */
export async function checkEndpointExists(endpoint: string, hf: HfOptions): Promise<void> {
  const name = parseHfName(endpoint)
  if (name) await createHf(hf).read(name)
}
