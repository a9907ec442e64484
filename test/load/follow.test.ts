// From a changed model to switched searches without an operator: a producer with a schedule and two
// workers as real processes, and a version that gates hold.

import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { startRedis } from '@reembed/local'
import { putVersion, readCurrent, readLoadRecords } from '@reembed/protocol'
import { followVersions, openVectorStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { startFakeTei } from '@reembed/testing'
import { expect, test } from 'vitest'
import { makeRun } from '../export/run.ts'
import { documents, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { startElasticsearch } from '../parts/elasticsearch.ts'
import { memoryStore } from '../shard/parts.ts'

test('a schedule brings searches to a changed model by the workers, and a gate holds the next run, without an operator', async () => {
  await using folder = await temporaryFolder()
  await using tei = await startFakeTei({ dimensions: 8, sha: 'one' })
  await using redis = await startRedis()
  await using server = await startElasticsearch('9.3.0')
  const corpus = join(folder.path, 'corpus')
  await mkdir(corpus)
  await writeJsonl(join(corpus, 'a.jsonl'), documents(200))
  await writeFile(
    join(folder.path, 'reembed.yaml'),
    `version: 1
source: { uri: corpus }
output: { uri: vectors }
endpoint: { url: ${tei.url} }
queue: { redis: ${redis.url} }
gates: { hold: 'rows drop 10%' }
schedules:
  - { name: models, cron: '* * * * *', when: model_changed }
  - { name: sources, cron: '* * * * *', when: source_changed }
sinks:
  - { url: 'elasticsearch+${server.url}', name: wiki, switch: auto }
  - { url: 'elasticsearch+${server.url}', name: staged }
`,
  )
  await using store = await openStore(join(folder.path, 'vectors'), { create: true })
  // Their vector stores are the sinks of reembed.yaml.
  const workers = [start(['worker'], {}, folder.path), start(['worker'], {}, folder.path)]
  const producer = start(['producer'], {}, folder.path)
  const aliasOf = async (name: string): Promise<string[]> => {
    const reply = await fetch(`${server.url}/_alias/${name}`)
    return reply.ok ? Object.keys((await reply.json()) as object) : []
  }
  /** Waits until searches use the run of a version. */
  async function switchedTo(version: number): Promise<string> {
    const current = await expect
      .poll(() => readCurrent(store), { timeout: 180_000 })
      .toMatchObject({ version })
      .then(() => readCurrent(store))
    const run = current?.run ?? ''
    await producer.line(new RegExp(`"run":"${run}".*searches switched`))
    expect(await aliasOf('wiki')).toEqual([`wiki_${run.slice(0, 12)}`])
    expect(await aliasOf('staged')).toEqual([])
    await Promise.any(workers.map(worker => worker.line(new RegExp(`"run":"${run}".*shard loaded`))))
    return run
  }

  const first = await switchedTo(1)
  await tei.stop()
  await tei.start({ sha: 'two' })
  const second = await switchedTo(2)
  expect(second).not.toBe(first)

  await rm(join(corpus, 'a.jsonl'))
  await writeJsonl(join(corpus, 'b.jsonl'), documents(20))
  await Promise.any([...workers, producer].map(process => process.line(/"state":"held"/)))
  for (const { child } of [...workers, producer]) child.kill('SIGTERM')
  const [ended] = await Promise.all([producer.finished, ...workers.map(({ finished }) => finished)])
  await tei.stop()
  expect(ended.code, ended.stderr).toBe(0)
  expect(await readCurrent(store)).toMatchObject({ version: 2, run: second })
  expect(await aliasOf('wiki')).toEqual([`wiki_${second.slice(0, 12)}`])
  const history = await Array.fromAsync(readLoadRecords(store), ({ action, name, run }) => [
    action,
    name,
    run,
  ])
  expect(history.filter(([action]) => action === 'switch').reverse()).toEqual([
    ['switch', 'wiki', first],
    ['switch', 'wiki', second],
  ])
  expect(history.filter(([action, name]) => action === 'load' && name === 'staged')).toHaveLength(2)
}, 600_000)

test('a load is reported although the switch after it fails', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  await putVersion(output, { version: 1, run: manifest.run, seq: 1, manifestSha256: '' })
  const stop = new AbortController()
  const events: string[] = []
  await followVersions(output, [{ url: `elasticsearch+${server.url}`, name: 'wiki', switch: 'auto' }], {
    open: async url => ({
      ...(await openVectorStore(url)),
      switchTo: () => Promise.reject(new Error('the alias is locked')),
    }),
    pause: async () => stop.abort(),
    onEvent: ({ kind, rows, error }) => events.push(`${kind} ${rows ?? error}`),
    signal: stop.signal,
  })
  expect(events).toEqual(['loaded 300', 'failed the alias is locked'])
})

test('a vector store is not opened again before the next version', async () => {
  await using server = await startElasticsearch('9.3.0')
  await using folder = await temporaryFolder()
  await using output = await openStore(folder.path)
  const { manifest } = await makeRun(output)
  const publish = (version: number) =>
    putVersion(output, { version, run: manifest.run, seq: 1, manifestSha256: '' })
  await publish(1)
  const stop = new AbortController()
  const events: string[] = []
  let checks = 0
  await followVersions(output, [{ url: `elasticsearch+${server.url}`, name: 'wiki', switch: 'auto' }], {
    open: url => {
      events.push('open')
      return openVectorStore(url)
    },
    async pause() {
      checks += 1
      events.push('check')
      if (checks === 3) await publish(2)
      if (checks === 5) stop.abort()
    },
    onEvent: ({ kind }) => events.push(kind),
    signal: stop.signal,
  })
  expect(events.join(' ')).toBe('open loaded switched check check check open switched check check')
})

test('a store that does not answer delays no other', async () => {
  await using server = await startElasticsearch('9.3.0')
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  await putVersion(output, { version: 1, run: manifest.run, seq: 1, manifestSha256: '' })
  const stop = new AbortController()
  const events: string[] = []
  const silent = { url: 'silent', name: 'silent', switch: 'auto' } as const
  const answering = { url: `elasticsearch+${server.url}`, name: 'wiki', switch: 'auto' } as const
  await followVersions(output, [silent, answering], {
    open: url =>
      url === 'silent'
        ? new Promise((_, reject) => {
            stop.signal.addEventListener('abort', () => reject(new Error('closed')))
          })
        : openVectorStore(url),
    pause: async () => {},
    onEvent: ({ kind, name }) => {
      events.push(`${name} ${kind}`)
      if (kind === 'switched') stop.abort()
    },
    signal: stop.signal,
  })
  expect(events).toEqual(['wiki loaded', 'wiki switched'])
})

test('a load that waits is reported once, and given up when another version is current', async () => {
  await using server = await startElasticsearch('9.3.0')
  await using folder = await temporaryFolder()
  await using output = await openStore(folder.path)
  const [first, second] = [await makeRun(output), await makeRun(output, { run: 'b'.repeat(26), shards: 2 })]
  const publish = (version: number, run: string) =>
    putVersion(output, { version, run, seq: version, manifestSha256: '' })
  await publish(1, first.manifest.run)
  const stop = new AbortController()
  const events: string[] = []
  await followVersions(output, [{ url: `elasticsearch+${server.url}`, name: 'wiki', switch: 'auto' }], {
    open: async url => {
      const vectors = await openVectorStore(url)
      return {
        ...vectors,
        async write(target, write, options) {
          if (target.manifest.run === second.manifest.run) return vectors.write(target, write, options)
          await publish(2, second.manifest.run)
          while (true) {
            options?.onWait?.('the disk is full')
            await setTimeout(100, undefined, { signal: options?.signal })
          }
        },
      }
    },
    pause: () => setTimeout(100),
    onEvent: ({ kind, rows, waitingFor, error }) => {
      events.push(`${kind} ${rows ?? waitingFor ?? error ?? ''}`.trim())
      if (kind === 'switched' || kind === 'failed') stop.abort()
    },
    signal: stop.signal,
  })
  expect(events).toEqual(['waiting the disk is full', 'loaded 200', 'switched'])
}, 20_000)
