// From a corpus to loaded files by the command, with everything a run can be told about its shards.

import { join } from 'node:path'
import { createHashEngine, serveTei } from '@reembed/local'
import { readEmbeddings } from '@reembed/shard'
import { expect, test } from 'vitest'
import { reembed, temporaryFolder, writeJsonl } from '../parts/cli.ts'

test('run, export, export again, recall: cut, half the bits, with columns and texts', async () => {
  await using folder = await temporaryFolder()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 32 }) })
  const output = join(folder.path, 'vectors')
  const lines = Array.from({ length: 60 }, (_, i) => ({
    id: `d${i}`,
    text: `Document number ${i}`,
    lang: i % 2 ? 'en' : null,
    year: 1990 + i,
  }))
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), lines)
  const shape = ['--dimensions', '16', '--dtype', 'float16', '--include-text', '--arrow-schema']
  const ran = await reembed([
    ...['run', '--source', source, '--output', output, '--endpoint', tei.url, '--json'],
    ...[...shape, '--carry', 'lang', 'year'],
  ])
  expect(ran.stderr).toContain('16 dimensions')
  expect(ran.code).toBe(0)

  let rows = 0
  for await (const { ids, vectors, dimensions, extra } of readEmbeddings(output, { extra: true })) {
    expect(dimensions).toBe(16)
    for (const [row, id] of ids.entries()) {
      const line = lines[Number(id.slice(1))]
      expect([extra.get('text')?.[row], extra.get('lang')?.[row], extra.get('year')?.[row]]).toEqual([
        line?.text,
        line?.lang,
        line?.year,
      ])
      const vector = vectors.subarray(row * 16, (row + 1) * 16)
      expect(Math.hypot(...vector)).toBeCloseTo(1, 2)
      expect(vector).toEqual(Float32Array.from(new Float16Array(vector)))
    }
    rows += ids.length
  }
  expect(rows).toBe(60)

  const command = ['export', '--output', output, '--layout', 'npy', '--quantize', 'int8,ubinary', '--json']
  const first = await reembed(command)
  expect(first.code).toBe(0)
  expect(JSON.parse(first.stdout)).toMatchObject({ layout: 'npy', rows: 60, existingFiles: 0 })
  const again = JSON.parse((await reembed(command)).stdout)
  expect(again).toMatchObject({ rows: 60, bytes: 0 })
  expect(again.existingFiles).toBe(again.files)

  const recall = await reembed(['recall', '--output', output])
  expect(recall.stdout).toMatch(/float16 +32 B +100\.0 %\nint8 +16 B/)

  const grown = await reembed([
    ...['run', '--source', source, '--output', output, '--endpoint', tei.url, '--dimensions', '33'],
  ])
  expect(grown.code).toBe(2)
  expect(grown.stderr).toContain('33 dimensions are more than the 32 of')
})
