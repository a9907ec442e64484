// `reembed verify` of a tampered run: each kind of damage has its own message.

import { cp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { verify } from '@reembed/evaluate'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { createShardWriter, type ReceiptFields, readReceipt, readShard } from '@reembed/shard'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let run: string
let good: string
/** A shard of a run over other documents with the same slices. */
let otherShard: string

beforeAll(async () => {
  folder = await temporaryFolder()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  await using redis = await startRedis()
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(40))
  good = join(folder.path, 'good')
  const args = ['--source', source, '--output', good, '--endpoint', tei.url, '--redis', redis.url]
  const { stdout } = await inProcess(['run', ...args, '--documents-per-shard', '10', '--json'])
  run = JSON.parse(stdout).run
  const output = join(folder.path, 'other')
  const others = await writeJsonl(join(folder.path, 'others.jsonl'), documents(41).slice(1))
  const again = ['--source', others, '--output', output, '--endpoint', tei.url, '--redis', redis.url]
  const other = await inProcess(['run', ...again, '--documents-per-shard', '10', '--json'])
  const data = join(output, 'runs', JSON.parse(other.stdout).run, 'data')
  otherShard = join(data, (await readdir(data)).sort()[0] ?? '')
})
afterAll(() => folder[Symbol.asyncDispose]())

/** Verifies a copy of the run after `damage` was done to it. */
async function verified(damage: (paths: { data: string; shards: string[]; root: string }) => Promise<void>) {
  const root = join(folder.path, `copy-${Math.random().toString(36).slice(2)}`)
  await cp(good, root, { recursive: true })
  const data = join(root, 'runs', run, 'data')
  await damage({ root, data, shards: (await readdir(data)).sort() })
  await using store = await openStore(root)
  return verify(store, run)
}

const first = (shards: string[]): string => shards[0] ?? ''

test('P-VERIFY: an untouched run balances, and the printed values were measured', async () => {
  const receipt = await verified(async () => {})
  expect(receipt).toMatchObject({
    run,
    totals: { documents: 40, rows: 40, rejects: 0 },
    repeatedVectors: 0,
    collapsedDimensions: [],
  })
  expect(receipt.norms?.min).toBeGreaterThan(0.999)
  expect(receipt.norms?.max).toBeLessThan(1.001)
})

test('P-VERIFY: parts read every shard whole once between them, and each checks all receipts', async () => {
  await using store = await openStore(good)
  const parts = await Promise.all(['1/3', '2/3', '3/3'].map(part => verify(store, run, { part })))
  const whole = await verify(store, run)
  expect(parts.map(({ shardsRead }) => shardsRead)).toEqual([2, 1, 1])
  for (const { totals } of parts) expect(totals).toEqual(whole.totals)
})

test('P-VERIFY: of three parts, the one with a damaged body fails, and all fail of a damaged footer', async () => {
  const parts = ['1/3', '2/3', '3/3']
  const outcomesOf = async (position: number) => {
    const root = join(folder.path, `parts-${position}`)
    await cp(good, root, { recursive: true })
    const data = join(root, 'runs', run, 'data')
    await flip(join(data, (await readdir(data)).sort()[1] ?? ''), position)
    await using store = await openStore(root)
    return Promise.all(
      parts.map(part =>
        verify(store, run, { part }).then(
          () => 'verified',
          error => error.code,
        ),
      ),
    )
  }
  expect(await outcomesOf(200)).toEqual(['verified', 'CORRUPT', 'verified'])
  expect(await outcomesOf(-40)).toEqual(['CORRUPT', 'CORRUPT', 'CORRUPT'])
})

test.each(['0/3', '4/3', '1', '1/0', '1/20000', 'a/b'])(
  'a part %s of a verification is refused before a shard is read',
  async part => {
    await using store = await openStore(good)
    await expect(verify(store, run, { part })).rejects.toMatchObject({ code: 'USAGE', option: 'part' })
  },
)

