// Layouts opened by Python readers, if they are installed: datasets for the Hub, lance and lancedb,
// numpy, pyarrow for the formats of Milvus and Spark; and by PostgreSQL with pgvector, which the
// package pgserver contains.

import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ExportLayoutName, exportRun } from '@reembed/export'
import { type Quantization, toInt8, toUbinary } from '@reembed/shard'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, expect } from 'vitest'
import { lackOfModules, PYTHON, testUnless } from '../parts/needs.ts'
import { memoryStore } from '../shard/parts.ts'
import { MILVUS_COLLECTION } from './milvus-collection.ts'
import { type MadeRun, makeRun } from './run.ts'

const source = memoryStore()
let run: MadeRun
let folder: string
beforeAll(async () => {
  run = await makeRun(source)
  folder = await mkdtemp(join(tmpdir(), 'reembed-export-'))
})
afterAll(() => rm(folder, { recursive: true }))

const withModules = (name: string, modules: readonly string[], run: () => Promise<void>): void =>
  testUnless(lackOfModules(...modules), name, run, 180_000)

async function exported(layout: ExportLayoutName, quantize: Quantization[] = []): Promise<string> {
  const path = join(folder, [layout, ...quantize].join('-'))
  await using target = await openStore(path, { create: true })
  await exportRun(source, run.manifest, target, { layout, quantize })
  return path
}

function ask(script: string, ...args: string[]): Record<string, unknown> {
  const out = execFileSync(
    PYTHON,
    ['-c', `import json, sys\nfrom hashlib import sha256\n${script}`, ...args],
    {
      maxBuffer: 2 ** 26,
      env: { ...process.env, HF_HUB_OFFLINE: '1', HF_DATASETS_CACHE: join(folder, 'cache') },
    },
  )
  return JSON.parse(out.toString().trim().split('\n').at(-1) ?? '')
}

const hex = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('hex')

withModules(
  'Hugging Face datasets loads the layout hf by the card, with its features',
  ['datasets'],
  async () => {
    const found = ask(
      `import datasets, numpy as np
data = datasets.load_dataset(sys.argv[1], split="train")
print(json.dumps({
    "rows": len(data),
    "types": {name: str(data.features.arrow_schema.field(name).type) for name in data.column_names},
    "ids": data["id"][:],
    "vectors": np.array(data["embedding"][:], dtype="<f4").tobytes().hex(),
    "years": data["year"][:],
}))`,
      await exported('hf', ['int8']),
    )
    expect(found.ids).toEqual(run.ids)
    expect(found.vectors).toBe(hex(run.vectors))
    expect(found.years).toEqual(run.extra.year)
    expect(found.types).toMatchObject({
      id: 'string',
      lang: 'string',
      year: 'int32',
      bytes: 'int64',
      draft: 'bool',
    })
  },
)

withModules(
  'LanceDB creates a table from the layout lance by the documented command, and searches it',
  ['lancedb', 'pyarrow.dataset'],
  async () => {
    const found = ask(
      `import lancedb, pyarrow.dataset as ds
table = lancedb.connect(sys.argv[2]).create_table("embeddings", ds.dataset(sys.argv[1] + "/data").scanner().to_reader())
query = table.to_arrow()["embedding"][42].as_py()
print(json.dumps({
    "rows": table.count_rows(),
    "type": str(table.schema.field("embedding").type),
    "nearest": table.search(query).limit(1).to_list()[0]["id"],
}))`,
      await exported('lance'),
      join(folder, 'lancedb'),
    )
    expect(found).toEqual({
      rows: 300,
      type: expect.stringMatching(/^fixed_size_list<.*float.*>\[16\]$/),
      nearest: run.ids[42],
    })
  },
)

withModules(
  'NumPy maps the float32 and quantized matrices of the layout npy, in the order of the metadata',
  ['numpy', 'pyarrow.parquet'],
  async () => {
    const found = ask(
      `import numpy as np, glob, pyarrow.parquet as parquet
load = lambda name: [np.load(path, mmap_mode="r") for path in sorted(glob.glob(f"{sys.argv[1]}/{name}/*.npy"))]
print(json.dumps({
    "shapes": [list(matrix.shape) for matrix in load("embeddings")],
    "float32": np.concatenate(load("embeddings")).tobytes().hex(),
    "int8": np.concatenate(load("embeddings_int8")).tobytes().hex(),
    "ubinary": np.concatenate(load("embeddings_ubinary")).tobytes().hex(),
    "ids": parquet.read_table(sys.argv[1] + "/metadata")["id"].to_pylist(),
    "ranges": json.load(open(sys.argv[1] + "/reembed-export.json"))["ranges"],
}))`,
      await exported('npy', ['int8', 'ubinary']),
    )
    const ranges = found.ranges as { min: number[]; max: number[] }
    const kept = { min: Float32Array.from(ranges.min), max: Float32Array.from(ranges.max) }
    expect(found.shapes).toEqual([
      [100, 16],
      [100, 16],
      [100, 16],
    ])
    expect(found.ids).toEqual(run.ids)
    expect(found.float32).toBe(hex(run.vectors))
    expect(found.int8).toBe(hex(toInt8(run.vectors, kept)))
    expect(found.ubinary).toBe(hex(toUbinary(run.vectors)))
  },
)

