// The Parquet layouts: Hugging Face, Pinecone, Milvus, Lance.

import type { CarriedValue } from '@reembed/protocol'
import {
  arrowSchemaOf,
  type ColumnValues,
  createParquetWriter,
  createShardBuffer,
  type FlatColumn,
  type KeyValue,
  type ParquetColumn,
  type ShardBatch,
  toInt8,
  toUbinary,
} from '@reembed/shard'
import { printable, shellWord } from '@reembed/shared'
import {
  type CreateExportLayout,
  type ExportLayout,
  type ExportShard,
  inOrder,
  type LayoutRun,
  metadataOf,
  pythonCommand,
  pythonText,
  type RowLimits,
  textFile,
  toJson,
} from '../layout.ts'
import { ARROW_IMPORTS, deletesLoop, rowsLoop } from './delta-commands.ts'
import { PINECONE_LIMITS, pineconeRows } from './json.ts'

/** One Parquet file per shard. */
interface ParquetLayout {
  readonly columns: readonly ParquetColumn[]
  values(batch: ShardBatch): readonly ColumnValues[]
  keyValues(): Promise<readonly KeyValue[]> | readonly KeyValue[]
  name(shard: ExportShard): string
}

function parquetLayout({
  columns,
  values,
  keyValues,
  name,
}: ParquetLayout): Pick<ExportLayout, 'fileNames' | 'write'> {
  return {
    fileNames: part => [name(part)],
    async *write(part, batches) {
      const { sink, bytes } = createShardBuffer()
      const writer = createParquetWriter({ columns, sink })
      for await (const batch of batches) writer.append(batch.ids.length, values(batch))
      writer.finish(await keyValues())
      yield { name: name(part), bytes: bytes() }
    },
  }
}

const ID: FlatColumn = { kind: 'flat', name: 'id', type: 'string', nullable: false }

/** Columns: id, float32 vector, quantized vectors, then the extra columns of the shards. */
export function plainColumns({ manifest, extra, quantize }: LayoutRun): ParquetColumn[] {
  const { dimensions } = manifest.model
  return [
    ID,
    { kind: 'vector', name: 'embedding', element: 'float32', dimensions },
    ...quantize.map(
      (type): ParquetColumn =>
        type === 'int8'
          ? { kind: 'vector', name: 'embedding_int8', element: 'int8', dimensions }
          : { kind: 'vector', name: 'embedding_ubinary', element: 'uint8', dimensions: dimensions / 8 },
    ),
    ...extra,
  ]
}

/** The values of a batch in the order of `plainColumns`. */
export function plainValues({ extra, quantize, ranges }: LayoutRun, batch: ShardBatch): ColumnValues[] {
  return [
    batch.ids,
    batch.vectors,
    ...quantize.map(type =>
      type === 'int8' && ranges ? toInt8(batch.vectors, ranges) : toUbinary(batch.vectors),
    ),
    ...extra.map(({ name }) => batch.extra.get(name) ?? []),
  ]
}

/**
 * A dataset for the Hugging Face Hub: `data/train-00000-of-00042.parquet`, the features in the
 * footer under the key `huggingface`, and a dataset card.
 */
export const hf: CreateExportLayout = run => {
  const { manifest, extra, quantize } = run
  const { model, totals } = manifest
  const list = (dtype: string) => ({ feature: { dtype, _type: 'Value' }, _type: 'Sequence' })
  const types = { string: 'string', int32: 'int32', int64: 'int64', double: 'float64', boolean: 'bool' }
  const features = {
    id: { dtype: 'string', _type: 'Value' },
    embedding: list('float32'),
    ...Object.fromEntries(
      quantize.map(type => [`embedding_${type}`, list(type === 'int8' ? 'int8' : 'uint8')]),
    ),
    ...Object.fromEntries(extra.map(({ name, type }) => [name, { dtype: types[type], _type: 'Value' }])),
  }
  const card = `---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
---

${totals.rows} embeddings with ${model.dimensions} dimensions from ${codeOf(model.id)} at revision ${codeOf(model.revision ?? 'unknown')}${
    model.normalized ? ', normalised' : ''
  }${manifest.prompt ? `, documents prefixed with ${codeOf(JSON.stringify(manifest.prompt))}` : ''}.
Created by reembed, run \`${manifest.run}\`, vector space \`${manifest.spaceId}\`.
`
  return {
    ...parquetLayout({
      columns: plainColumns(run),
      values: batch => plainValues(run, batch),
      keyValues: () => [{ key: 'huggingface', value: JSON.stringify({ info: { features } }) }],
      name: ({ stem }) => `data/${stem.replace(/^part/, 'train')}.parquet`,
    }),
    sharedFiles: [textFile('README.md', card)],
    loadCommands: (target, { shards, deletes }) =>
      deletes === undefined
        ? inOrder(
            pythonCommand(
              `import datasets; print(datasets.load_dataset(${pythonText(target)}, split="train"))`,
            ),
            `hf upload '<org>/<name>' ${shellWord(target)} --repo-type dataset`,
          )
        : // An upload would replace files of the dataset that have the same names. Commands that
          // are run again find the new rows in the dataset.
          pythonCommand(`import datasets
${ARROW_IMPORTS}
old = datasets.load_dataset("<org>/<name>", split="train")
replaced, parts = set(), []
${deletesLoop(target, deletes, 'replaced.update(ids)')}${
  shards.length > 0
    ? `parts.append(datasets.load_dataset(${pythonText(target)}, split="train"))
replaced.update(parts[0]["id"])
`
    : ''
}parts.insert(0, old.filter(lambda id: id not in replaced, input_columns="id"))
datasets.concatenate_datasets(parts).push_to_hub("<org>/<name>")`),
  }
}

