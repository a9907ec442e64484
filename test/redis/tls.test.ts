// TLS with a private CA between all parts of a Cluster and of Sentinels: real servers, and the
// command as a process, which reads NODE_EXTRA_CA_CERTS at its start.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei } from '@reembed/local'
import { inspectRedis } from '@reembed/queue'
import { expect, test } from 'vitest'
import { documents, flags, reembed, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { createTls, startTlsCluster, startTlsSentinel } from './servers.ts'

test.each([
  { name: 'a Cluster', open: startTlsCluster },
  { name: 'a primary behind a Sentinel', open: startTlsSentinel },
])(
  'a run on $name with TLS and a private CA ends, and without the CA is refused by name',
  async ({ open }) => {
    await using stack = new AsyncDisposableStack()
    const folder = stack.use(await temporaryFolder())
    await mkdir(join(folder.path, 'tls'))
    const tls = await createTls(join(folder.path, 'tls'))
    const { url } = stack.use(await open(folder.path, tls))

    const startedMs = performance.now()
    await expect(inspectRedis(url)).rejects.toMatchObject({
      code: 'REDIS_MISCONFIGURED',
      message: expect.stringMatching(
        /certificate of Redis .* is not trusted \(\w+\): set NODE_EXTRA_CA_CERTS/,
      ),
    })
    // At once, not after the 60 s of a wait for Redis; with room for a busy machine.
    expect(performance.now() - startedMs).toBeLessThan(20_000)

    const tei = stack.use(await serveTei({ engine: createHashEngine({ dimensions: 8 }) }))
    const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(100))
    const output = join(folder.path, 'vectors')
    const trusted = { NODE_EXTRA_CA_CERTS: tls.ca }
    const ran = await reembed(['run', ...flags({ source, output, endpoint: tei.url, redis: url })], trusted)
    expect(ran.code, ran.stderr).toBe(0)
    expect(ran.stdout).toMatch(/published as version 1/)
    const shown = await reembed(['status', ...flags({ output, redis: url }), '--json'], trusted)
    expect(JSON.parse(shown.stdout)).toMatchObject({ state: 'published', queue: { jobs: { waiting: 0 } } })
  },
)
