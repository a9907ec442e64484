// Client for the management API of Hugging Face Inference Endpoints, limited to the needs of a run
// (https://api.endpoints.huggingface.cloud/v2; shapes as in huggingface_hub's hf_api.py and
// _inference_endpoints.py). The token is sent in a header only; no message or log holds it.

import { codeOf, deadlines, LIMITS, messageOf, ReembedError, readBounded, startWait } from '@reembed/shared'
import { parseAddress } from '../client/url.ts'

const HF_API = 'https://api.endpoints.huggingface.cloud/v2'

/** `hf:namespace/name`. */
export interface HfName {
  readonly namespace: string
  readonly name: string
}

export type HfState =
  | 'pending'
  | 'initializing'
  | 'updating'
  | 'updateFailed'
  | 'running'
  | 'paused'
  | 'failed'
  | 'scaledToZero'

export interface HfEndpoint {
  readonly name: string
  readonly state: HfState
  readonly message: string
  /** Null until the endpoint has an address. */
  readonly url: string | null
  readonly healthRoute: string
  readonly readyReplica: number
  readonly targetReplica: number
  readonly repository: string
  readonly revision: string | null
  readonly instance: string
  /** aws/us-east-1. */
  readonly region: string
  readonly minReplica: number
  readonly maxReplica: number
  /** Minutes without requests until it scales to zero; null if it never does. */
  readonly sleepMinutes: number | null
}

export interface HfPrice {
  /** Type and size: nvidia-a10g-x1. */
  readonly instance: string
  /** aws/us-east-1. */
  readonly region: string
  readonly pricePerHour: number
  readonly status: string
}

export interface DeployRequest extends HfName {
  readonly model: string
  readonly revision?: string | undefined
  readonly instance: string
  readonly region: string
  readonly accelerator: 'gpu' | 'cpu'
  readonly maxReplica: number
  readonly sleepMinutes: number
}

export interface HfUpdate {
  readonly minReplica?: number | undefined
  readonly maxReplica?: number | undefined
  readonly sleepMinutes?: number | undefined
}

export interface Hf {
  read(of: HfName): Promise<HfEndpoint>
  deploy(request: DeployRequest): Promise<HfEndpoint>
  update(of: HfName, change: HfUpdate): Promise<HfEndpoint>
  pause(of: HfName): Promise<void>
  resume(of: HfName): Promise<void>
  sleep(of: HfName): Promise<void>
  remove(of: HfName): Promise<void>
  prices(namespace: string): Promise<HfPrice[]>
  /**
   * Sends one request to the health route of the endpoint, which wakes it; true if the reply is
   * 2xx.
   */
  ping(endpoint: HfEndpoint): Promise<boolean>
}

export interface HfOptions {
  readonly token: string | undefined
  /** Default HF_API. */
  readonly apiUrl?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Parses `hf:namespace/name`; undefined for a URL. @throws ReembedError USAGE for an invalid name
 */
export function parseHfName(given: string): HfName | undefined {
  if (!given.startsWith('hf:')) return undefined
  const [, namespace, name] = /^hf:(?:\/\/)?([\w.-]+)\/([a-z0-9-]+)$/.exec(given) ?? []
  if (namespace && name) return { namespace, name }
  throw new ReembedError(
    'USAGE',
    `'${given}' is not a name of a Hugging Face endpoint: expected hf:namespace/name`,
  )
}

/**
 * Opens no connection; each call is one request. @throws ReembedError USAGE without a token, or for
 * a URL that would expose it
 */
export function createHf({ token, apiUrl = HF_API, signal }: HfOptions): Hf {
  if (!token) throw new ReembedError('USAGE', 'endpoints of Hugging Face require a token: set HF_TOKEN')
  parseAddress(apiUrl, token, false)
  const headers = { authorization: `Bearer ${token}`, 'user-agent': 'reembed' }
  const { replyMs } = deadlines().hub
  const limit = (): AbortSignal =>
    AbortSignal.any([AbortSignal.timeout(replyMs), ...(signal ? [signal] : [])])

  async function send(method: string, path: string, body: unknown) {
    using wait = startWait(apiUrl)
    const reply = await fetch(`${apiUrl}/${path}`, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'manual',
      signal: limit(),
    })
    const text = (await readBounded(reply.body, LIMITS.hubReplyBytes)).toString()
    wait.answered()
    return { reply, text }
  }

