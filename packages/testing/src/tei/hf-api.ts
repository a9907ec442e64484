// The management API of HF Inference Endpoints, https://api.endpoints.huggingface.cloud/v2, as far
// as huggingface_hub (`hf_api.py`) uses it: list, get, create, update, delete, pause, resume, scale
// to zero, and hardware prices.

import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { HttpRejection, type Reply, readJson, writeReply } from '@reembed/local'
import { type Clock, systemClock } from '@reembed/shared'
import type { Scaling } from './hf-autoscaler.ts'
import { type FakeHfEndpoint, type FakeHfEndpointOptions, startFakeHfEndpoint } from './hf-endpoint.ts'

export interface FakeHfOptions {
  /** Token for the management API and for its endpoints. Default 'hf_fake'. */
  readonly token?: string | undefined
  /** Valid tokens without `inference.endpoints.write`: 403. */
  readonly otherTokens?: readonly string[] | undefined
  /** Default 'test'. */
  readonly namespace?: string | undefined
  readonly clock?: Clock | undefined
}

export interface FakeHf extends AsyncDisposable {
  /** Base URL of the management routes, including `/v2`. */
  readonly apiUrl: string
  /** The endpoints by name. */
  readonly endpoints: ReadonlyMap<string, FakeHfEndpoint>
  /** Creates an endpoint as POST does, with the options of the fake. */
  deploy(name: string, options?: FakeHfEndpointOptions): Promise<FakeHfEndpoint>
}

/** Prices in USD per hour, as listed in 2026. */
const COMPUTES = [
  ['aws', 'us-east-1', 'nvidia-t4', 'x1', 'gpu', 0.5],
  ['aws', 'us-east-1', 'nvidia-l4', 'x1', 'gpu', 0.8],
  ['aws', 'us-east-1', 'nvidia-a10g', 'x1', 'gpu', 1.0],
  ['aws', 'us-east-1', 'nvidia-l40s', 'x1', 'gpu', 1.8],
  ['aws', 'us-east-1', 'nvidia-a100', 'x1', 'gpu', 2.5],
  ['aws', 'us-east-1', 'nvidia-h200', 'x1', 'gpu', 5.0],
  ['aws', 'us-east-1', 'intel-spr', 'x1', 'cpu', 0.033],
] as const

interface Deployed {
  readonly endpoint: FakeHfEndpoint
  readonly settings: Record<string, unknown>
  readonly createdAt: string
  updatedAt: string
}

/**
 * Starts a fake of Hugging Face Inference Endpoints: the management API and its endpoints.
 * @example
 * ```ts
 * import { startFakeHf } from '@reembed/testing'
 *
 * await using hf = await startFakeHf()
 * await hf.deploy('my-endpoint', { initialState: 'scaledToZero' })
 * const headers = { authorization: 'Bearer hf_fake' }
 * const reply = await fetch(`${hf.apiUrl}/endpoint/test/my-endpoint`, { headers })
 * console.log(await reply.json()) // state and URL
 * ```
 */
