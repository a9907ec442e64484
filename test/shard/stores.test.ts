// A shard written to and read from the real stores.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkShard } from '@reembed/shard'
import { openStore } from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { afterEach, expect, it, vi } from 'vitest'
import { writeShard } from './parts.ts'

const KEY = 'runs/r/data/part-00017-of-00042.parquet'
const shard = writeShard({ rows: 3_000, dimensions: 384 })

afterEach(() => vi.unstubAllEnvs())

async function expectWhole(url: string): Promise<void> {
  await using store = await openStore(url, { create: true })
  expect(await store.putIfAbsent(KEY, shard.bytes)).toBe('created')
  expect(await store.putIfAbsent(KEY, writeShard({ rows: 1, dimensions: 384 }).bytes)).toBe('exists')
  const { receipt, size } = await checkShard(store, KEY)
  expect(receipt).toEqual(shard.receipt)
  expect(size).toBe(shard.bytes.length)
}

it('a shard is read back unchanged from a folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-shard-'))
  try {
    await expectWhole(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
})

it('a shard is read back unchanged from S3', async () => {
  await using server = await startS3Server()
  for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value)
  await expectWhole('s3://test/out')
})