  async function call(method: string, path: string, body?: unknown): Promise<unknown> {
    const { reply, text } = await send(method, path, body).catch((error: unknown) => {
      signal?.throwIfAborted()
      const cause = error instanceof Error ? (error.cause ?? error) : error
      throw new ReembedError(
        'ENDPOINT_UNREACHABLE',
        `${apiUrl} does not answer (${codeOf(cause) ?? messageOf(cause)}): check the network, or try again later`,
        { retry: 'requeue' },
      )
    })
    if (reply.ok) return text === '' ? {} : parse(text)
    throw refusal(reply.status, text, method, path)
  }

  async function read({ namespace, name }: HfName): Promise<HfEndpoint> {
    try {
      return endpointOf(await call('GET', `endpoint/${namespace}/${name}`))
    } catch (error) {
      if (!(error instanceof ReembedError) || error.code !== 'USAGE') throw error
      const names = await namesIn(namespace).catch(() => [])
      const existing =
        names.length === 0
          ? 'the token cannot read any endpoint of this namespace'
          : `use one of ${names.join(', ')}`
      throw new ReembedError('USAGE', `namespace '${namespace}' has no endpoint '${name}': ${existing}`)
    }
  }

  async function namesIn(namespace: string): Promise<string[]> {
    const items = objectOf(await call('GET', `endpoint/${namespace}`)).items
    return Array.isArray(items) ? items.map(item => textOf(objectOf(item).name)) : []
  }

  return {
    read,
    deploy: async ({
      namespace,
      name,
      model,
      revision,
      instance,
      region,
      accelerator,
      maxReplica,
      sleepMinutes,
    }) => {
      const [vendor = '', area = ''] = region.split('/')
      const [, instanceType = '', instanceSize = ''] = /^(.*)-(x\d+)$/.exec(instance) ?? []
      if (!area || !instanceType) {
        throw new ReembedError(
          'USAGE',
          `expected an instance like nvidia-a10g-x1 and a region like aws/us-east-1, got '${instance}' and '${region}': choose them from the list of prices`,
          { option: 'endpoint.region' },
        )
      }
      return endpointOf(
        await call('POST', `endpoint/${namespace}`, {
          name,
          type: 'authenticated',
          provider: { vendor, region: area },
          compute: {
            accelerator,
            instanceType,
            instanceSize,
            scaling: { minReplica: 0, maxReplica, scaleToZeroTimeout: sleepMinutes },
          },
          model: {
            repository: model,
            ...(revision && { revision }),
            framework: 'pytorch',
            task: 'sentence-embeddings',
            image: { tei: {} },
          },
        }),
      )
    },
    update: async ({ namespace, name }, { minReplica, maxReplica, sleepMinutes }) => {
      const scaling = {
        ...(minReplica !== undefined && { minReplica }),
        ...(maxReplica !== undefined && { maxReplica }),
        ...(sleepMinutes !== undefined && { scaleToZeroTimeout: sleepMinutes }),
      }
      return endpointOf(await call('PUT', `endpoint/${namespace}/${name}`, { compute: { scaling } }))
    },
    async pause({ namespace, name }) {
      await call('POST', `endpoint/${namespace}/${name}/pause`)
    },
    async resume({ namespace, name }) {
      await call('POST', `endpoint/${namespace}/${name}/resume`).catch((error: unknown) => {
        if (!/already running/i.test(messageOf(error))) throw error
      })
    },
    async sleep({ namespace, name }) {
      await call('POST', `endpoint/${namespace}/${name}/scale-to-zero`)
    },
    async remove({ namespace, name }) {
      await call('DELETE', `endpoint/${namespace}/${name}`)
    },
    async prices(namespace) {
      return pricesIn(await call('GET', `provider/${namespace}`))
    },
    async ping({ url, healthRoute }) {
      if (url === null) return false
      const { origin } = parseAddress(url, token, false)
      // A route such as '@other.example' must not lead the token to another host.
      const address = URL.parse(healthRoute, `${url}/`)
      if (address?.origin !== origin) return false
      const options = { headers, redirect: 'manual', signal: limit() } as const
      const reply = await fetch(address, options).catch(() => undefined)
      signal?.throwIfAborted()
      await reply?.body?.cancel()
      return reply?.ok === true
    },
  }
}