export async function startFakeHf({
  token = 'hf_fake',
  otherTokens = [],
  namespace = 'test',
  clock = systemClock,
}: FakeHfOptions = {}): Promise<FakeHf> {
  const deployed = new Map<string, Deployed>()
  const nowIso = (): string => new Date(clock.now()).toISOString()

  async function deploy(
    name: string,
    options: FakeHfEndpointOptions = {},
    settings: Record<string, unknown> = {},
  ): Promise<FakeHfEndpoint> {
    const endpoint = await startFakeHfEndpoint({ token, otherTokens, clock, ...options })
    deployed.set(name, { endpoint, settings, createdAt: nowIso(), updatedAt: nowIso() })
    return endpoint
  }

  function show(name: string, { endpoint, settings, createdAt, updatedAt }: Deployed): object {
    const { state, url, readyReplica, targetReplica, revision, scaling } = endpoint
    const { minReplica, maxReplica, scaleToZeroMs, pendingRequests } = scaling
    const { model, compute, ...rest } = settings
    return {
      name,
      type: 'protected',
      healthRoute: '/health',
      provider: { vendor: 'aws', region: 'us-east-1' },
      ...rest,
      compute: {
        accelerator: 'gpu',
        instanceType: 'nvidia-a10g',
        instanceSize: 'x1',
        ...objectOf(compute),
        scaling: {
          minReplica,
          maxReplica,
          scaleToZeroTimeout: scaleToZeroMs === null ? null : scaleToZeroMs / 60_000,
          measure: { pendingRequests },
        },
      },
      model: { repository: 'model', framework: 'pytorch', image: { tei: {} }, ...objectOf(model), revision },
      status: {
        state,
        message: state === 'initializing' ? 'Endpoint is initializing' : `Endpoint is ${state}`,
        // HF omits the URL until a replica is ready.
        ...(state === 'initializing' && readyReplica === 0 ? {} : { url }),
        readyReplica,
        targetReplica,
        createdAt,
        updatedAt,
      },
    }
  }

  async function answer(request: IncomingMessage): Promise<Reply> {
    const given = request.headers.authorization?.replace(/^Bearer /, '')
    if (given === undefined || (given !== token && !otherTokens.includes(given))) {
      return refuse(401, 'Invalid credentials in Authorization header')
    }
    const path = (request.url ?? '')
      .replace(/^\/v2\//, '')
      .split('/')
      .map(decodeURIComponent)
    const [kind, owner, name, action] = path
    if (owner !== namespace) return refuse(404, `namespace ${owner} not found`)
    if (kind === 'provider') return { json: JSON.stringify({ vendors: vendors() }) }
    if (kind !== 'endpoint') return refuse(404, 'Not Found')
    if (request.method !== 'GET' && given !== token) {
      return refuse(403, 'Forbidden: this token lacks inference.endpoints.write')
    }
    if (name === undefined) {
      if (request.method === 'POST') return create(await readJson(request, 1e6))
      return { json: JSON.stringify({ items: [...deployed].map(([each, one]) => show(each, one)) }) }
    }
    const one = deployed.get(name)
    if (one === undefined) return refuse(404, `Endpoint ${name} not found`)
    if (request.method === 'DELETE') {
      deployed.delete(name)
      await one.endpoint[Symbol.asyncDispose]()
      return { json: '{}' }
    }
    if (request.method === 'POST') {
      if (action === 'resume' && one.endpoint.state === 'running') {
        return { status: 400, text: 'Endpoint is already running' }
      }
      if (action === 'pause') await one.endpoint.pause()
      else if (action === 'resume') await one.endpoint.resume()
      else if (action === 'scale-to-zero') await one.endpoint.scaleToZero()
      else return refuse(404, 'Not Found')
      one.updatedAt = nowIso()
    }
    if (request.method === 'PUT') {
      const changes = objectOf(await readJson(request, 1e6))
      const { revision } = objectOf(changes.model)
      await one.endpoint.scale(scalingIn(changes))
      if (typeof revision === 'string' && revision !== one.endpoint.revision) {
        void one.endpoint.update(revision)
      }
      one.updatedAt = nowIso()
    }
    return { json: JSON.stringify(show(name, one)) }
  }

  async function create(body: unknown): Promise<Reply> {
    const { name, ...settings } = objectOf(body)
    if (typeof name !== 'string' || !/^[a-z0-9-]{1,32}$/.test(name))
      return refuse(400, 'Invalid endpoint name')
    if (deployed.has(name)) return refuse(409, `Endpoint ${name} already exists`)
    const { revision } = objectOf(settings.model)
    await deploy(
      name,
      {
        ...scalingIn(settings),
        ...(typeof revision === 'string' && { revision }),
        initialState: 'scaledToZero',
        // The first start pulls image and model: 157 s observed.
        startMs: 157_000,
      },
      settings,
    )
    const made = deployed.get(name)
    await made?.endpoint.resume()
    return { status: 202, json: JSON.stringify(made && show(name, made)) }
  }

  const server = createServer(async (request, response) => {
    const reply = await answer(request).catch((error: unknown) =>
      refuse(error instanceof HttpRejection ? error.status : 500, String(error)),
    )
    writeReply(response, reply)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v2`,
    get endpoints() {
      return new Map([...deployed].map(([name, { endpoint }]) => [name, endpoint]))
    },
    deploy,
    async [Symbol.asyncDispose]() {
      if (!server.listening) return
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
      for (const { endpoint } of deployed.values()) await endpoint[Symbol.asyncDispose]()
    },
  }
}

const refuse = (status: number, error: string): Reply => ({ status, json: JSON.stringify({ error }) })

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

/** The scaling members of a POST or PUT body; a PUT contains only the changes. */
function scalingIn(body: Record<string, unknown>): Partial<Scaling> {
  const { minReplica, maxReplica, scaleToZeroTimeout, measure } = objectOf(objectOf(body.compute).scaling)
  const { pendingRequests } = objectOf(measure)
  return {
    ...(typeof minReplica === 'number' && { minReplica }),
    ...(typeof maxReplica === 'number' && { maxReplica }),
    ...(typeof scaleToZeroTimeout === 'number' && { scaleToZeroMs: scaleToZeroTimeout * 60_000 }),
    ...(scaleToZeroTimeout === null && { scaleToZeroMs: null }),
    ...(typeof pendingRequests === 'number' && { pendingRequests }),
  }
}

function vendors(): object[] {
  const computes = COMPUTES.map(
    ([vendor, region, instanceType, instanceSize, accelerator, pricePerHour]) => ({
      id: `${vendor}-${region}-${instanceType}-${instanceSize}`,
      instanceType,
      instanceSize,
      accelerator,
      pricePerHour,
      status: 'available',
      quota: { maxAccelerators: 8, usedAccelerators: 0 },
    }),
  )
  return [
    { name: 'aws', status: 'available', regions: [{ name: 'us-east-1', status: 'available', computes }] },
  ]
}
