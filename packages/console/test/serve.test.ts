import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import {
  type Plan,
  putGateReport,
  putLoadRecord,
  putSliceSegment,
  putVersion,
  setRunState,
} from '@reembed/protocol'
import { gatesKey, LIMITS, loadKey, ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createSearchReader } from '../src/data/searches.ts'
import { type CommandOf, type Console, serveConsole } from '../src/index.ts'
import { finishedRun, OTHER, plannedRun, RUN, type TemporaryStore, temporaryStore } from './runs.ts'

let made: TemporaryStore
let shown: Console | undefined
beforeEach(async () => {
  made = await temporaryStore()
})
afterEach(async () => {
  await shown?.[Symbol.asyncDispose]()
  shown = undefined
  await made[Symbol.asyncDispose]()
})

const commandOf: CommandOf = (step, { output, run }) => `${step} ${run} ${output}`
const TOKEN = 'a-secret-of-the-console'
const serve = async (
  more: { token?: string; listen?: string; store?: Store; pollMs?: number } = {},
): Promise<string> => {
  const { store = made.store, ...rest } = more
  shown = await serveConsole({ stores: [store], listen: '0', pollMs: 20, commandOf, ...rest })
  return shown.url
}
const text = async (url: string, headers: Record<string, string> = {}): Promise<string> =>
  (await fetch(url, { headers })).text()

/** Finishes a planned run, and publishes it as version 1. */
async function publish(plan: Plan): Promise<void> {
  await finishedRun(made.store, plan)
  await putVersion(made.store, {
    version: 1,
    run: RUN,
    seq: plan.seq,
    manifestSha256: 'x',
    action: 'publish',
  })
}

