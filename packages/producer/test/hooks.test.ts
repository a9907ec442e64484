// Hooks: each sender must prove the secret in its own way; a burst triggers one call.

import { createHmac } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { expect, test, vi } from 'vitest'
import { createBurst, type HookKind, serveHooks } from '../src/hooks.ts'

const secret = 'a-secret-that-nobody-guesses'
const push = JSON.stringify({
  event: { action: 'update', scope: 'repo.content' },
  repo: { name: 'me/model' },
})

async function open(debounceMs = 0) {
  const received: (readonly HookKind[])[] = []
  let called = Promise.withResolvers<void>()
  const hooks = await serveHooks({
    listen: '0',
    secret,
    debounceMs,
    onHook(kinds) {
      received.push(kinds)
      called.resolve()
      called = Promise.withResolvers()
    },
  })
  return {
    received,
    next: () => called.promise,
    url: hooks.url,
    send: async (kind: string, headers: Record<string, string>, body = push, method = 'POST') =>
      (await fetch(`${hooks.url}/hooks/${kind}`, { method, headers, ...(method === 'POST' && { body }) }))
        .status,
    [Symbol.asyncDispose]: () => hooks[Symbol.asyncDispose](),
  }
}

function signed(body: string, timeMs = Date.now(), key = secret): Record<string, string> {
  const time = String(Math.floor(timeMs / 1000))
  const signature = createHmac('sha256', key).update(`delivery-1.${time}.${body}`).digest('base64')
  return {
    'x-mlflow-delivery-id': 'delivery-1',
    'x-mlflow-timestamp': time,
    'x-mlflow-signature': `v1,${signature}`,
  }
}

test('a hook is accepted when its sender proves the secret in its own way', async () => {
  await using hooks = await open()
  for (const [kind, headers] of [
    ['huggingface', { 'x-webhook-secret': secret }],
    ['mlflow', signed(push)],
    ['generic', { authorization: `Bearer ${secret}` }],
  ] as const) {
    const next = hooks.next()
    expect(await hooks.send(kind, headers)).toBe(202)
    await next
    expect(hooks.received.at(-1)).toEqual([kind])
  }
})

test("a signature that MLflow's own code makes is accepted (mlflow 3.17.2, mlflow/webhooks/delivery.py)", async () => {
  const hooks = await serveHooks({ listen: '0', secret, onHook: () => {}, now: () => 1_795_000_000_000 })
  const reply = await fetch(`${hooks.url}/hooks/mlflow`, {
    method: 'POST',
    headers: {
      'X-MLflow-Delivery-Id': 'delivery-1',
      'X-MLflow-Timestamp': '1795000000',
      'X-MLflow-Signature': 'v1,/LhtTeTqk2A3gsD0I5URf76FwiX9W3Y9vgqveK6LMLc=',
    },
    body: '{"entity":"model_version_alias","action":"created"}',
  })
  await hooks[Symbol.asyncDispose]()
  expect(reply.status).toBe(202)
})

test('a hook is refused without the secret, with a part of it, with another secret or with an old signature', async () => {
  await using hooks = await open()
  const refused = [
    ['huggingface', {}],
    ['huggingface', { 'x-webhook-secret': secret.slice(1) }],
    ['generic', { authorization: secret }],
    ['generic', { authorization: 'Bearer ' }],
    ['mlflow', signed(`${push} `)],
    ['mlflow', signed(push, Date.now(), 'another-secret-altogether')],
    ['mlflow', signed(push, Date.now() - 10 * 60_000)],
    ['mlflow', { ...signed(push), 'x-mlflow-delivery-id': 'delivery-2' }],
  ] as const
  for (const [kind, headers] of refused) expect(await hooks.send(kind, headers), kind).toBe(401)
  expect(await hooks.send('gitlab', { authorization: `Bearer ${secret}` })).toBe(404)
  expect(await hooks.send('generic', { authorization: `Bearer ${secret}` }, push, 'GET')).toBe(405)
  expect(
    await hooks.send('generic', { authorization: `Bearer ${secret}` }, 'x'.repeat(1024 * 1024 + 1)),
  ).toBe(413)
  // The valid hook is sent last, so that no call for an earlier one can still be pending.
  const next = hooks.next()
  await hooks.send('generic', { authorization: `Bearer ${secret}` })
  await next
  expect(hooks.received).toEqual([['generic']])
})

