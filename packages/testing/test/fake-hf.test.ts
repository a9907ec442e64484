// The fake HF Inference Endpoint behaves as observed on real ones: its replies in each state, and
// its scaling.

import { afterEach, describe, expect, test } from 'vitest'
import { createManualClock } from '../src/tei/clock.ts'
import { startFakeHf } from '../src/tei/hf-api.ts'
import { autoscale, initialScaler, type ScalerState } from '../src/tei/hf-autoscaler.ts'
import { type FakeHfEndpointOptions, startFakeHfEndpoint } from '../src/tei/hf-endpoint.ts'

const cleanUp: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each[Symbol.asyncDispose]()
})

const clockOf = () => createManualClock(1_000_000)

async function start(options: FakeHfEndpointOptions = {}) {
  const clock = clockOf()
  const hf = await startFakeHfEndpoint({ clock, ...options })
  cleanUp.push(hf)
  const embed = (headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${hf.url}/embed`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer hf_fake', ...headers },
      body: JSON.stringify({ inputs: 'a' }),
    })
  return { clock, hf, embed }
}

const SLEEPING = { error: '503 Service Unavailable', code: 'SERVICE_UNAVAILABLE' }

describe('the proxy', () => {
  test('without a token the reply is a JSON 401 on all routes, without permission a 403; neither starts a replica', async () => {
    const { hf, embed } = await start({ initialState: 'scaledToZero', otherTokens: ['hf_read'] })
    for (const path of ['/health', '/info']) {
      const reply = await fetch(hf.url + path)
      expect([reply.status, await reply.json()]).toEqual([
        401,
        { error: '401 Unauthorized', code: 'UNAUTHORIZED' },
      ])
    }
    expect((await embed({ authorization: 'Bearer wrong' })).status).toBe(401)
    const forbidden = await embed({ authorization: 'Bearer hf_read' })
    expect(forbidden.status).toBe(403)
    expect(await forbidden.text()).toContain('inference.endpoints.infer.write')
    expect([hf.state, hf.coldStarts]).toEqual(['scaledToZero', 0])
  })

  test('an endpoint at zero replicas answers 503 at once until a replica is ready', async () => {
    const { clock, hf, embed } = await start({ initialState: 'scaledToZero' })
    const reply = await embed()
    expect([reply.status, await reply.json(), reply.headers.get('retry-after')]).toEqual([
      503,
      SLEEPING,
      null,
    ])
    expect(hf.state).toBe('initializing')
    await clock.advance(41_999)
    expect((await embed()).status).toBe(503)
    await clock.advance(1)
    expect((await embed()).status).toBe(200)
    expect([hf.state, hf.coldStarts]).toEqual(['running', 1])
  })

  test('X-Scale-Up-Timeout holds the request until a replica is ready or the time is over', async () => {
    const { clock, hf, embed } = await start({ initialState: 'scaledToZero' })
    const [held, short] = await clock.advanceUntilSettled(
      Promise.all([embed({ 'x-scale-up-timeout': '300' }), embed({ 'x-scale-up-timeout': '10' })]),
    )
    expect([held.status, short.status]).toEqual([200, 503])
    expect(clock.now()).toBe(1_042_000)
    expect(hf.coldStarts).toBe(1)
  })

  test('a paused endpoint answers 400 and starts no replica; resuming takes the start time', async () => {
    const { clock, hf, embed } = await start({ startMs: 84_000 })
    expect((await embed()).status).toBe(200)
    await hf.pause()
    const paused = await embed({ 'x-scale-up-timeout': '300' })
    expect(paused.status).toBe(400)
    expect(await paused.text()).toContain('The endpoint is paused')
    expect([hf.state, hf.replicas.length]).toEqual(['paused', 0])
    await hf.resume()
    expect((await embed()).status).toBe(503)
    await clock.advance(84_000)
    expect((await embed()).status).toBe(200)
  })

  test('replicas report the model id /repository of TEI 1.8.3, whatever the revision', async () => {
    const { clock, hf, embed } = await start({ revision: 'r1' })
    const info = async () =>
      (await fetch(`${hf.url}/info`, { headers: { authorization: 'Bearer hf_fake' } })).json()
    expect(await info()).toMatchObject({ model_id: '/repository', model_sha: null, version: '1.8.3' })
    const before = await (await embed()).json()
    const updated = hf.update('r2')
    await clock.advance(0)
    expect([hf.state, (await embed()).status]).toEqual(['updating', 503])
    await clock.advanceUntilSettled(updated)
    expect(hf.state).toBe('running')
    expect(await info()).toMatchObject({ model_id: '/repository', model_sha: null })
    expect(await (await embed()).json()).not.toEqual(before)
  })

  test('during a rolling update of several replicas two models serve at once', async () => {
    const { clock, hf, embed } = await start({ minReplica: 2, maxReplica: 2 })
    const vectors = async () => new Set([await (await embed()).text(), await (await embed()).text()])
    expect((await vectors()).size).toBe(1)
    const updated = hf.update('r2')
    await clock.advance(50_000)
    expect(hf.state).toBe('updating')
    await clock.advance(49_000)
    expect(hf.readyReplica).toBe(1)
    await clock.advanceUntilSettled(updated)
    expect((await vectors()).size).toBe(1)
  })

  test('an endpoint without requests scales to zero, and is billed until then', async () => {
    const { clock, hf, embed } = await start({ scaleToZeroMs: 900_000 })
    expect((await embed()).status).toBe(200)
    await clock.advance(899_000)
    expect(hf.state).toBe('running')
    await clock.advance(10_000)
    expect(hf.state).toBe('scaledToZero')
    expect(hf.billedMs).toBe(900_000)
  })

  test('pending requests add replicas, at most once a minute', async () => {
    const { clock, hf, embed } = await start({
      minReplica: 1,
      maxReplica: 4,
      replica: { baseMs: 1_000_000 },
    })
    const held = Array.from({ length: 6 }, () => embed().catch(() => undefined))
    await clock.advance(20_000)
    expect(hf.pending).toBe(6)
    expect([hf.targetReplica, hf.readyReplica]).toEqual([4, 1])
    await clock.advance(42_000)
    expect(hf.readyReplica).toBe(4)
    await hf[Symbol.asyncDispose]()
    await Promise.all(held)
  })
})

describe('the autoscaler', () => {
  const scaling = { minReplica: 1, maxReplica: 8, scaleToZeroMs: null, pendingRequests: 1.5 }
  const through = (state: ScalerState, seconds: number, from: number, pending: number): ScalerState => {
    let next = state
    for (let ms = 5_000; ms <= seconds * 1000; ms += 5_000) {
      next = autoscale(next, { nowMs: from + ms, pending, idleMs: 0 }, scaling)
    }
    return next
  }

  test('a burst shorter than the window adds no replica; a longer one adds them step by step', () => {
    const burst = through(initialScaler(1, 0), 15, 0, 12)
    expect(burst.target).toBe(1)
    const lasting = through(initialScaler(1, 0), 20, 0, 6)
    expect(lasting.target).toBe(4)
    expect(through(lasting, 35, 20_000, 12).target).toBe(4)
    expect(through(lasting, 65, 20_000, 12).target).toBe(8)
  })

  test('the autoscaler scales down only after 300 s of lower load', () => {
    const up = through(initialScaler(1, 0), 20, 0, 6)
    expect(through(up, 280, 20_000, 0).target).toBe(4)
    expect(through(up, 460, 20_000, 0).target).toBe(1)
  })
})

describe('the management API', () => {
  test('an endpoint can be created, paused, resumed and deleted, and reports state and price', async () => {
    const clock = clockOf()
    const hf = await startFakeHf({ clock, otherTokens: ['hf_infer'] })
    cleanUp.push(hf)
    const call = async (method: string, path: string, body?: object, token = 'hf_fake') => {
      const reply = await fetch(`${hf.apiUrl}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      })
      const text = await reply.text()
      return { status: reply.status, text, json: text.startsWith('{') ? JSON.parse(text) : undefined }
    }
    const wanted = {
      name: 'embed',
      type: 'authenticated',
      compute: { scaling: { minReplica: 0, maxReplica: 2, scaleToZeroTimeout: 15 } },
      model: { repository: 'BAAI/bge-base-en-v1.5', revision: 'abc' },
    }
    expect((await call('POST', '/endpoint/test', wanted, 'hf_infer')).status).toBe(403)
    expect((await call('GET', '/endpoint/test/embed', undefined, 'nobody')).status).toBe(401)
    const created = await call('POST', '/endpoint/test', wanted)
    expect([created.status, created.json.status.state]).toEqual([202, 'initializing'])
    expect((await call('POST', '/endpoint/test', wanted)).status).toBe(409)
    await clock.advance(157_000)
    const running = await call('GET', '/endpoint/test/embed', undefined, 'hf_infer')
    expect(running.json).toMatchObject({
      model: { repository: 'BAAI/bge-base-en-v1.5', revision: 'abc' },
      compute: { scaling: { maxReplica: 2, scaleToZeroTimeout: 15 } },
      status: { state: 'running', readyReplica: 1, targetReplica: 1, url: hf.endpoints.get('embed')?.url },
    })
    expect((await call('POST', '/endpoint/test/embed/resume')).text).toContain('already running')
    expect((await call('POST', '/endpoint/test/embed/pause')).json.status.state).toBe('paused')
    expect((await call('POST', '/endpoint/test/embed/resume')).json.status.state).toBe('initializing')
    await clock.advance(157_000)
    expect((await call('POST', '/endpoint/test/embed/scale-to-zero')).json.status.state).toBe('scaledToZero')
    const scaled = await call('PUT', '/endpoint/test/embed', { compute: { scaling: { maxReplica: 5 } } })
    expect(scaled.json.compute.scaling).toMatchObject({ minReplica: 0, maxReplica: 5 })
    expect((await call('GET', '/endpoint/test')).json.items).toHaveLength(1)
    const [vendor] = (await call('GET', '/provider/test')).json.vendors
    expect(vendor.regions[0].computes).toContainEqual(
      expect.objectContaining({ instanceType: 'nvidia-a10g', pricePerHour: 1, status: 'available' }),
    )
    expect((await call('DELETE', '/endpoint/test/embed')).status).toBe(200)
    expect((await call('GET', '/endpoint/test/embed')).status).toBe(404)
  })
})
