import { withDeadlines } from '@reembed/shared'
import { expect, test, vi } from 'vitest'
import type { Target } from '../src/load/vector-store.ts'
import { milvusStore } from '../src/stores/milvus.ts'
import { buildIndex, flushRows } from '../src/stores/milvus-build.ts'
import {
  type MilvusClient,
  type MilvusConnection,
  milvusConnection,
} from '../src/stores/milvus-connection.ts'

const DEADLINE_EXCEEDED = 4
const UNAVAILABLE = 14
const SUCCESS = { error_code: 'Success', reason: '' }
const RUN = 'a'.repeat(26)
const TARGET = `wiki_${'a'.repeat(12)}`
const COLLECTION = { collection_name: TARGET, field_name: 'embedding', metric_type: 'IP' }

const grpcError = (code: number, details = ''): Error =>
  Object.assign(new Error(`${code} ${details}`), { code, details })

type Calls = { readonly [Name in keyof MilvusClient]?: (data: never) => Promise<unknown> }

const clientOf = (calls: Calls): MilvusClient =>
  ({
    connectPromise: Promise.resolve(),
    closeConnection: async () => {},
    ...calls,
  }) as unknown as MilvusClient

/** A connection to a server that has answered. */
async function connected(...clients: readonly MilvusClient[]): Promise<MilvusConnection> {
  const left = [...clients]
  const connection = milvusConnection('milvus+http://host:19530', () => left.shift() ?? clientOf({}))
  await connection.call(async () => SUCCESS)
  return connection
}

const target = {
  name: 'wiki',
  target: TARGET,
  manifest: { run: RUN, shardsSha256: 'f'.repeat(64), model: { dimensions: 2, normalized: true } },
  extra: [],
} as unknown as Target

test.each([
  [3, 'INVALID_ARGUMENT'],
  [8, 'Received message larger than max (70000000 vs. 67108864)'],
  [11, 'OUT_OF_RANGE'],
  [12, 'UNIMPLEMENTED'],
  [13, 'INTERNAL'],
])('a call that fails with the gRPC code %i is not repeated (%s)', async (code, details) => {
  const { ask } = await connected()
  let attempts = 0
  const failing = ask(async () => {
    attempts += 1
    throw grpcError(code, details)
  })
  await expect(failing).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining(details) })
  expect(attempts).toBe(1)
})

test('a reply whose status has an error in its code alone is an error', async () => {
  const { call } = await connected()
  const failing = call(async () => ({ error_code: 'Success', code: 65_535, reason: 'File exists' }))
  await expect(failing).rejects.toThrow('refuses a request: File exists')
})

test('a lost call is repeated, reported, and given up when the caller aborts', async () => {
  const { ask } = await connected()
  const aborted = new AbortController()
  const reasons: string[] = []
  const onWait = (reason: string): void => {
    reasons.push(reason)
    if (reasons.length === 2) aborted.abort(new Error('stopped'))
  }
  const lost = ask(
    async () => {
      throw grpcError(UNAVAILABLE, 'No connection established')
    },
    { signal: aborted.signal, onWait },
  )
  await expect(lost).rejects.toThrow('stopped')
  expect(reasons).toEqual(Array(2).fill(expect.stringContaining('No connection established')))
  // A call without a reply does not hold the caller up either.
  const silent = new AbortController()
  const hanging = ask(() => new Promise<never>(() => {}), { signal: silent.signal })
  silent.abort(new Error('stopped again'))
  await expect(hanging).rejects.toThrow('stopped again')
})

test('the call after one that passed its deadline has a connection of its own, and other calls keep theirs', async () => {
  const closed: string[] = []
  const named = (name: string): MilvusClient =>
    Object.assign(clientOf({ closeConnection: async () => void closed.push(name) }), { name })
  const [first, second] = [named('first'), named('second')]
  const { call, ask } = await connected(first, second)
  const reply = Promise.withResolvers<object>()
  const inFlight = call(() => reply.promise)
  const used: MilvusClient[] = []
  await ask(async client => {
    used.push(client)
    if (used.length === 1) throw grpcError(DEADLINE_EXCEEDED)
    return SUCCESS
  })
  expect(used).toEqual([first, second])
  expect(closed).toEqual([])
  reply.resolve(SUCCESS)
  await inFlight
  expect(closed).toEqual(['first'])
})