/** The status of a request with headers that fetch does not set. */
async function statusOf(url: string, headers: Record<string, string>): Promise<number | undefined> {
  const [response] = (await once(get(url, { headers }), 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode
}

test('more pages that are kept up to date than other connections are open leave room for a request', async () => {
  const url = await serve()
  const pages = await Promise.all(
    Array.from({ length: LIMITS.connections + 16 }, async () => {
      const page = get(`${url}/events?page=/`, { agent: false })
      const [response] = (await once(page, 'response')) as [IncomingMessage]
      return { page, status: response.statusCode }
    }),
  )
  expect(new Set(pages.map(({ status }) => status))).toEqual(new Set([200]))
  expect((await fetch(url, { headers: { connection: 'close' } })).status).toBe(200)
  for (const { page } of pages) page.destroy()
})

test('the page of a run shows its state, its shards and its history', async () => {
  await plannedRun(made.store)
  await made.store.putIfAbsent(shardKey(RUN, 0, 4), Buffer.from('shard'))
  await setRunState(made.store, RUN, 'paused', { by: 'ada@build-7', reason: 'nightly window' })
  const url = await serve()
  const page = await text(`${url}/runs/${RUN}`)
  expect(page).toContain('by ada@build-7: nightly window')
  expect(page).toContain('waiting <b>3</b>')
  expect(page).toContain('done <b>1</b>')
  expect(page).toContain('paused by ada@build-7: nightly window</span></li>')
  expect(page).toContain(`Continue it: <code class="command" data-copy>resume ${RUN}`)
  await expect.poll(() => text(url)).toContain('by ada@build-7: nightly window')
})

test('the versions have the actor, the reason and what was overridden, and a way back to other runs', async () => {
  const [first, second] = [await plannedRun(made.store), await plannedRun(made.store, { run: OTHER })]
  const version = { manifestSha256: 'x', by: 'ada@build-7' }
  for (const plan of [first, second]) await finishedRun(made.store, plan)
  await putVersion(made.store, { ...version, version: 1, run: RUN, seq: 1, action: 'publish' })
  await putVersion(made.store, {
    ...version,
    version: 2,
    run: OTHER,
    seq: 2,
    action: 'force',
    reason: 'needed by noon',
    overriddenReasons: ['7 of 100 documents were rejected'],
  })
  await putVersion(made.store, { ...version, version: 3, run: RUN, seq: 3, action: 'rollback' })
  const url = await serve()
  await expect.poll(() => text(`${url}/versions`)).toContain('Version 3')
  const page = await text(`${url}/versions`)
  expect(page).toContain('force by ada@build-7: needed by noon')
  expect(page).toContain('Despite: 7 of 100 documents were rejected')
  expect(page.match(/data-copy>roll_back \w+/g)).toEqual([`data-copy>roll_back ${OTHER}`])
})

test('a shard that is not made yet has its source ranges, and a number that is no shard is refused', async () => {
  await finishedRun(made.store, await plannedRun(made.store))
  const url = await serve()
  expect(await text(`${url}/runs/${RUN}?shard=4`)).toContain('no shard of this number')
  expect(await text(`${url}/runs/${RUN}?shard=x`)).toContain('no shard of this number')
})

test('markup and control characters of a reason are shown as text', async () => {
  await plannedRun(made.store)
  await setRunState(made.store, RUN, 'cancelled', {
    by: 'eve',
    reason: '<script>alert(1)</script>\u001b[31m',
  })
  const page = await text(`${await serve()}/runs/${RUN}`)
  expect(page).not.toContain('<script>alert')
  expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;␛[31m')
})

test('every reply forbids scripts, styles and requests from elsewhere, and names no other host', async () => {
  const url = await serve()
  for (const path of ['/', '/versions', '/console.js', '/console.css', '/nothing']) {
    const { headers } = await fetch(url + path)
    const policy = headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('referrer-policy')).toBe('same-origin')
  }
  for (const path of ['/', '/console.js', '/console.css'])
    expect((await text(url + path)).replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:\/\//)
})

test('on loopback a request that names another host is refused, as DNS rebinding sends it', async () => {
  const url = await serve()
  expect(await statusOf(url, { host: 'rebound.example' })).toBe(421)
  expect(await statusOf(url, { host: 'localhost:1' })).toBe(200)
})

test('an address that other machines reach needs a token', async () => {
  await expect(serve({ listen: '0.0.0.0:0' })).rejects.toMatchObject({
    code: 'USAGE',
    option: 'console.token',
  })
  const { port } = new URL(await serve({ listen: '0.0.0.0:0', token: TOKEN }))
  expect(await statusOf(`http://127.0.0.1:${port}/`, {})).toBe(401)
})

test('the token opens pages in a header, or once exchanged for a cookie; it is in no address', async () => {
  await plannedRun(made.store)
  const url = await serve({ token: TOKEN })
  for (const path of ['/', `/runs/${RUN}`, '/versions', '/events?page=/'])
    expect((await fetch(url + path)).status, path).toBe(401)
  expect((await fetch(url, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401)
  expect((await fetch(`${url}/?token=${TOKEN}`)).status).toBe(401)
  expect((await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200)

  const signIn = (token: string): Promise<Response> =>
    fetch(`${url}/sign-in`, { method: 'POST', body: new URLSearchParams({ token }), redirect: 'manual' })
  const refused = await signIn('wrong')
  expect([refused.headers.get('location'), refused.headers.get('set-cookie')]).toEqual([
    '/sign-in?wrong',
    null,
  ])
  const accepted = await signIn(TOKEN)
  const cookie = accepted.headers.get('set-cookie') ?? ''
  expect(cookie).toMatch(/; Path=\/; HttpOnly; SameSite=Strict; Max-Age=/)
  expect(cookie + accepted.headers.get('location')).not.toContain(TOKEN)
  expect((await fetch(url, { headers: { cookie: cookie.split(';')[0] ?? '' } })).status).toBe(200)
  expect((await fetch(url, { headers: { cookie: 'reembed_console=guess' } })).status).toBe(401)
})

test('the cookie of a reader who came by TLS is never sent without it; a sign-in form of another site is refused', async () => {
  const url = await serve({ token: TOKEN })
  const signIn = (origin: string): Promise<Response> =>
    fetch(`${url}/sign-in`, {
      method: 'POST',
      body: new URLSearchParams({ token: TOKEN }),
      headers: { origin },
      redirect: 'manual',
    })
  const cookieFrom = async (origin: string) => (await signIn(origin)).headers.get('set-cookie')
  // A proxy ends TLS: the browser states https, the request arrives without it.
  expect(await cookieFrom(url.replace('http:', 'https:'))).toMatch(/; Secure$/)
  expect(await cookieFrom(url)).not.toMatch(/Secure/)
  const refused = await signIn('https://attacker.example')
  expect([refused.status, refused.headers.get('set-cookie')]).toEqual([403, null])
})

test('the console changes nothing without a token for actions: every method but GET and HEAD is refused', async () => {
  const url = await serve()
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
    expect((await fetch(`${url}/runs/${RUN}`, { method })).status).toBe(405)
})

/** The events of a page until `isEnough`. */
async function eventsUntil(url: string, isEnough: (text: string) => boolean): Promise<string> {
  const response = await fetch(url)
  let seen = ''
  for await (const piece of response.body ?? []) {
    seen += Buffer.from(piece).toString()
    if (isEnough(seen)) break
  }
  return seen
}

test('a reader gets every region once, and then only those that changed', async () => {
  const plan = await plannedRun(made.store)
  const url = await serve()
  const seen = eventsUntil(`${url}/events?page=/runs/${RUN}`, text => text.includes('as version 1'))
  await expect.poll(() => text(url)).toContain('queued')
  await publish(plan)
  const events = (await seen).split('\n\n').filter(event => event.startsWith('event: page'))
  const idsOf = (event = ''): string[] =>
    JSON.parse(event.split('data: ')[1] ?? '{}').sections.map(({ id }: { id: string }) => id)
  expect(idsOf(events[0])).toContain('shards')
  const last = idsOf(events.at(-1))
  expect(last).toContain('state')
  expect(last).not.toContain('limit')
})

test('a page does not wait for what is slow to read; open pages get it as soon as it is read', async () => {
  await finishedRun(made.store, await plannedRun(made.store))
  const slow = Promise.withResolvers<void>()
  const store: Store = new Proxy(made.store, {
    get(target, name, receiver) {
      if (name !== 'stream') return Reflect.get(target, name, receiver)
      return async function* (key: string) {
        if (key.includes('/manifest-')) await slow.promise
        yield* made.store.stream(key)
      }
    },
  })
  // No poll of the watch sends the regions.
  const url = await serve({ store, pollMs: 600_000 })
  const path = `/runs/${RUN}`
  const page = await text(url + path)
  expect(page).toContain('Reading the shards …')
  expect(page).toContain('All figures')
  const seen = eventsUntil(`${url}/events?page=${path}`, events => {
    if (events.includes('Reading the shards')) slow.resolve()
    return events.includes('class=\\"shards\\"')
  })
  expect(await seen).toContain('done <b>4</b>')
})

test('a slow reading that fails is shown on the page that waits for it, and not repeated at once', async () => {
  await finishedRun(made.store, await plannedRun(made.store))
  const slow = Promise.withResolvers<void>()
  let streams = 0
  const store: Store = new Proxy(made.store, {
    get(target, name, receiver) {
      if (name !== 'stream') return Reflect.get(target, name, receiver)
      return async function* (key: string) {
        if (key.includes('/manifest-')) {
          streams += 1
          await slow.promise
        }
        yield* made.store.stream(key)
      }
    },
  })
  const url = await serve({ store, pollMs: 600_000 })
  const path = `/runs/${RUN}`
  expect(await text(url + path)).toContain('Reading the shards …')
  const seen = eventsUntil(`${url}/events?page=${path}`, events => {
    if (events.includes('Reading the shards')) slow.reject(new Error('the disk is broken'))
    return events.includes('the disk is broken')
  })
  await seen
  const before = streams
  expect(await text(url + path)).toContain('the disk is broken')
  expect(streams).toBe(before)
})

test('a poll reads the store as often with ten readers as with none', async () => {
  await plannedRun(made.store)
  const lists: string[] = []
  const counting: Store = new Proxy(made.store, {
    get(target, name, receiver) {
      if (name !== 'list') return Reflect.get(target, name, receiver)
      return (prefix: string) => {
        lists.push(prefix)
        return made.store.list(prefix)
      }
    },
  })
  const url = await serve({ store: counting })
  /** What each of five polls lists; a poll begins with the sequence numbers. */
  const pollsWith = async (readers: number): Promise<Set<string>> => {
    const stop = new AbortController()
    const open = (): Promise<Response> => fetch(`${url}/events?page=/runs/${RUN}`, { signal: stop.signal })
    await Promise.all(Array.from({ length: readers }, open))
    const before = lists.length
    const polls = (): string[] => lists.slice(before).join(' ').split('seq/').slice(1, -1)
    await expect.poll(() => polls().length, { timeout: 20_000 }).toBeGreaterThan(4)
    stop.abort()
    return new Set(polls().map(poll => poll.trim()))
  }
  // The first page reads the records of the run once, for all readers.
  await text(`${url}/runs/${RUN}`)
  const none = await pollsWith(0)
  expect(none.size).toBe(1)
  expect(await pollsWith(10)).toEqual(none)
})

test('while the store does not answer the page says so and keeps what it showed', async () => {
  await publish(await plannedRun(made.store))
  const failing = { isAway: false }
  const store: Store = new Proxy(made.store, {
    get(target, name, receiver) {
      if (failing.isAway && /^(list|get|head|stream)$/.test(String(name)))
        return () => {
          throw new Error('connection refused')
        }
      return Reflect.get(target, name, receiver)
    },
  })
  const url = await serve({ store })
  await expect.poll(() => text(`${url}/runs/${RUN}`)).toContain('as version 1')
  await expect.poll(() => text(url)).toContain('published')
  failing.isAway = true
  await expect.poll(() => text(url)).toContain('The store does not answer: connection refused')
  expect(await text(url)).toContain('published')
  const page = await text(`${url}/runs/${RUN}`)
  expect(page).toContain('The store does not answer: connection refused')
  expect(page).toContain('as version 1')
  // A run beyond the watched ones that was never read: a page, not a broken connection.
  const unknown = await fetch(`${url}/runs/${OTHER}`)
  expect(unknown.status).toBe(503)
  expect(await unknown.text()).toContain('The store does not answer: connection refused')
  failing.isAway = false
  await expect.poll(() => text(url)).not.toContain('does not answer')
})

test('a page and what it loads have few bytes', async () => {
  await finishedRun(made.store, await plannedRun(made.store, { shards: 5_000 }))
  const url = await serve()
  await expect.poll(() => text(`${url}/runs/${RUN}`)).toContain('class="shards"')
  const bytesOf = async (path: string): Promise<number> => Buffer.byteLength(await text(url + path))
  expect(await bytesOf('/console.js')).toBeLessThan(8_000)
  expect(await bytesOf('/console.css')).toBeLessThan(14_000)
  expect(await bytesOf(`/runs/${RUN}`)).toBeLessThan(10_000)
})

test('the card of an output has the next tick of its schedules, earliest first', async () => {
  await plannedRun(made.store)
  const schedule = { timezone: 'UTC', when: 'source_changed' as const }
  const schedules = {
    output: made.store.url,
    schedules: [
      { ...schedule, name: 'yearly', cron: '0 3 1 1 *' },
      { ...schedule, name: 'hourly', cron: '0 * * * *' },
    ],
  }
  shown = await serveConsole({ stores: [made.store], listen: '0', schedules })
  const page = await text(shown.url)
  expect(page.match(/schedule <b>\w+/g)).toEqual(['schedule <b>hourly', 'schedule <b>yearly'])
  expect(page).toContain('0 * * * * UTC, source changed')
})

test('versions have what their runs scored and cost, as a table and as charts', async () => {
  for (const [i, run] of [RUN, OTHER].entries()) {
    const plan = await plannedRun(made.store, { run })
    await finishedRun(made.store, plan, 0, { tokens: 990, endpointSeconds: 90, dollars: 0.5 + i })
    await putGateReport(made.store, gatesKey(run, i === 0 ? undefined : RUN), {
      evaluation: 'e',
      scores: { 'recall@10': [0.9 - i / 10, 0.7] },
      results: [],
    })
    await putVersion(made.store, {
      version: i + 1,
      run,
      seq: plan.seq,
      manifestSha256: 'x',
      action: 'publish',
    })
    await wait(5)
  }
  const url = await serve()
  await expect.poll(() => text(`${url}/versions`)).toContain('recall@10')
  const page = await text(`${url}/versions`)
  expect(page).toMatch(
    /<td class="num">2<\/td><td class="num">0.750<\/td>.*\$1.50.*<td class="num">1<\/td><td class="num">0.800/s,
  )
  expect(page.match(/<figure class="chart" id="chart-\w+"/g)).toHaveLength(2)
})

test('versions have the vector stores that hold their runs, the one that searches use first', async () => {
  const at = { address: 'postgres://db:5432/search', name: 'wiki' }
  const proof = {
    load: 'l',
    shardsSha256: 'x',
    shards: 1,
    rows: 12_345,
    sampled: 1,
    compared: 'bits',
  } as const
  const [old, next, gone] = ['wiki_old', 'wiki_next', 'wiki_gone'].map(target => ({ ...at, target }))
  const load = (target: typeof old, run: string, refused = 0) =>
    target && putLoadRecord(made.store, { ...target, run, action: 'load', proof: { ...proof, refused } })
  await load(old, RUN)
  await load(gone, OTHER)
  if (gone) await putLoadRecord(made.store, { ...gone, run: OTHER, action: 'drop' })
  const url = await serve()
  await expect.poll(() => text(`${url}/versions`)).toContain('wiki_old')
  const before = await text(`${url}/versions`)
  expect(before).not.toMatch(/wiki_gone|wiki_next|since/)
  await load(next, OTHER, 2)
  if (next) await putLoadRecord(made.store, { ...next, run: OTHER, action: 'switch', version: 1 })
  expect(await text(`${url}/versions`)).toMatch(
    /wiki_next.*12,345, 2 refused.*✓<\/span> wiki<\/span> since.*wiki_old/s,
  )
})

test('a record of a load that cannot be read does not hide the versions', async () => {
  await publish(await plannedRun(made.store))
  await made.store.putIfAbsent(loadKey(1), Buffer.from('{}'))
  const url = await serve()
  await expect.poll(() => text(`${url}/versions`)).toContain('Version 1')
  const page = await text(`${url}/versions`)
  expect(page).toMatch(/<h2>Vector stores<\/h2>.*The records of loads cannot be read: loads\//s)
  expect(page).not.toContain('The store does not answer')
})

test('a search that failed is shown, and made again after ten seconds', async () => {
  const reader = createSearchReader(
    [async () => Promise.reject(new ReembedError('MODEL_MISMATCH', 'another model'))],
    {},
    { signal: new AbortController().signal, now: () => nowMs },
  )
  let nowMs = 0
  await finishedRun(made.store, await plannedRun(made.store))
  expect(reader.read(made.store, RUN, 'owls')).toMatchObject({ state: 'running' })
  await expect
    .poll(() => reader.read(made.store, RUN, 'owls'))
    .toMatchObject({ state: 'failed', message: 'another model' })
  nowMs = 11_000
  expect(reader.read(made.store, RUN, 'owls')).toMatchObject({ state: 'running' })
  expect(createSearchReader([], {}, { signal: new AbortController().signal }).isPossible).toBe(false)
})

test('a shard whose job is tried again has its attempts and its last error; without Redis it has neither', async () => {
  await plannedRun(made.store)
  await putSliceSegment(
    made.store,
    RUN,
    0,
    Array.from({ length: 4 }, (_, i) => ({ parts: [{ ...PART, start: i, end: i + 1 }] })),
  )
  const attempts = { started: 3, counted: 1, lastError: 'HTTP 500 <b>' }
  const queue = {
    counts: async () => ({ waiting: 3, active: 0, delayed: 1, failed: 0 }),
    progress: async () => Promise.reject(new Error('not used')),
    workers: async () => [],
    failures: async () => [],
    planning: async () => [],
    openShards: async () => new Map<number, number>(),
    attempts: async ({ shard }: { shard: number }) =>
      shard === 2 ? attempts : Promise.reject(new Error('connection lost')),
  }
  shown = await serveConsole({ stores: [made.store], queue, listen: '0' })
  const page = await text(`${shown.url}/runs/${RUN}?shard=2`)
  expect(page).toContain('3 started, 1 counted')
  expect(page).toContain('HTTP 500 &lt;b&gt;')
  expect(page).toContain('2 to 3')
  const other = await text(`${shown.url}/runs/${RUN}?shard=1`)
  expect(other).toContain('its object is not in the store yet')
  expect(other).not.toContain('Attempts')
})

const PART = { key: 'a.jsonl', etag: 'x', size: 10, format: 'jsonl' as const }
