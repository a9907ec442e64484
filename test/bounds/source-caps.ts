// The limits of sources, of files that a user names, and of the log, at the limit and beyond it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { readDeltaSnapshot, readSlice } from '@reembed/corpus'
import { indexObject } from '@reembed/formats'
import { openCorpus, planRun } from '@reembed/planner'
import { readFooter } from '@reembed/shard'
import { LIMITS, messageOf } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { tableFromArrays, tableToIPC } from 'apache-arrow'
import { parquetMetadata } from 'hyparquet'
import type { CapTrial } from './caps.ts'
import { writeTexts } from './files.ts'
import { type Computed, computedStore, joined, literal, repeated } from './store.ts'

const MIB = 2 ** 20
const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true } as const
const FIELDS = { fields: { id: 'id', text: 'text' } }

const orMessage = (read: Promise<unknown>): Promise<string> =>
  read.then(value => (typeof value === 'string' ? value : 'read'), messageOf)

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-caps-'))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const zeros = (bytes: number): Computed => repeated(Buffer.alloc(MIB), bytes)
const binary = (bytes: Buffer): Computed => repeated(bytes, bytes.length)

/** The end of a Parquet file whose footer has so many bytes. */
function parquetEnd(footerBytes: number): Buffer {
  const end = Buffer.from('reembed....PAR1')
  end.writeUInt32LE(footerBytes, 7)
  return end
}

/** The first record or reject of a JSONL file of one line. */
async function firstOf(line: string): Promise<string> {
  const object = literal(`${line}\n`)
  const part = {
    key: 'a.jsonl',
    etag: 'e',
    size: object.size,
    format: 'jsonl' as const,
    start: 0,
    end: object.size,
  }
  const reader = readSlice(
    computedStore(() => object),
    { parts: [part] },
    FIELDS,
  )
  for await (const record of reader.records)
    return record.kind === 'document' ? 'document' : `${record.reason}: ${record.message}`
  return 'nothing'
}

export const footerBytes: CapTrial = {
  what: 'a shard whose footer states 256 MiB, and one byte more',
  most: 700,
  outcomes: [/was changed after it was written/, /has a footer of more than 268435456 bytes/],
  async run() {
    const found: string[] = []
    for (const bytes of [LIMITS.footerBytes, LIMITS.footerBytes + 1]) {
      const object = joined(literal('PAR1'), zeros(bytes + MIB), binary(parquetEnd(bytes - 8)))
      found.push(
        await orMessage(
          readFooter(
            computedStore(() => object),
            'a.parquet',
          ),
        ),
      )
    }
    return found
  },
}

export const tokenizerBytes: CapTrial = {
  what: 'a tokenizer.json of 64 MiB, and one byte more',
  most: 700,
  outcomes: [/^read$/, /it has 67108865 bytes, at most 67108864 are read/],
  run: () =>
    inFolder(async folder => {
      const { checkTokenizerFile } = await import('../../packages/planner/src/tokenizer.ts')
      const path = join(folder, 'tokenizer.json')
      const found: string[] = []
      for (const bytes of [LIMITS.tokenizerBytes, LIMITS.tokenizerBytes + 1]) {
        await writeFile(path, '')
        await truncate(path, bytes)
        found.push(await orMessage(checkTokenizerFile({ tokenizer: path })))
      }
      return found
    }),
}

export const logCharacters: CapTrial = {
  what: 'a message of 4 KiB, and of 50 MB',
  most: 512,
  outcomes: [/^4096$/, /^41\d\d$/],
  async run() {
    const program = `
      import { openLog } from '@reembed/telemetry'
      openLog({ level: 'info' }).info('x'.repeat(Number(process.argv[1])))`
    const found: string[] = []
    for (const length of [LIMITS.logCharacters, 50_000_000]) {
      const args = ['--conditions=@reembed/source', '--input-type=module', '-e', program, String(length)]
      const child = spawn(process.execPath, args, {
        cwd: import.meta.dirname,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let line = ''
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        line += text
      })
      await once(child, 'close')
      found.push(String((JSON.parse(line) as { msg: string }).msg.length))
    }
    return found
  },
}

export const sourceIdBytes: CapTrial = {
  what: 'the id of a document of 1 KiB, and one byte more',
  most: 192,
  outcomes: [/^document$/, /^invalid_id: /],
  run: () =>
    Promise.all(
      [LIMITS.sourceIdBytes, LIMITS.sourceIdBytes + 1].map(length =>
        firstOf(JSON.stringify({ id: 'x'.repeat(length), text: 'a text' })),
      ),
    ),
}

