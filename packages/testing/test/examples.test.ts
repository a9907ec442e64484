// The examples in the documentation of the package.

import { hashVector } from '@reembed/local'
import { expect, test } from 'vitest'
import { createManualClock } from '../src/tei/clock.ts'
import { startFakeHf } from '../src/tei/hf-api.ts'
import { startFakeHfEndpoint } from '../src/tei/hf-endpoint.ts'
import { startLoadBalancer } from '../src/tei/load-balancer.ts'
import { startFakeTei } from '../src/tei/tei.ts'

const headers = { 'content-type': 'application/json' }
const embed = (url: string, inputs: readonly string[]): Promise<Response> =>
  fetch(`${url}/embed`, { method: 'POST', headers, body: JSON.stringify({ inputs }) })

test('startFakeTei: vectors can be computed, and a fault replaces one reply', async () => {
  await using tei = await startFakeTei({ dimensions: 8 })
  tei.faults.request = ({ number }) =>
    number === 1 ? { kind: 'reply', reply: { status: 429, text: 'overloaded' } } : undefined
  expect((await embed(tei.url, ['a', 'b'])).status).toBe(429)
  const rows = await (await embed(tei.url, ['a', 'b'])).json()
  expect(rows).toEqual(['a', 'b'].map(text => [...hashVector(text, { dimensions: 8 })]))
  expect(tei.counts).toMatchObject({ received: 2, requests: 1, inputs: 2 })
})

test('createManualClock: a slow batch and a long warm-up take no real time', async () => {
  const clock = createManualClock()
  await using tei = await startFakeTei({ clock, baseMs: 60_000, msPerToken: 1 })
  await clock.advanceUntilSettled(embed(tei.url, ['a b']))
  expect(clock.now()).toBe(60_002)
  await using warming = await startFakeTei({ clock, warmUpMs: 42_000 })
  expect(warming.state).toBe('warming')
  await clock.advance(42_000)
  await warming.ready
  expect(warming.state).toBe('up')
})

test('startFakeHfEndpoint: X-Scale-Up-Timeout holds a request until a replica is ready', async () => {
  const clock = createManualClock()
  await using endpoint = await startFakeHfEndpoint({ clock, initialState: 'scaledToZero' })
  const reply = await clock.advanceUntilSettled(
    fetch(`${endpoint.url}/info`, {
      headers: { authorization: 'Bearer hf_fake', 'x-scale-up-timeout': '600' },
    }),
  )
  expect([reply.status, endpoint.coldStarts]).toEqual([200, 1])
})

test('startFakeHf and startLoadBalancer: the documented URLs answer', async () => {
  await using hf = await startFakeHf()
  await hf.deploy('my-endpoint', { initialState: 'scaledToZero' })
  const reply = await fetch(`${hf.apiUrl}/endpoint/test/my-endpoint`, {
    headers: { authorization: 'Bearer hf_fake' },
  })
  expect(await reply.json()).toMatchObject({ status: { state: 'scaledToZero' } })
  await using first = await startFakeTei()
  await using second = await startFakeTei()
  await using balancer = await startLoadBalancer({ replicas: [first, second] })
  expect((await fetch(`${balancer.url}/info`)).status).toBe(200)
})
