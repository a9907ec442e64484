// pyarrow as a reader of shards. Skipped without a Python that has pyarrow.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { lackOfModules, PYTHON } from '../parts/needs.ts'
import { bytesOf, writeShard } from './parts.ts'

const READ = `
import hashlib, json, sys
import pyarrow.parquet as parquet
table = parquet.ParquetFile(sys.argv[1], page_checksum_verification=True).read()
table.validate(full=True)
vectors = hashlib.sha256()
for chunk in table["embedding"].chunks:
    values = chunk.flatten()
    vectors.update(memoryview(values.buffers()[1])[values.offset * 4:(values.offset + len(values)) * 4])
print(json.dumps({
    "types": [str(type) for type in table.schema.types],
    "ids": table["id"].to_pylist(),
    "vectors": vectors.hexdigest(),
    "hashes": b"".join(table["content_hash"].to_pylist()).hex(),
}))
`

const PRUNE = `
import json, sys
import pyarrow.dataset as dataset
[fragment] = dataset.dataset(sys.argv[1]).get_fragments()
print(json.dumps([group.id for group in fragment.subset(dataset.field("id") == sys.argv[2]).row_groups]))
`

const lack = lackOfModules('pyarrow')
describe.skipIf(lack !== undefined)(lack === undefined ? 'pyarrow' : `pyarrow (not run: ${lack})`, () => {
  it.each([
    [0, 8],
    [700, 1],
    [700, 7],
    [700, 1_023],
    [700, 4_096],
  ])('reads shards bit for bit, %i rows of %i dimensions', async (rows, dimensions) => {
    const shard = writeShard({ rows, dimensions, rowGroupRows: 300 })
    const folder = await mkdtemp(join(tmpdir(), 'reembed-shard-'))
    try {
      const file = join(folder, 'shard.parquet')
      await writeFile(file, shard.bytes)
      const out = execFileSync(PYTHON, ['-c', READ, file], { maxBuffer: 2 ** 26 })
      expect(JSON.parse(out.toString())).toEqual({
        types: ['string', 'list<element: float not null>', 'fixed_size_binary[16]'],
        ids: shard.ids,
        vectors: createHash('sha256').update(bytesOf(shard.vectors)).digest('hex'),
        hashes: Buffer.from(shard.hashes).toString('hex'),
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('reads only the row groups whose statistics of the id permit it', async () => {
    const shard = writeShard({ rows: 700, dimensions: 8, rowGroupRows: 300 })
    const folder = await mkdtemp(join(tmpdir(), 'reembed-shard-'))
    try {
      const file = join(folder, 'shard.parquet')
      await writeFile(file, shard.bytes)
      const groups = (row: number): unknown =>
        JSON.parse(execFileSync(PYTHON, ['-c', PRUNE, file, shard.ids[row] ?? '']).toString())
      // As text, doc-650 is between doc-0 and doc-99 of the first row group.
      expect([groups(450), groups(650)]).toEqual([
        [0, 1],
        [0, 2],
      ])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