test('a connection that was idle for over a minute is replaced before the next call', async () => {
  const closed: number[] = []
  const clients = [1, 2].map(n => clientOf({ closeConnection: async () => void closed.push(n) }))
  const { call } = await connected(...clients)
  const used: number[] = []
  const use = () => call(async client => ({ ...SUCCESS, used: used.push(clients.indexOf(client) + 1) }))
  await use()
  const now = performance.now.bind(performance)
  using _ = vi.spyOn(performance, 'now').mockImplementation(() => now() + 61_000)
  await use()
  await use()
  expect(used).toEqual([1, 2, 2])
  expect(closed).toEqual([1])
})

test('an index that takes longer than a reply may is waited for while the server answers other calls', async () => {
  const built = Promise.withResolvers<object>()
  const timeouts: number[] = []
  const states = ['LoadStateLoaded', 'LoadStateLoading', 'LoadStateLoaded', 'LoadStateLoaded']
  const connection = await connected(
    clientOf({
      describeIndex: async () => ({ index_descriptions: [] }),
      async createIndex({ timeout }: { readonly timeout: number }) {
        timeouts.push(timeout)
        if (timeouts.length === 1) throw grpcError(UNAVAILABLE, 'the connection is lost')
        return built.promise
      },
      loadCollectionAsync: async () => SUCCESS,
      async getLoadState() {
        if (states.length === 1) built.resolve(SUCCESS)
        return { status: SUCCESS, state: states.shift() ?? 'LoadStateLoaded' }
      },
      getLoadingProgress: async () => ({ status: SUCCESS, progress: '40' }),
    }),
  )
  const reasons: string[] = []
  await withDeadlines({ timeoutMs: 600 }, () =>
    buildIndex(connection, COLLECTION, { onWait: reason => reasons.push(reason) }),
  )
  expect(timeouts).toEqual([86_400_000, 86_400_000])
  const flushed: unknown[] = []
  const flushing = await connected(
    clientOf({ flushSync: async data => ({ status: SUCCESS, pushed: flushed.push(data) }) }),
  )
  await flushRows(flushing, TARGET)
  expect(flushed).toEqual([{ collection_names: [TARGET], timeout: 86_400_000 }])
  expect(reasons).toEqual(
    expect.arrayContaining([
      expect.stringContaining('the connection is lost'),
      `the server loads ${TARGET} into memory: 40 %`,
      `the server is still working on ${TARGET}`,
    ]),
  )
})

