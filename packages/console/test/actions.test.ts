// Actions over real outputs: only with their own token, only from a page of the same session, and
// with the effect of the command of the same purpose.

import { once } from 'node:events'
import { type IncomingMessage, request as send } from 'node:http'
import { putVersion, readCurrent, readRunStateRecord } from '@reembed/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Console, serveConsole } from '../src/index.ts'
import { finishedRun, OTHER, plannedRun, RUN, type TemporaryStore, temporaryStore } from './runs.ts'

const TOKEN = 'opens-the-pages'
const ACTING = 'lets-a-person-act'

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

async function serve(more: { token?: string; actions?: { token: string } } = {}): Promise<string> {
  const { token, actions = { token: ACTING } } = more
  shown = await serveConsole({ stores: [made.store], listen: '0', pollMs: 20, token, actions })
  return shown.url
}

const post = (
  url: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> =>
  fetch(url, { method: 'POST', body: new URLSearchParams(form), headers, redirect: 'manual' })

/** A session of a person, and the forms of the page of a run. */
async function signIn(url: string, token = ACTING, name = 'ada'): Promise<string> {
  const response = await post(`${url}/sign-in`, { token, name })
  expect(response.headers.get('location')).toBe('/')
  return response.headers.get('set-cookie')?.split(';')[0] ?? ''
}

const pageOf = async (url: string, cookie = '', run = RUN): Promise<string> =>
  (await fetch(`${url}/runs/${run}`, { headers: { cookie } })).text()

const csrfOf = (page: string): string => /name="csrf" value="([^"]+)"/.exec(page)?.[1] ?? ''
const actionsIn = (page: string): string[] =>
  Array.from(page.matchAll(/name="action" value="(\w+)"/g), ([, name = '']) => name)

/** Signs in and sends one form of the run's page; returns the page that follows. */
async function act(url: string, action: string, reason = '', run = RUN): Promise<string> {
  const cookie = await signIn(url)
  await expect.poll(async () => actionsIn(await pageOf(url, cookie, run))).toContain(action)
  const csrf = csrfOf(await pageOf(url, cookie, run))
  const form = { action, run, output: made.store.url, csrf, reason }
  const response = await post(`${url}/act`, form, { cookie, origin: url })
  expect(response.status).toBe(303)
  expect(response.headers.get('location')).toBe(`/runs/${run}#actions`)
  return pageOf(url, cookie, run)
}

const stateOf = async (run = RUN) => readRunStateRecord(made.store, run)
const running = (): Promise<unknown> => plannedRun(made.store)
const held = async (): Promise<unknown> => finishedRun(made.store, await plannedRun(made.store), 60)

test('without a token for actions there are no forms, and a form is refused', async () => {
  await running()
  shown = await serveConsole({ stores: [made.store], listen: '0', pollMs: 20 })
  expect(await pageOf(shown.url)).not.toContain('<form method="post"')
  const form = { action: 'pause', run: RUN, output: made.store.url, csrf: '' }
  expect((await post(`${shown.url}/act`, form)).status).toBe(405)
  expect((await stateOf()).state).toBe('running')
})

test('an action is refused without a session, with the token for reading, and without the proof of the page', async () => {
  await running()
  const url = await serve({ token: TOKEN })
  const form = { action: 'pause', run: RUN, output: made.store.url, csrf: '' }
  const reading = await signIn(url, TOKEN)
  expect(actionsIn(await pageOf(url, reading))).toEqual([])
  const acting = await signIn(url)
  const csrf = csrfOf(await pageOf(url, acting))
  const others = csrfOf(await pageOf(url, await signIn(url)))
  const refused: [Record<string, string>, Record<string, string>][] = [
    [form, {}],
    [form, { authorization: `Bearer ${TOKEN}` }],
    [{ ...form, csrf }, { cookie: reading }],
    [form, { cookie: acting }],
    [{ ...form, csrf: others }, { cookie: acting }],
    [
      { ...form, csrf },
      { cookie: acting, origin: 'https://attacker.example' },
    ],
    [
      { ...form, csrf },
      { cookie: acting, origin: 'null' },
    ],
    [
      { ...form, csrf },
      { cookie: acting, 'sec-fetch-site': 'cross-site' },
    ],
  ]
  for (const [sent, headers] of refused) expect((await post(`${url}/act`, sent, headers)).status).toBe(403)
  expect(
    (await fetch(`${url}/act?${new URLSearchParams({ ...form, csrf })}`, { headers: { cookie: acting } }))
      .status,
  ).toBe(404)
  expect((await stateOf()).state).toBe('running')
  expect((await post(`${url}/act`, { ...form, csrf }, { cookie: acting, origin: url })).status).toBe(303)
  expect((await stateOf()).state).toBe('paused')
})