test.each<[string, Parameters<typeof verified>[0], RegExp]>([
  [
    'truncated',
    ({ data, shards }) => truncate(join(data, first(shards)), 500),
    /part-00000-of-\d+\.parquet .*is truncated: its 500 bytes/,
  ],
  [
    'changed by one bit in its body',
    ({ data, shards }) => flip(join(data, first(shards)), 200),
    /part-00000-of-\d+\.parquet .*was changed after it was written: its body/,
  ],
  [
    'changed by one bit in its footer',
    ({ data, shards }) => flip(join(data, first(shards)), -40),
    /part-00000-of-\d+\.parquet .*was changed after it was written: its footer/,
  ],
  ['missing', ({ data, shards }) => rm(join(data, first(shards))), /part-00000-of-\d+\.parquet .*is missing/],
  [
    'beside a file too many',
    ({ data }) => writeFile(join(data, 'notes.txt'), 'mine'),
    /data\/notes\.txt .*is not a shard of run \w+ by its plan: check what wrote it/,
  ],
  [
    'another shard in its place',
    async ({ data, shards }) => {
      await rm(join(data, first(shards)))
      await cp(join(data, shards[1] ?? ''), join(data, first(shards)))
    },
    /part-00000-of-\d+\.parquet .*belongs to another job: its shard is 1, expected 0/,
  ],
  [
    'something else in its place',
    ({ data, shards }) =>
      writeFile(join(data, first(shards)), 'no parquet at all, but long enough to be one'),
    /part-00000-of-\d+\.parquet .*is not a Parquet file/,
  ],
  [
    'a manifest that was replaced after it was published',
    async ({ root }) => {
      const path = join(root, 'runs', run, 'manifest.json')
      const manifest = JSON.parse(await readFile(path, 'utf8'))
      await rename(path, `${path}.old`)
      await rm(`${path}.old`)
      await writeFile(path, JSON.stringify({ ...manifest, rejectReasons: { empty_text: 1 } }))
    },
    /version 1 .*records the hash of another manifest of run/,
  ],
  [
    'one of two that changed places',
    async ({ data, shards: [one = '', two = ''] }) => {
      await rename(join(data, one), join(data, 'third'))
      await rename(join(data, two), join(data, one))
      await rename(join(data, 'third'), join(data, two))
    },
    /part-0000[01]-of-\d+\.parquet .*belongs to another job: its shard is ([01]), expected (?!\1)[01]/,
  ],
  [
    "another run's under the right name",
    ({ data, shards }) => cp(otherShard, join(data, first(shards)), { force: true }),
    /part-00000-of-\d+\.parquet .*belongs to another job: its run is \w+, expected \w+/,
  ],
  [
    'one with two documents that changed places with their vectors, and recomputed hashes',
    ({ data, shards }) =>
      rewrite(join(data, first(shards)), ({ ids, vectors, hashes }) => {
        const [a = '', b = ''] = ids
        ids.splice(0, 2, b, a)
        for (const [rows, width] of [
          [vectors, 8],
          [hashes, 16],
        ] as const) {
          const row = rows.slice(0, width)
          rows.copyWithin(0, width, 2 * width)
          rows.set(row, width)
        }
      }),
    /the manifest of run \w+ .*does not list .*part-00000-of-\d+\.parquet as it is stored/,
  ],
  [
    'one with a changed receipt and recomputed hashes',
    ({ data, shards }) =>
      rewrite(join(data, first(shards)), rows => Object.assign(rows.facts, { truncated: 3 })),
    /the shards of run \w+ .*are not those that its manifest names: at least one was replaced/,
  ],
  [
    'one that the manifest does not list',
    ({ root }) => rezip(join(root, 'runs', run, 'manifest-00000.json.gz'), rows => rows.slice(0, -1)),
    /manifest-00000\.json\.gz .*is damaged: it has \d+ shards where the manifest has \d+/,
  ],
  [
    'one of which the manifest says another count',
    ({ root }) =>
      rezip(join(root, 'runs', run, 'manifest-00000.json.gz'), ([row, ...rows]) => [
        { ...row, rows: 9 },
        ...rows,
      ]),
    /the manifest of run \w+ .*does not list .*part-00000-of-\d+\.parquet as it is stored/,
  ],
  [
    'one too many for a manifest of fewer',
    ({ root }) => rejson(join(root, 'runs', run, 'manifest.json'), { shards: 3 }),
    /the manifest of run \w+ .*and its plan differ in shards/,
  ],
  [
    'one too many for a plan of fewer',
    ({ root }) => rejson(join(root, 'runs', run, 'plan.json'), { shards: 3 }),
    /part-00000-of-\d+\.parquet .*is not a shard of run \w+ by its plan/,
  ],
  [
    'made with another prompt than the plan has by now',
    ({ root }) =>
      rejson(join(root, 'runs', run, 'plan.json'), recipe => ({ recipe: { ...recipe.recipe, prompt: 'x' } })),
    /the plan of run \w+ .*was changed after it was written: its ids are not those of its recipe/,
  ],
  [
    'of a plan that can never be walked to its end',
    ({ root }) => rejson(join(root, 'runs', run, 'plan.json'), { slicesPerSegment: 0 }),
    /plan\.json .*is not a plan that this version of reembed can read: slicesPerSegment is invalid/,
  ],
  [
    'of a plan that lost a slice',
    ({ root }) => rezip(join(root, 'runs', run, 'plan-00000.json.gz'), rows => rows.slice(1)),
    /plan-00000\.json\.gz .*is damaged: it has \d+ slices where the plan has \d+/,
  ],
  [
    'of a slice that is none',
    ({ root }) =>
      rezip(join(root, 'runs', run, 'plan-00000.json.gz'), ([, ...rows]) => [{ part: [] }, ...rows]),
    /plan-00000\.json\.gz .*is not a list of slices that reembed wrote: \[0\]\.parts is invalid/,
  ],
])('P-VERIFY: verify reports a shard that is %s, with exit code 4', async (_what, damage, message) => {
  await expect(verified(damage)).rejects.toMatchObject({
    exitCode: 4,
    message: expect.stringMatching(message),
  })
})