test('a hook for a discussion or a setting on Hugging Face triggers nothing', async () => {
  await using hooks = await open()
  const headers = { 'x-webhook-secret': secret }
  expect(await hooks.send('huggingface', headers, JSON.stringify({ event: { scope: 'discussion' } }))).toBe(
    202,
  )
  expect(await hooks.send('huggingface', headers, 'not JSON')).toBe(202)
  const next = hooks.next()
  await hooks.send('huggingface', headers)
  await next
  expect(hooks.received).toHaveLength(1)
})

test('a burst of hooks triggers one call, with every kind received', async () => {
  await using hooks = await open(200)
  const next = hooks.next()
  for (let i = 0; i < 10; i += 1) await hooks.send('huggingface', { 'x-webhook-secret': secret })
  await hooks.send('generic', { authorization: `Bearer ${secret}` })
  await next
  expect(hooks.received).toEqual([['huggingface', 'generic']])
})

test('hooks that never cease trigger a call all the same', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  try {
    const received: (readonly HookKind[])[] = []
    const burst = createBurst(100, kinds => received.push(kinds))
    for (let ms = 0; ms <= 1_000; ms += 50) {
      burst.add('generic')
      vi.advanceTimersByTime(50)
    }
    expect(received).toEqual([['generic']])
    burst.end()
  } finally {
    vi.useRealTimers()
  }
})

test('a signed hook that is sent again triggers nothing', async () => {
  await using hooks = await open()
  const headers = signed(push)
  const first = hooks.next()
  expect(await hooks.send('mlflow', headers)).toBe(202)
  await first
  const next = hooks.next()
  expect(await hooks.send('mlflow', headers)).toBe(202)
  await hooks.send('generic', { authorization: `Bearer ${secret}` })
  await next
  expect(hooks.received).toEqual([['mlflow'], ['generic']])
})

/** Sends a part of a request; `status` is that of the reply. */
async function sendHead(url: string, head: string): Promise<{ status: Promise<string>; socket: Socket }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {})
  const status = new Promise<string>(resolve => {
    let reply = ''
    socket.on('data', data => {
      reply += data
    })
    socket.on('close', () => resolve(reply.split(' ')[1] ?? ''))
  })
  socket.write(head)
  return { status, socket }
}

test('a hook without its secret is refused before its body is read', async () => {
  await using hooks = await open()
  for (const kind of ['huggingface', 'generic', 'mlflow']) {
    const { status } = await sendHead(
      hooks.url,
      `POST /hooks/${kind} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nx`,
    )
    expect(await status).toBe('401')
  }
})

test('connections and bodies that do not end are bounded in number', async () => {
  await using hooks = await open()
  const head = `POST /hooks/generic HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${secret}\r\ncontent-length: 9\r\n\r\nx`
  const bodies = await Promise.all(Array.from({ length: 12 }, () => sendHead(hooks.url, head)))
  let refused = 0
  for (const { status } of bodies)
    void status.then(code => {
      refused += code === '503' ? 1 : 0
    })
  await expect.poll(() => refused).toBe(4)
  const idle = await Promise.all(Array.from({ length: 200 }, () => sendHead(hooks.url, '')))
  let closed = 0
  for (const { socket } of idle)
    socket.on('close', () => {
      closed += 1
    })
  // 64 connections stay, 8 of which are those whose bodies are awaited.
  await expect.poll(() => closed).toBe(200 - 56)
  for (const { socket } of [...idle, ...bodies]) socket.destroy()
  await expect
    .poll(() => hooks.send('generic', { authorization: `Bearer ${secret}` }).catch(() => 0))
    .toBe(202)
})

test('an empty or short secret is refused before the port is opened', async () => {
  const start = (short: string) => serveHooks({ listen: '0', secret: short, onHook: () => {} })
  await expect(start('')).rejects.toThrow('hooks need a secret: put a random one into REEMBED_HOOK_SECRET')
  await expect(start('letmein')).rejects.toThrow('under 16 characters')
  await expect(serveHooks({ listen: 'here', secret, onHook: () => {} })).rejects.toThrow(
    "'here' is not a listen address",
  )
})