withModules(
  'pyarrow opens the layouts arrow, milvus and pinecone with the types of their consumers',
  ['pyarrow.dataset'],
  async () => {
    const script = `import pyarrow.dataset as ds
table = ds.dataset(sys.argv[1], format=sys.argv[2]).to_table()
table.validate(full=True)
vectors = table[table.schema.names[1]].combine_chunks()
values = vectors.flatten() if hasattr(vectors, "flatten") else vectors.chunk(0).flatten()
print(json.dumps({
    "types": [str(field.type) for field in table.schema],
    "ids": table["id"].to_pylist(),
    "vectors": b"".join(memoryview(values.buffers()[1])[values.offset * 4:(values.offset + len(values)) * 4] for values in [values]).hex(),
}))`
    const extra = ['string', 'int32', 'int64', 'double', 'bool', 'string']
    const list = (type: string) => `list<element: ${type} not null>`
    const arrow = ask(script, join(await exported('arrow'), 'data'), 'arrow')
    expect(arrow).toEqual({
      types: ['string', 'fixed_size_list<element: float not null>[16]', ...extra],
      ids: run.ids,
      vectors: hex(run.vectors),
    })
    const milvus = ask(script, join(await exported('milvus', ['int8', 'ubinary']), 'data'), 'parquet')
    expect(milvus.types).toEqual(['string', list('float'), list('int8'), list('uint8'), ...extra])
    const pinecone = ask(script, join(await exported('pinecone'), 'data', run.manifest.run), 'parquet')
    expect(pinecone).toEqual({
      types: ['string', list('float'), 'string'],
      ids: run.ids,
      vectors: hex(run.vectors),
    })
  },
)

withModules(
  'FAISS finds the nearest vectors in an index over the layout npy',
  ['faiss', 'numpy'],
  async () => {
    const found = ask(
      `import faiss, numpy as np, glob
vectors = np.concatenate([np.load(path) for path in sorted(glob.glob(sys.argv[1] + "/embeddings/*.npy"))])
index = faiss.IndexFlatL2(vectors.shape[1])
index.add(vectors)
distances, rows = index.search(vectors[[0, 42, 299]], 1)
print(json.dumps({"total": index.ntotal, "rows": rows[:, 0].tolist(), "distances": distances[:, 0].tolist()}))`,
      await exported('npy', ['int8', 'ubinary']),
    )
    expect(found).toEqual({ total: 300, rows: [0, 42, 299], distances: [0, 0, 0] })
  },
)

// Milvus Lite has no bulk import and no int8 and binary vectors: the test creates the collection
// from fields.json and inserts rows.
withModules(
  'Milvus creates a collection from fields.json, accepts the rows of the layout milvus, and searches it',
  ['pymilvus', 'milvus_lite', 'pyarrow.dataset'],
  async () => {
    const found = ask(
      `${MILVUS_COLLECTION}rows = ds.dataset(sys.argv[1] + "/data").to_table().to_pylist()
hits = client.search(made["collection"], [rows[42]["embedding"]], limit=1, output_fields=["id", "year", "bytes", "text"])[0][0]
print(json.dumps({
    "rows": len(client.query(made["collection"], filter='id != ""', output_fields=["id"], limit=1000)),
    "distance": hits["distance"], **hits["entity"]}))`,
      await exported('milvus', []),
      join(folder, 'milvus.db'),
    )
    const { year, bytes, text } = run.extra
    expect(found).toEqual({
      rows: run.ids.length,
      distance: 0,
      id: run.ids[42],
      year: year?.[42],
      bytes: bytes?.[42],
      text: text?.[42],
    })
  },
)

withModules(
  'PostgreSQL loads the layout pgvector exactly by the commands of LOAD.md, and searches by its index',
  ['pgserver'],
  async () => {
    const path = await exported('pgvector')
    const [, commands = ''] = /```sh\n(.*?)```/s.exec(await readFile(join(path, 'LOAD.md'), 'utf8')) ?? []
    expect(commands).toContain('psql')
    const found = ask(
      `import pgserver, os, subprocess
server = pgserver.get_server(sys.argv[1], cleanup_mode="delete")
psql = lambda *args: subprocess.run(["psql", "-At", *args], check=True, capture_output=True, text=True).stdout.splitlines()
try:
    os.environ.update(PGHOST=sys.argv[1], PGUSER="postgres", PGOPTIONS="-c hnsw.ef_search=100",
        PATH=os.path.dirname(pgserver.__file__) + "/pginstall/bin:" + os.environ["PATH"])
    loaded = subprocess.run(["sh", "-c", sys.argv[2]], capture_output=True, text=True)
    if loaded.returncode: raise SystemExit(loaded.stderr)
    print(json.dumps({
        "version": psql("-c", "select version()"),
        "rows": [json.loads(line) for line in psql("-c", "select json_build_array(id, embedding::text, year, bytes::text, draft) from embeddings")],
        "nearest": psql("-c", "set enable_seqscan = off", "-c", f"select id from embeddings order by embedding <#> '{sys.argv[3]}' limit 1"),
        "plan": psql("-c", "set enable_seqscan = off", "-c", f"explain select id from embeddings order by embedding <#> '{sys.argv[3]}' limit 1"),
    }))
finally:
    server.cleanup()`,
      join(folder, 'postgres'),
      commands.replaceAll('<target>', path),
      `[${run.vectors.subarray(42 * 16, 43 * 16).join(',')}]`,
    )
    const rows = new Map((found.rows as [string, ...unknown[]][]).map(([id, ...rest]) => [id, rest]))
    expect(rows.size).toBe(run.ids.length)
    for (const [row, id] of run.ids.entries()) {
      const [vector, year, bytes, draft] = rows.get(id) ?? []
      expect(Float32Array.from(JSON.parse(String(vector)))).toEqual(
        run.vectors.slice(row * 16, (row + 1) * 16),
      )
      expect([year, bytes, draft]).toEqual([
        run.extra.year?.[row],
        run.extra.bytes?.[row]?.toString() ?? null,
        run.extra.draft?.[row],
      ])
    }
    expect((found.nearest as string[]).at(-1)).toBe(run.ids[42])
    expect((found.plan as string[]).join()).toContain('Index Scan using embeddings_embedding_idx')
  },
)