export const sourceJsonDepth: CapTrial = {
  what: 'a line of 64 nested levels, one more, and 2 million',
  most: 512,
  outcomes: [/^document$/, /^invalid_record: .*deeper than 64 levels/, /^invalid_(?:record|json): /],
  run: () =>
    Promise.all(
      [LIMITS.sourceJsonDepth - 1, LIMITS.sourceJsonDepth, 2_000_000].map(levels =>
        firstOf(`{"id":"a","text":"a text","deep":${'['.repeat(levels)}${']'.repeat(levels)}}`),
      ),
    ),
}

/** Plans a corpus of one file. */
async function plan(path: string): Promise<string> {
  await using corpus = await openCorpus(path)
  return await orMessage(
    (async () => {
      const { head, slices } = await planRun(corpus, { model: MODEL })
      let documents = 0
      for await (const slice of slices()) {
        for await (const record of readSlice(corpus.store, slice, { fields: head.recipe.fields }).records)
          documents += record.kind === 'document' ? 1 : 0
      }
      return `${documents} documents`
    })(),
  )
}

export const parquetFooterBytes: CapTrial = {
  what: 'a Parquet file whose footer states 64 MiB of zeros, and one byte more',
  most: 512,
  outcomes: [/"a\.parquet"/, /"a\.parquet" .*(?:damaged|footer)/],
  run: () =>
    inFolder(async folder => {
      const found: string[] = []
      for (const bytes of [LIMITS.parquetFooterBytes, LIMITS.parquetFooterBytes + 1]) {
        const path = join(folder, 'a.parquet')
        await writeFile(path, 'PAR1')
        await truncate(path, bytes + MIB)
        const file = await open(path, 'a')
        await file.write(parquetEnd(bytes))
        await file.close()
        found.push(await plan(path))
      }
      return found
    }),
}

export const parquetHeaderBytes: CapTrial = {
  what: 'a Parquet page whose header holds a string of 20 MB',
  most: 512,
  outcomes: [/"a\.parquet" is damaged in column "text"/],
  run: () =>
    inFolder(async folder => {
      const path = join(folder, 'a.parquet')
      await writeTexts(path, 1_000, 32 * MIB)
      const bytes = await readFile(path)
      const metadata = parquetMetadata(new Uint8Array(bytes).buffer)
      const [group] = metadata.row_groups
      const text = group?.columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === 'text')?.meta_data
      // A field of type string, and its length as a varint of Thrift's compact protocol.
      const header = [0x18, ...varint(20_000_000)]
      bytes.set(header, Number(text?.data_page_offset))
      await writeFile(path, bytes)
      return [await plan(path)]
    }),
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let left = value
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) | 0x80)
  return [...bytes, left]
}

