// A fleet with every kind of secret, many faults and debug logs: no output that can be read
// afterwards contains a secret.

import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { startRedis } from '@reembed/local'
import { type S3Fault, type S3Request, startFakeTei, startS3Server } from '@reembed/testing'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { documents, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const canary = (name: string): string => `canary-${name}-${Math.random().toString(36).slice(2)}`
const SECRETS = {
  s3: canary('s3'),
  session: canary('session'),
  endpoint: canary('endpoint'),
  hub: canary('hub'),
  redis: canary('redis'),
  metrics: canary('metrics'),
  hook: canary('hook'),
}

test('P-SECRETS: no output, log, error, metric, stored object or Redis key contains a secret', async () => {
  await using folder = await temporaryFolder()
  await using local = await startRedis()
  const { host } = new URL(local.url)
  const operator = new Redis(local.url)
  await operator.config('SET', 'requirepass', SECRETS.redis)
  const redis = `redis://:${SECRETS.redis}@${host}`
  await using tei = await startFakeTei({ dimensions: 8, apiKey: SECRETS.endpoint })
  let requests = Number.NEGATIVE_INFINITY
  tei.faults.request = () => {
    requests += 1
    if (requests % 9 === 4) return { kind: 'reset' }
    if (requests % 13 === 6) return { kind: 'reply', reply: { status: 500, text: 'inference failed' } }
    return undefined
  }
  await using s3 = await startS3Server({
    buckets: ['bucket'],
    secretAccessKey: SECRETS.s3,
    faults: ({ index, operation }: S3Request): S3Fault | undefined =>
      index % 9 === 8
        ? operation === 'PutObject'
          ? 'reply-lost'
          : { status: 503, code: 'SlowDown' }
        : undefined,
  })
  const env = {
    ...s3.env,
    AWS_SESSION_TOKEN: SECRETS.session,
    REEMBED_ENDPOINT_TOKEN: SECRETS.endpoint,
    HF_TOKEN: SECRETS.hub,
    REDIS_URL: redis,
    REEMBED_METRICS_TOKEN: SECRETS.metrics,
    REEMBED_HOOK_SECRET: SECRETS.hook,
    REEMBED_LOG: 'debug',
  }
  const seen = new Map<string, string>()
  const told = (what: string, { stdout, stderr }: { stdout: string; stderr: string }): void => {
    seen.set(what, `${stdout}${stderr}`)
  }

  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), [
    ...documents(200),
    { id: 'bad', text: '' },
  ])
  const places = ['--source', source, '--output', 's3://bucket/vectors', '--endpoint', tei.url]
  const worker = start(
    [
      'worker',
      '--sources',
      folder.path,
      '--output',
      's3://bucket/vectors',
      '--endpoint',
      tei.url,
      '--metrics',
      '0',
    ],
    env,
  )
  const metricsAt = worker.line(/127\.0\.0\.1:\d+|"port":\d+/)
  const enqueued = await inProcess(
    ['enqueue', ...places, '--documents-per-shard', '10', '--max-rejects', '5'],
    env,
  )
  told('enqueue', enqueued)
  expect(enqueued).toMatchObject({ code: 0 })
  requests = 0
  await worker.line(/"state":"published"/)
  const [, port = ''] = /127\.0\.0\.1:(\d+)/.exec(await metricsAt) ?? []
  if (port !== '') {
    const reply = await fetch(`http://127.0.0.1:${port}/metrics`, {
      headers: { authorization: `Bearer ${SECRETS.metrics}` },
    })
    seen.set('metrics', await reply.text())
  }
  const client = new Redis(redis)
  seen.set('redis', await dumpOf(client))
  client.disconnect()
  operator.disconnect()
  worker.child.kill('SIGTERM')
  told('worker', await worker.finished)

  const wrong = { ...env, REEMBED_ENDPOINT_TOKEN: SECRETS.hub, AWS_SECRET_ACCESS_KEY: SECRETS.hook }
  for (const [what, args, variables] of [
    ['status', ['status', '--output', 's3://bucket/vectors'], env],
    ['config', ['config', ...places], env],
    ['doctor', ['doctor', '--output', 's3://bucket/vectors', '--endpoint', tei.url], env],
    ['wrong everything', ['doctor', '--output', 's3://bucket/vectors', '--endpoint', tei.url], wrong],
    [
      'a wrong password',
      ['status', '--output', 's3://bucket/vectors', '--redis', `redis://:${SECRETS.hub}@${host}`],
      env,
    ],
  ] as const) {
    told(what, await inProcess(args, variables))
  }
  const bucket = s3.bucket('bucket')
  for (const key of bucket.keys()) {
    const body = bucket.get(key)?.body ?? Buffer.alloc(0)
    seen.set(key, (key.endsWith('.gz') ? gunzipSync(body) : body).toString('latin1'))
    seen.set(`the headers of ${key}`, JSON.stringify(bucket.get(key)?.headers))
  }

  expect([...seen.keys()]).toEqual(expect.arrayContaining(['metrics', 'worker', 'redis', 'wrong everything']))
  expect(seen.get('worker')).toMatch(/"level":"debug"/)
  const leaks: string[] = []
  for (const [name, secret] of Object.entries(SECRETS)) {
    const shapes = [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')]
    for (const [where, text] of seen)
      if (shapes.some(shape => text.includes(shape))) leaks.push(`${name} in ${where}`)
  }
  expect(leaks).toEqual([])
})

/** Every key and value. */
async function dumpOf(client: Redis): Promise<string> {
  const parts: unknown[] = []
  for (const key of await client.keys('*')) {
    const read: Record<string, () => Promise<unknown>> = {
      string: () => client.get(key),
      list: () => client.lrange(key, 0, -1),
      set: () => client.smembers(key),
      hash: () => client.hgetall(key),
      zset: () => client.zrange(key, '0', '-1'),
      stream: () => client.xrange(key, '-', '+'),
    }
    parts.push(key, await read[await client.type(key)]?.())
  }
  expect(parts.length).toBeGreaterThan(0)
  return JSON.stringify(parts)
}