/** Code in a line of Markdown, which a name cannot end. */
const codeOf = (text: string): string => `\`${printable(text).replaceAll('`', "'")}\``

/**
 * Columns `id`, `values` and `metadata`, and no other. One folder per namespace. Pinecone imports
 * only into a new namespace.
 */
export const pinecone: CreateExportLayout = run => {
  const { dimensions } = run.manifest.model
  const metadata = (batch: ShardBatch): CarriedValue[] =>
    Array.from(metadataOf(batch), record => {
      const json = toJson(record)
      return json === '{}' ? null : json
    })
  return {
    ...parquetLayout({
      columns: [
        ID,
        { kind: 'vector', name: 'values', element: 'float32', dimensions },
        { kind: 'flat', name: 'metadata', type: 'string', nullable: true },
      ],
      values: batch => [batch.ids, batch.vectors, metadata(batch)],
      keyValues: () => [],
      name: ({ stem }) => `data/${run.name}/${stem}.parquet`,
    }),
    rowLimits: PINECONE_LIMITS,
    sharedFiles: [],
    loadCommands: (target, { shards, deletes }) =>
      deletes === undefined
        ? pythonCommand(
            `from pinecone import Pinecone; print(Pinecone().Index("<index>").start_import(${pythonText(`${target}/data/`)}))`,
          )
        : // An import accepts a new namespace alone.
          pythonCommand(`import json
${ARROW_IMPORTS}
from pinecone import Pinecone
index = Pinecone().Index("<index>")
${deletesLoop(target, deletes, `index.delete(ids=ids, namespace=${pythonText(run.name)})`)}${
  shards.length > 0
    ? rowsLoop(
        `${target}/data/${run.name}`,
        pineconeRows(dimensions),
        `index.upsert(vectors=[{**row, "metadata": json.loads(row["metadata"] or "{}")} for row in rows], namespace=${pythonText(run.name)})`,
      )
    : ''
}`),
  }
}

/** Most bytes of a VARCHAR; the id gets a shorter one. */
export const MILVUS_STRING_BYTES = 65_535
/** Most bytes of an id in Milvus. */
export const MILVUS_ID_BYTES = 1_024
/** What Milvus refuses in a row. */
export const MILVUS_LIMITS: RowLimits = {
  consumer: 'Milvus',
  idBytes: MILVUS_ID_BYTES,
  stringBytes: () => MILVUS_STRING_BYTES,
}

