import { expect, test } from 'vitest'
import { milvusStore } from '../src/stores/milvus.ts'
import {
  type MilvusClient,
  type MilvusConnection,
  milvusConnection,
} from '../src/stores/milvus-connection.ts'

const TARGET = `wiki_${'a'.repeat(12)}`

/** Answers as a server with one target does, and lists the calls that change it. */
function connection(
  aliases: readonly string[],
  switched?: string,
): {
  readonly changes: readonly string[]
  readonly connected: MilvusConnection
} {
  const changes: string[] = []
  const left = new Set(aliases)
  const change = (name: string) => async (data: object) => {
    changes.push(`${name} ${Object.values(data)[0]}`)
    if (name === 'dropAlias') left.delete(String(Object.values(data)[0]))
    return { error_code: 'Success', reason: '' }
  }
  const client = {
    connectPromise: Promise.resolve(),
    listCollections: async () => ({ data: [TARGET, 'reembed_loads'].map(name => ({ name })) }),
    listAliases: async () => ({ aliases: [...left] }),
    describeAlias: async ({ alias }: { readonly alias: string }) => ({
      collection: left.has(alias) ? TARGET : undefined,
    }),
    get: async () => ({ data: [{ load: 'held', run: 'r', shards_sha256: 's' }] }),
    async upsert({ data: [row] }: { readonly data: readonly { readonly load: string }[] }) {
      changes.push(`upsert ${row?.load === 'held' ? 'the record' : 'reembed_loads'}`)
      return { error_code: 'Success', reason: '' }
    },
    dropAlias: change('dropAlias'),
    async dropCollection(data: object) {
      if (switched === undefined) return change('dropCollection')(data)
      left.add(switched)
      return { error_code: 'UnexpectedError', code: 65_535, reason: 'it has the alias' }
    },
  }
  const connected = milvusConnection(
    'milvus+http://host:19530',
    () => client as Partial<MilvusClient> as MilvusClient,
  )
  return { changes, connected }
}

test('a collection of Milvus with an alias of another program is not dropped, and its record stays', async () => {
  const { changes, connected } = connection([`${TARGET}_w0123_b`, 'production'])
  await expect(milvusStore(connected).drop(TARGET)).rejects.toMatchObject({
    code: 'USAGE',
    message: `${TARGET} at milvus+http://host:19530 is in use (alias production): point that to another target, or remove it, then drop again`,
  })
  expect(changes).toEqual([])
})

test('a collection of Milvus that a load left open is recorded as dropped, closed and dropped, in this order', async () => {
  const alias = `${TARGET}_w0123_b`
  const { changes, connected } = connection([alias])
  await milvusStore(connected).drop(TARGET)
  expect(changes).toEqual(['upsert reembed_loads', `dropAlias ${alias}`, `dropCollection ${TARGET}`])
})

test('a collection of Milvus to which searches are switched during its drop keeps its record', async () => {
  const { changes, connected } = connection([], 'wiki')
  await expect(milvusStore(connected).drop(TARGET)).rejects.toMatchObject({
    reason: 'target_in_use',
    message: expect.stringContaining('is in use (alias wiki)'),
  })
  expect(changes).toEqual(['upsert reembed_loads', 'upsert the record'])
})