function refusal(status: number, text: string, method: string, path: string): ReembedError {
  const detail = (textOf(objectOf(parse(text)).error) || text).slice(0, 200)
  if (status === 401)
    return new ReembedError(
      'ENDPOINT_ACCESS_DENIED',
      'Hugging Face rejects the token in HF_TOKEN (HTTP 401): set a valid token',
    )
  if (status === 403) {
    const right = method === 'GET' ? 'inference.endpoints.read' : 'inference.endpoints.write'
    return new ReembedError(
      'ENDPOINT_ACCESS_DENIED',
      `Hugging Face denies ${method} ${path} (HTTP 403: ${detail}): give the token in HF_TOKEN the permission ${right}`,
    )
  }
  if (status === 404)
    return new ReembedError('USAGE', `Hugging Face has no ${path} (HTTP 404): check namespace and name`)
  if (status === 400 || status === 409 || status === 422) {
    return new ReembedError(
      'ENDPOINT_UNSUPPORTED',
      `Hugging Face refuses ${method} ${path} (HTTP ${status}): ${detail}`,
    )
  }
  return new ReembedError(
    'ENDPOINT_UNREACHABLE',
    `Hugging Face answered HTTP ${status} to ${method} ${path}: ${detail}; try again later`,
    {
      retry: 'requeue',
    },
  )
}

function endpointOf(json: unknown): HfEndpoint {
  const { name, status, model, compute, provider, healthRoute } = objectOf(json)
  const { vendor, region } = objectOf(provider)
  const { state, message, url, readyReplica, targetReplica } = objectOf(status)
  const { repository, revision } = objectOf(model)
  const { instanceType, instanceSize, scaling } = objectOf(compute)
  const { minReplica, maxReplica, scaleToZeroTimeout } = objectOf(scaling)
  return {
    name: textOf(name),
    state: textOf(state) as HfState,
    message: textOf(message),
    url: textOf(url).replace(/\/$/, '') || null,
    healthRoute: textOf(healthRoute) || '/health',
    readyReplica: Number(readyReplica ?? 0),
    targetReplica: Number(targetReplica ?? 0),
    repository: textOf(repository),
    revision: textOf(revision) || null,
    instance: `${textOf(instanceType)}-${textOf(instanceSize)}`,
    region: `${textOf(vendor)}/${textOf(region)}`,
    minReplica: Number(minReplica ?? 0),
    maxReplica: Number(maxReplica ?? 0),
    sleepMinutes: typeof scaleToZeroTimeout === 'number' ? scaleToZeroTimeout : null,
  }
}

function pricesIn(json: unknown): HfPrice[] {
  return listOf(objectOf(json).vendors).flatMap(vendor =>
    listOf(vendor.regions).flatMap(region =>
      listOf(region.computes).map(({ instanceType, instanceSize, pricePerHour, status }) => ({
        instance: `${textOf(instanceType)}-${textOf(instanceSize)}`,
        region: `${textOf(vendor.name)}/${textOf(region.name)}`,
        pricePerHour: Number(pricePerHour),
        status: textOf(status),
      })),
    ),
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
const listOf = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.map(objectOf) : []
const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
