// The JSON layouts read by programs of their consumers: the Vespa CLI with the documented command,
// against a server that records requests; and the Elasticsearch library, which checks the mapping
// and deserializes documents.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, type Http2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { type ExportLayoutName, exportRun } from '@reembed/export'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, expect } from 'vitest'
import { answers, lackOfModules, PYTHON, testUnless } from '../parts/needs.ts'
import { memoryStore } from '../shard/parts.ts'
import { type MadeRun, makeRun } from './run.ts'

const vespa = process.env.REEMBED_TEST_VESPA ?? 'vespa'
const source = memoryStore()
let run: MadeRun
let folder: string
beforeAll(async () => {
  run = await makeRun(source)
  folder = await mkdtemp(join(tmpdir(), 'reembed-clients-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function exported(layout: ExportLayoutName): Promise<string> {
  const path = join(folder, layout)
  await using target = await openStore(path, { create: true })
  await exportRun(source, run.manifest, target, { layout, name: 'wiki' })
  return path
}

const hexOf = (row: number, order: 'BE' | 'LE'): string => {
  const bytes = Buffer.from(run.vectors.slice(row * 16, (row + 1) * 16).buffer)
  return (order === 'BE' ? bytes.swap32() : bytes).toString('hex')
}

/** An HTTP/2 server that records path and fields of each document that `vespa feed` sends. */
async function startVespa(): Promise<{
  url: string
  server: Http2Server
  put: Map<string, { fields: Fields }>
}> {
  const put = new Map<string, { fields: Fields }>()
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '', 'http://v').pathname
    const sent = await buffer(request)
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent
    if (request.method === 'POST') put.set(decodeURIComponent(path), JSON.parse(body.toString()))
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ pathId: path, id: path }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, put }
}

type Fields = {
  readonly id: string
  readonly embedding: { readonly values: string }
  readonly [name: string]: unknown
}

testUnless(
  answers(vespa, ['version'])
    ? undefined
    : `'${vespa}' is missing: pip install vespacli, or set REEMBED_TEST_VESPA`,
  'Vespa’s own command feeds the layout vespa, every document with its tensor',
  async () => {
    const target = await exported('vespa')
    const { url, server, put } = await startVespa()
    const files = (await readdir(join(target, 'data'))).map(name => join(target, 'data', name))
    const env = { ...process.env, VESPA_CLI_HOME: join(folder, 'home'), VESPA_CLI_CHECK_VERSION: 'false' }
    for (const file of files) {
      const { stdout } = await promisify(execFile)(vespa, ['feed', file, '--target', url], { env })
      expect(JSON.parse(stdout)).toMatchObject({ 'feeder.operation.count': 100, 'feeder.ok.count': 100 })
    }
    server.close()
    expect(put.size).toBe(run.ids.length)
    for (const [row, id] of run.ids.entries()) {
      const { fields } = put.get(`/document/v1/wiki/wiki/docid/${id}`) ?? {}
      expect(fields).toMatchObject({
        id,
        text: run.extra.text?.[row],
        embedding: { values: hexOf(row, 'BE') },
      })
    }
  },
  120_000,
)

testUnless(
  lackOfModules('elasticsearch.dsl', 'numpy'),
  'Elasticsearch’s own library knows the types of the mapping and reads the documents of the bulk files',
  async () => {
    const target = await exported('elasticsearch')
    const script = `import glob, json, sys
import numpy as np
from elasticsearch.dsl import Document, Mapping
from elastic_transport import JsonSerializer
mapping = json.load(open(sys.argv[1] + "/mapping.json"))["mappings"]
known = Mapping()
known._update_from_dict(mapping)
class Row(Document):
    class Meta:
        mapping = known
loads, documents = JsonSerializer().loads, []
for path in sorted(glob.glob(sys.argv[1] + "/data/*.ndjson")):
    lines = open(path, "rb").read().splitlines()
    for action, body in zip(lines[::2], lines[1::2]):
        (operation, meta), = loads(action).items()
        documents.append((operation, Row.from_es({"_id": meta["_id"], "_source": loads(body)})))
print(json.dumps({
    "operations": sorted({operation for operation, _ in documents}),
    "types": {name: known.resolve_field(name).name for name in mapping["properties"]},
    "dims": known.resolve_field("embedding")._params["dims"],
    "ids": [document.meta.id for _, document in documents],
    "vectors": np.array([list(document.embedding) for _, document in documents], dtype="<f4").tobytes().hex(),
    "texts": [document.text for _, document in documents],
}))`
    const { stdout } = await promisify(execFile)(PYTHON, ['-c', script, target], { maxBuffer: 2 ** 26 })
    const found = JSON.parse(stdout)
    expect(found).toMatchObject({ operations: ['index'], dims: 16, ids: run.ids, texts: run.extra.text })
    expect(found.types).toMatchObject({
      embedding: 'dense_vector',
      text: 'text',
      year: 'integer',
      bytes: 'long',
    })
    const vectors = run.ids.map((_, row) => hexOf(row, 'LE')).join('')
    expect(found.vectors === vectors, 'every vector is the same to the bit').toBe(true)
  },
  120_000,
)