test('P-VERIFY: a dimension with one value for all texts is named, also by the command', async () => {
  const engine = createHashEngine({ dimensions: 8 })
  const dead = {
    ...engine,
    async embed(batch: Parameters<typeof engine.embed>[0]) {
      const vectors = await engine.embed(batch)
      for (let at = 5; at < vectors.length; at += 8) vectors[at] = 0
      return vectors
    },
  }
  await using tei = await serveTei({ engine: dead })
  await using redis = await startRedis()
  const source = await writeJsonl(join(folder.path, 'dead.jsonl'), documents(120))
  const output = join(folder.path, 'dead')
  const args = ['--source', source, '--output', output, '--endpoint', tei.url, '--redis', redis.url]
  await inProcess(['run', ...args, '--documents-per-shard', '30'])
  const { stdout, code } = await inProcess(['verify', '--output', output])
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /^note +1 of 8 dimensions have the same value for all texts \(5\)\. Some models have such dimensions/m,
  )
})

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  const place = at < 0 ? bytes.length + at : at
  bytes[place] = (bytes[place] ?? 0) ^ 1
  await rm(path)
  await writeFile(path, bytes)
}

/** Replaces the contents of an existing object; `change` receives the old contents. */
async function rejson(
  path: string,
  change: object | ((value: Record<string, object>) => object),
): Promise<void> {
  const value = JSON.parse(await readFile(path, 'utf8'))
  await rm(path)
  await writeFile(
    path,
    JSON.stringify({ ...value, ...(typeof change === 'function' ? change(value) : change) }),
  )
}

async function rezip(path: string, change: (rows: object[]) => object[]): Promise<void> {
  const rows = JSON.parse(gunzipSync(await readFile(path)).toString())
  await rm(path)
  await writeFile(path, gzipSync(JSON.stringify(change(rows))))
}

interface Rows {
  ids: string[]
  vectors: Float32Array
  hashes: Uint8Array
  facts: ReceiptFields
}

/**
 * The shard with other rows or another receipt, written by the real writer: every hash in it is
 * valid.
 */
async function rewrite(path: string, change: (rows: Rows) => void): Promise<void> {
  const name = basename(path)
  await using store = await openStore(dirname(path))
  const [{ receipt }, batches] = [
    await readReceipt(store, name),
    await Array.fromAsync(readShard(store, name)),
  ]
  const { format: _, rows: __, bodySha256: ___, ...facts } = receipt
  const rows: Rows = {
    ids: batches.flatMap(({ ids }) => ids),
    vectors: Float32Array.from(batches.flatMap(({ vectors }) => [...vectors])),
    hashes: Buffer.concat(batches.map(({ hashes }) => hashes)),
    facts,
  }
  change(rows)
  const pieces: Buffer[] = []
  const writer = createShardWriter({ dimensions: 8, sink: bytes => pieces.push(Buffer.from(bytes)) })
  writer.append(rows)
  writer.finish(rows.facts)
  await rm(path)
  await writeFile(path, Buffer.concat(pieces))
}