/** One column per field of the collection. Milvus refuses a file with any other column. */
export const milvus: CreateExportLayout = run => {
  const fields = plainColumns(run).map(column => {
    if (column.kind === 'vector') {
      const type = { float32: 'FLOAT_VECTOR', int8: 'INT8_VECTOR', uint8: 'BINARY_VECTOR', float16: '' }[
        column.element
      ]
      return {
        name: column.name,
        type,
        dim: column.element === 'uint8' ? 8 * column.dimensions : column.dimensions,
      }
    }
    if (column.kind === 'fixed') throw new TypeError(`column ${column.name} has no Milvus type`)
    const type = { string: 'VARCHAR', int32: 'INT32', int64: 'INT64', double: 'DOUBLE', boolean: 'BOOL' }[
      column.type
    ]
    return {
      name: column.name,
      type,
      ...(column.type === 'string' && {
        max_length: column.name === 'id' ? MILVUS_ID_BYTES : MILVUS_STRING_BYTES,
      }),
      ...(column.nullable && { nullable: true }),
      ...(column.name === 'id' && { is_primary: true }),
    }
  })
  return {
    ...parquetLayout({
      columns: plainColumns(run),
      values: batch => plainValues(run, batch),
      keyValues: () => [],
      name: ({ stem }) => `data/${stem}.parquet`,
    }),
    rowLimits: MILVUS_LIMITS,
    sharedFiles: [textFile('fields.json', `${JSON.stringify({ collection: run.name, fields }, null, 2)}\n`)],
    loadCommands: (target, { shards, deletes }) =>
      deletes !== undefined
        ? // With `ids` the client quotes nothing. Of a Han character beyond U+FFFF, Milvus takes
          // the low 16 bits of its code point, unless it is written as \U, see milvus-filter.ts.
          pythonCommand(`import json, re
${ARROW_IMPORTS}
from pymilvus import MilvusClient
milvus = MilvusClient("<milvus>")
${deletesLoop(target, deletes, `milvus.delete(${pythonText(run.name)}, filter="id in " + re.sub("[\\U00010000-\\U0010ffff]", lambda char: f"\\\\U{ord(char[0]):08x}", json.dumps(ids, ensure_ascii=False)))`)}${
  shards.length > 0
    ? rowsLoop(
        `${target}/data`,
        MILVUS_ROWS_PER_REQUEST,
        `milvus.upsert(${pythonText(run.name)}, ${rowsOfMilvus(run.quantize)})`,
      )
    : ''
}`)
        : `# first create the collection with the fields of fields.json, without a dynamic field, and copy data/ into the bucket of Milvus
${pythonCommand(`from pymilvus.bulk_writer import bulk_import
files = [[f"data/part-{shard:05}-of-${shardDigits(run.manifest.shards)}.parquet"] for shard in ${shards.length === run.manifest.shards ? `range(${shards.length})` : `[${shards.join(', ')}]`}]
for first in range(0, len(files), ${MILVUS_FILES_PER_REQUEST}):
    print(bulk_import(url="<milvus>", collection_name=${pythonText(run.name)}, files=files[first:first + ${MILVUS_FILES_PER_REQUEST}]).json())`)}`,
  }
}

/** A request has up to 64 MiB (`proxy.grpc.serverMaxRecvSize`), and a string up to 64 KiB. */
const MILVUS_ROWS_PER_REQUEST = 200

/** Python: `rows` as the client of Milvus takes quantized vectors, as bytes. */
function rowsOfMilvus(quantize: LayoutRun['quantize']): string {
  if (quantize.length === 0) return 'rows'
  const vectors = quantize.map(type => {
    const value = `row["embedding_${type}"]`
    return `"embedding_${type}": bytes(${type === 'int8' ? `value & 255 for value in ${value}` : value})`
  })
  return `[{**row, ${vectors.join(', ')}} for row in rows]`
}

/** Milvus refuses an import request with more files (`dataCoord.import.maxImportFileNumPerReq`). */
const MILVUS_FILES_PER_REQUEST = 1_024

/** The number of shards as it stands in the names of shard files. */
const shardDigits = (shards: number): string => String(shards).padStart(5, '0')

/**
 * Parquet with an Arrow schema in its footer. The schema declares the vectors as fixed-size lists;
 * without it Lance finds no vector column.
 */
export const lance: CreateExportLayout = run => ({
  ...parquetLayout({
    columns: plainColumns(run),
    values: batch => plainValues(run, batch),
    keyValues: async () => [{ key: 'ARROW:schema', value: await arrowSchemaOf(plainColumns(run)) }],
    name: ({ stem }) => `data/${stem}.parquet`,
  }),
  sharedFiles: [],
  loadCommands(target, { shards, deletes }) {
    const reader = `ds.dataset(${pythonText(`${target}/data`)}).scanner().to_reader()`
    if (deletes === undefined)
      return pythonCommand(
        `import lancedb, pyarrow.dataset as ds; lancedb.connect("<database>").create_table(${pythonText(run.name)}, ${reader})`,
      )
    const where = `"id IN (" + ", ".join("'" + id.replace("'", "''") + "'" for id in ids) + ")"`
    return pythonCommand(`import lancedb
${ARROW_IMPORTS}
table = lancedb.connect("<database>").open_table(${pythonText(run.name)})
${deletesLoop(target, deletes, `table.delete(${where})`)}${shards.length > 0 ? `table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(${reader})` : ''}`)
  },
})