test('the token for actions needs a name, and the cookie that it gives holds no token', async () => {
  const url = await serve()
  const nameless = await post(`${url}/sign-in`, { token: ACTING, name: ' ' })
  expect([nameless.headers.get('location'), nameless.headers.get('set-cookie')]).toEqual([
    '/sign-in?wrong',
    null,
  ])
  expect(await (await fetch(`${url}/sign-in`)).text()).toContain('name="name"')
  const cookie =
    (await post(`${url}/sign-in`, { token: ACTING, name: 'ada' })).headers.get('set-cookie') ?? ''
  expect(cookie).toMatch(/; Path=\/; HttpOnly; SameSite=Strict; Max-Age=/)
  expect(cookie).not.toContain(ACTING)
})

test('pause, resume and cancel record the person and the reason', async () => {
  await running()
  const url = await serve()
  const page = await act(url, 'pause', 'nightly <window>')
  expect(page).toContain('paused; jobs in progress finish')
  expect(page).toContain('nightly &lt;window&gt;')
  expect(await stateOf()).toMatchObject({ state: 'paused', by: 'ada (console)', reason: 'nightly <window>' })
  expect(await act(url, 'resume')).toContain('the next sweep of its workers enqueues its missing shards')
  expect((await stateOf()).state).toBe('running')
  await act(url, 'cancel', 'not needed')
  expect(await stateOf()).toMatchObject({ state: 'cancelled', reason: 'not needed' })
})

test('a held run is published nevertheless only with a reason, which its version states', async () => {
  await held()
  const url = await serve()
  expect(await act(url, 'publish_anyway', '  ')).toContain('publish anyway needs a reason')
  expect(await readCurrent(made.store)).toBeUndefined()
  expect(await act(url, 'publish_anyway', 'needed by noon')).toContain('published as version 1')
  expect(await readCurrent(made.store)).toMatchObject({
    run: RUN,
    action: 'force',
    by: 'ada (console)',
    reason: 'needed by noon',
  })
})

test('a held run that is rejected is not published by a sweep, and can be resumed', async () => {
  await held()
  const url = await serve()
  expect(await act(url, 'reject', 'the corpus is wrong')).toContain('rejected: sweeps do not publish it')
  expect(await stateOf()).toMatchObject({
    state: 'cancelled',
    by: 'ada (console)',
    reason: 'the corpus is wrong',
  })
  await act(url, 'resume')
  expect((await stateOf()).state).toBe('running')
})

test('a replaced run becomes current again', async () => {
  for (const [i, run] of [RUN, OTHER].entries()) {
    const plan = await plannedRun(made.store, { run })
    await finishedRun(made.store, plan)
    await putVersion(made.store, {
      version: i + 1,
      run,
      seq: plan.seq,
      manifestSha256: 'x',
      action: 'publish',
    })
  }
  const url = await serve()
  expect(await act(url, 'roll_back', 'worse answers')).toContain('published as version 3')
  expect(await readCurrent(made.store)).toMatchObject({
    run: RUN,
    action: 'rollback',
    reason: 'worse answers',
  })
})

test('rejects cannot be retried without Redis, and the page says why', async () => {
  await held()
  const url = await serve()
  expect(await act(url, 'retry_rejects')).toContain('this console has no Redis')
})

test('a reason is read whole, also where a piece of the form ends within a character', async () => {
  await running()
  const url = await serve()
  const form = { action: 'pause', run: RUN, output: made.store.url }
  const reason = 'Prüfung der Löschung'
  const body = Buffer.from(`${new URLSearchParams(form)}&reason=${reason}`)
  const sent = send(`${url}/act`, { method: 'POST', headers: { authorization: `Bearer ${ACTING}` } })
  const within = body.indexOf('ü') + 1
  sent.write(body.subarray(0, within))
  sent.end(body.subarray(within))
  const [{ statusCode }] = (await once(sent, 'response')) as [IncomingMessage]
  expect(statusCode).toBe(200)
  expect(await stateOf()).toMatchObject({ state: 'paused', reason })
})

test('a program acts with the token in its header, and gets the result as text', async () => {
  await running()
  const url = await serve({ token: TOKEN })
  const headers = { authorization: `Bearer ${ACTING}` }
  const form = { action: 'pause', run: RUN, output: made.store.url, reason: 'x' }
  const done = await post(`${url}/act`, form, headers)
  expect([done.status, await done.text()]).toEqual([200, 'paused; jobs in progress finish\n'])
  const wrong = await post(`${url}/act`, { ...form, action: 'roll_back' }, headers)
  expect([wrong.status, await wrong.text()]).toEqual([409, expect.stringContaining('is not finished')])
  for (const bad of [{ action: 'delete' }, { run: '../x' }, { output: '/etc' }])
    expect((await post(`${url}/act`, { ...form, ...bad }, headers)).status).toBe(400)
  expect((await post(`${url}/act`, { ...form, reason: 'x'.repeat(10_000) }, headers)).status).toBe(413)
})