test('an index is given up when the server answers no call, and when it has given up the load', async () => {
  const calls: Calls = {
    describeIndex: async () => ({ index_descriptions: [] }),
    createIndex: () => new Promise<never>(() => {}),
    getLoadState: async () => {
      throw grpcError(UNAVAILABLE, 'No connection established')
    },
  }
  const build = (calls: Calls) =>
    withDeadlines({ timeoutMs: 200 }, async () => buildIndex(await connected(clientOf(calls)), COLLECTION))
  await expect(build(calls)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  const failed = build({
    describeIndex: async () => ({ index_descriptions: [{}] }),
    loadCollectionAsync: async () => SUCCESS,
    getLoadState: async () => ({ status: SUCCESS, state: 'LoadStateNotLoad' }),
    getLoadingProgress: async () => ({
      status: { error_code: 'UnexpectedError', code: 101, reason: 'the memory is used up' },
    }),
  })
  await expect(failed).rejects.toThrow('the memory is used up')
})

test('two processes that create one target agree on its load where equal collections are created twice', async () => {
  const collections = new Map([['reembed_loads', '']])
  const aliases = new Set<string>()
  const both = Promise.withResolvers<void>()
  const first = Promise.withResolvers<void>()
  let [creators, puts] = [0, 0]
  let record: object | undefined
  const client = clientOf({
    listCollections: async () => ({ data: [...collections.keys()].map(name => ({ name })) }),
    describeIndex: async () => ({ index_descriptions: [{}] }),
    loadCollectionAsync: async () => SUCCESS,
    getLoadState: async () => ({ status: SUCCESS, state: 'LoadStateLoaded' }),
    get: async () => ({ data: record ? [record] : [] }),
    // As rootcoord does (internal/rootcoord/create_collection_task.go).
    async createCollection(request: { readonly collection_name: string }) {
      creators += 1
      if (creators === 2) both.resolve()
      await both.promise
      const schema = JSON.stringify(request)
      if ((collections.get(TARGET) ?? schema) !== schema)
        throw { code: 1, error_code: 'UnexpectedError', reason: 'create duplicate collection' }
      collections.set(TARGET, schema)
      return SUCCESS
    },
    // The record of a second creator comes when the first one has begun to write.
    async upsert({ data: [row] }: { readonly data: readonly object[] }) {
      puts += 1
      if (puts > 1) await first.promise
      record = row
      return SUCCESS
    },
    listAliases: async () => ({ aliases: [...aliases] }),
    describeAlias: async ({ alias }: { readonly alias: string }) => ({
      collection: aliases.has(alias) ? TARGET : undefined,
    }),
    createAlias: async ({ alias }: { readonly alias: string }) => {
      aliases.add(alias)
      return SUCCESS
    },
  })
  const prepare = async (): Promise<string> => {
    const load = await milvusStore(await connected(client)).prepare(target)
    first.resolve()
    return load
  }
  const [a, b] = await Promise.all([prepare(), prepare()])
  expect(creators).toBe(2)
  expect(a).toBe(b)
  expect(aliases.size).toBe(1)
})

test('a write to a lost server asks for no alias, and one whose alias was removed fails', async () => {
  let described = 0
  let failure: unknown = grpcError(UNAVAILABLE)
  const client = clientOf({
    upsert: async () => {
      throw failure
    },
    describeAlias: async () => {
      described += 1
      throw { error_code: 'UnexpectedError', code: 1_600, reason: 'alias not found' }
    },
  })
  const store = milvusStore(await connected(client))
  async function* rows() {
    yield { ids: ['a'], vectors: Float32Array.of(1, 0), extra: new Map() } as never
  }
  const write = (signal: AbortSignal, onWait: () => void) =>
    store.write(target, { load: 'f'.repeat(32), shard: 0, rows }, { signal, onWait })
  const aborted = new AbortController()
  await expect(write(aborted.signal, () => aborted.abort(new Error('stopped')))).rejects.toThrow('stopped')
  expect(described).toBe(0)
  failure = new Error('collection not found')
  await expect(write(new AbortController().signal, () => {})).rejects.toThrow('does not hold the load')
  expect(described).toBe(1)
})

test('a collection whose drop was repeated after a lost reply counts as dropped', async () => {
  let drops = 0
  const client = clientOf({
    listCollections: async () => ({ data: [{ name: TARGET }] }),
    listAliases: async () => ({ aliases: [] }),
    async dropCollection() {
      drops += 1
      if (drops === 1) throw grpcError(UNAVAILABLE)
      return {
        error_code: 'UnexpectedError',
        code: 100,
        reason: `collection not found[collection=${TARGET}]`,
      }
    },
  })
  await milvusStore(await connected(client)).drop(TARGET)
  expect(drops).toBe(2)
})

test('ids are read in a filter that quotes them, so that none ends the list or selects another row', async () => {
  const ids = [`x"] or id != "`, `it's`, 'back\\slash', 'line\nbreak', '日本']
  const filters: unknown[] = []
  const client = clientOf({
    async query({ filter }: { readonly filter: string }) {
      filters.push(filter)
      return { status: SUCCESS, data: ids.map(id => ({ id, embedding: [1, 0] })) }
    },
  })
  const found = await milvusStore(await connected(client)).read(TARGET, ids)
  expect([...found.keys()]).toEqual(ids)
  expect(filters).toEqual([String.raw`id in ["x\"] or id != \"","it's","back\\slash","line\nbreak","日本"]`])
})

test('a request of rows holds about 8 MiB, however long their texts are', async () => {
  const requests: number[][] = []
  const client = clientOf({
    async upsert({ data }: { readonly data: readonly { readonly text: string }[] }) {
      requests.push(data.map(({ text }) => text.length))
      return SUCCESS
    },
  })
  const lengths = Array.from({ length: 400 }, (_, row) => (row < 300 ? 65_000 : 10))
  async function* rows() {
    yield {
      ids: lengths.map((_, row) => `d${row}`),
      vectors: new Float32Array(2 * lengths.length),
      extra: new Map([['text', lengths.map(length => 'x'.repeat(length))]]),
    } as never
  }
  const extra = [{ kind: 'flat', name: 'text', type: 'string', nullable: true }] as const
  await milvusStore(await connected(client)).write(
    { ...target, extra },
    { load: 'f'.repeat(32), shard: 0, rows },
  )
  expect(requests.flat()).toEqual(lengths)
  expect(requests.map(request => request.length)).toEqual([130, 130, 140])
})