export const rowEntries: CapTrial = {
  what: 'a row of Parquet with a list of 100,000 numbers, and of 4 Mi and one',
  most: 2_048,
  outcomes: [/^document$/, /"a\.parquet" is damaged in column "list.*limit is 4194304/],
  run: () =>
    inFolder(async folder => {
      const found: string[] = []
      const path = join(folder, 'a.parquet')
      for (const entries of [100_000, LIMITS.rowEntries + 1]) {
        const database = await DuckDBInstance.create(':memory:')
        const connection = await database.connect()
        await connection.run(
          `COPY (SELECT 'a' AS id, 'text' AS text, range(${entries})::INT[] AS list) TO '${path}' (FORMAT parquet)`,
        )
        connection.closeSync()
        await using store = await openStore(folder)
        const info = await store.head('a.parquet')
        if (info === undefined) throw new Error('not written')
        const part = { ...info, format: 'parquet' as const, start: 0, end: 1 }
        const carry = [{ name: 'list', type: 'string' as const }]
        const reader = readSlice(store, { parts: [part] }, { ...FIELDS, carry })
        found.push(
          await orMessage(Array.fromAsync(reader.records).then(([record]) => record?.kind ?? 'nothing')),
        )
      }
      return found
    }),
}

export const arrowMetadataBytes: CapTrial = {
  what: 'an Arrow stream whose first message states metadata of 64 MiB, and eight bytes more',
  most: 512,
  outcomes: [/^read$/, /"a\.arrow" is not an Arrow IPC file, or is damaged/],
  run: () =>
    inFolder(async folder => {
      const path = join(folder, 'a.arrow')
      const bytes = Buffer.from(tableToIPC(tableFromArrays({ id: ['a'], text: ['a text'] }), 'stream'))
      const found: string[] = []
      for (const length of [LIMITS.arrowMetadataBytes, LIMITS.arrowMetadataBytes + 8]) {
        bytes.writeInt32LE(length, 4)
        await writeFile(path, bytes)
        await truncate(path, length + MIB)
        await using store = await openStore(folder)
        const info = await store.head('a.arrow')
        if (info === undefined) throw new Error('not written')
        found.push(await orMessage(indexObject(store, { ...info, format: 'arrow' }, { sliceBytes: 1 })))
      }
      return found
    }),
}

export const tableFiles: CapTrial = {
  what: 'the log of a Delta Lake table with 1,000,000 files, and one more',
  most: 1024,
  outcomes: [/^1000000 files$/, /1000000 files/],
  async run() {
    const head = Buffer.from(
      `${JSON.stringify({ protocol: { minReaderVersion: 1, minWriterVersion: 2 } })}\n${JSON.stringify({
        metaData: {
          id: 'i',
          format: { provider: 'parquet', options: {} },
          schemaString: '{"type":"struct","fields":[]}',
          partitionColumns: [],
          configuration: {},
        },
      })}\n`,
    )
    const lineOf = (n: number): Buffer =>
      Buffer.from(
        `${JSON.stringify({ add: { path: `${String(n).padStart(8, '0')}.parquet`, partitionValues: {}, size: 9, modificationTime: 1, dataChange: true } })}\n`,
      )
    const line = lineOf(0)
    const found: string[] = []
    for (const files of [LIMITS.tableFiles, LIMITS.tableFiles + 1]) {
      const log = joined(binary(head), repeated(line, files * line.length, lineOf))
      const key = `_delta_log/${'0'.repeat(20)}.json`
      const store = computedStore(
        asked => (asked === key ? log : undefined),
        function* (prefix) {
          if (key.startsWith(prefix)) yield { key, size: log.size, etag: 'e' }
        },
      )
      found.push(await orMessage(readDeltaSnapshot(store).then(({ files }) => `${files.size} files`)))
    }
    return found
  },
}

/** Files of spaces, of so many bytes. */
async function blanks(sizes: readonly number[], read: (path: string, folder: string) => Promise<unknown>) {
  return inFolder(async folder => {
    const path = join(folder, 'file')
    const found: string[] = []
    for (const bytes of sizes) {
      await writeFile(path, Buffer.alloc(bytes, '\n'))
      found.push(await orMessage(read(path, folder)))
    }
    return found
  })
}

export const queriesBytes: CapTrial = {
  what: 'a file of queries of 64 MiB of empty lines, and one byte more',
  most: 2_048,
  outcomes: [/has no relevant document/, /more than 67108864 bytes/],
  run: () =>
    blanks([LIMITS.queriesBytes, LIMITS.queriesBytes + 1], async (path, folder) => {
      const { readJudgedQueries } = await import('../../packages/evaluate/src/judged-queries.ts')
      const qrelsFile = join(folder, 'qrels.tsv')
      await writeFile(qrelsFile, '')
      return readJudgedQueries({ queriesFile: path, qrelsFile, s3: undefined })
    }),
}

export const configBytes: CapTrial = {
  what: 'a reembed.yaml of 1 MiB, and one byte more',
  most: 512,
  outcomes: [/version/, /cannot read the config file .*more than 1048576 bytes/],
  run: () =>
    blanks([LIMITS.configBytes, LIMITS.configBytes + 1], async path => {
      const { readConfigFile } = await import('../../packages/reembed/src/config/file.ts')
      const { schemaOf } = await import('../../packages/reembed/src/config/schema.ts')
      const { createProgram } = await import('../../packages/reembed/src/program.ts')
      return readConfigFile(path, schemaOf(createProgram()))
    }),
}

export const promptsBytes: CapTrial = {
  what: 'a file of documented prompts of 1 MiB, and one byte more',
  most: 192,
  outcomes: [/^query: $/, /more than 1048576 bytes/],
  run: () =>
    inFolder(async folder => {
      const { resolvePrompt } = await import('../../packages/planner/src/named-prompt.ts')
      const found: string[] = []
      for (const bytes of [LIMITS.promptsBytes, LIMITS.promptsBytes + 1]) {
        const json = JSON.stringify({ prompts: { query: 'query: ' } })
        await writeFile(join(folder, 'config_sentence_transformers.json'), json.padEnd(bytes))
        found.push(await orMessage(resolvePrompt({ promptName: 'query', modelFolder: folder }, MODEL)))
      }
      return found
    }),
}
