// Elasticsearch (and OpenSearch) and Vespa: newline-delimited JSON.

import type { CarriedValue } from '@reembed/protocol'
import { createShardBuffer, type FlatColumn, type ShardBatch } from '@reembed/shard'
import { ReembedError, shellWord } from '@reembed/shared'
import {
  type CreateExportLayout,
  type ExportShard,
  inOrder,
  metadataOf,
  pythonCommand,
  pythonText,
  type RowLimits,
  textFile,
  toJson,
} from '../layout.ts'

/** The bulk request size that Elasticsearch recommends. It refuses requests above 100 MiB. */
const BULK_BYTES = 10 * 2 ** 20
/** Most dimensions of a dense_vector of Elasticsearch. */
export const ELASTIC_DIMENSIONS = 4_096
/** Most bytes of `_id`, and of a term of Lucene, which a keyword is. */
export const ELASTIC_ID_BYTES = 512
const ELASTIC_KEYWORD_BYTES = 32_766

const ELASTIC_TYPE: Record<FlatColumn['type'], string> = {
  string: 'keyword',
  int32: 'integer',
  int64: 'long',
  double: 'double',
  boolean: 'boolean',
}

/** The extra columns as `properties` of a mapping. */
export const elasticProperties = (extra: readonly FlatColumn[]): Record<string, { readonly type: string }> =>
  Object.fromEntries(
    extra.map(({ name, type }) => [name, { type: name === 'text' ? 'text' : ELASTIC_TYPE[type] }]),
  )

/** How vectors are written, and how many bytes a dimension takes at most. */
interface VectorText {
  readonly bytes: number
  text(vector: Float32Array): string
}

/** Request bodies for `_bulk`, each small enough for one request. */
const elasticWith =
  (vectorText: VectorText): CreateExportLayout =>
  ({ manifest, extra, name }) => {
    const { dimensions } = manifest.model
    if (dimensions > ELASTIC_DIMENSIONS) {
      throw new ReembedError(
        'USAGE',
        `Elasticsearch supports at most ${ELASTIC_DIMENSIONS} dimensions, these vectors have ${dimensions}: embed with fewer dimensions, or export to another layout`,
      )
    }
    const rowsPerFile = Math.max(1, Math.floor(BULK_BYTES / (vectorText.bytes * dimensions + 1_024)))
    const fileNames = ({ rows, stem }: ExportShard): string[] =>
      Array.from(
        { length: Math.max(1, Math.ceil(rows / rowsPerFile)) },
        (_, file) => `data/${stem}-${String(file).padStart(4, '0')}.ndjson`,
      )
    const mapping = {
      mappings: {
        properties: {
          // dot_product is faster, but requires unit length, and Elasticsearch refuses the rounding
          // error that half precision leaves.
          embedding: { type: 'dense_vector', dims: dimensions, index: true, similarity: 'cosine' },
          ...elasticProperties(extra),
        },
      },
    }
    return {
      fileNames,
      async *write(part, batches) {
        const left = fileNames(part)[Symbol.iterator]()
        let lines: string[] = []
        for await (const batch of batches) {
          const vectors = vectorsOf(batch, dimensions)
          for (const [row, record] of [...metadataOf(batch)].entries()) {
            const embedding = vectors.next().value ?? new Float32Array()
            lines.push(
              `{"index":{"_id":${JSON.stringify(batch.ids[row])}}}\n{"embedding":${vectorText.text(embedding)}${members(record)}}\n`,
            )
            if (lines.length === rowsPerFile) {
              yield textFile(left.next().value ?? '', lines.join(''))
              lines = []
            }
          }
        }
        const name = left.next().value
        if (name !== undefined) yield textFile(name, lines.join(''))
      },
      rowLimits: {
        consumer: 'Elasticsearch',
        idBytes: ELASTIC_ID_BYTES,
        stringBytes: ({ name }) => (name === 'text' ? undefined : ELASTIC_KEYWORD_BYTES),
      },
      sharedFiles: [textFile('mapping.json', `${JSON.stringify(mapping, null, 2)}\n`)],
      // _bulk answers 200 although documents of it failed. The reply of a failed request is shown
      // as well.
      loadCommands(target, { shards, deletes }) {
        const index = `<elasticsearch>/${encodeURIComponent(name)}`
        const bulk = `${index}/_bulk?filter_path=errors,items.*.error`
        const send = (files: string, body: string): string => `for file in ${shellWord(target)}/${files}; do
  reply=$(${body}) || true
  case "$reply" in *'"errors":false'*) ;; *) echo "$file: $reply" >&2; exit 1 ;; esac
done`
        const post = (data: string): string =>
          `curl -sS --fail-with-body ${shellWord(bulk)} -H 'content-type: application/x-ndjson' --data-binary ${data}`
        return inOrder(
          ...(deletes === undefined
            ? [
                `curl -sS --fail-with-body -X PUT ${shellWord(index)} -H 'content-type: application/json' --data-binary ${shellWord(`@${target}/mapping.json`)}`,
              ]
            : []),
          ...(deletes
            ? [
                send(
                  'deletes/*.jsonl',
                  `sed ${shellWord('s/^{"id":\\(.*\\)}$/{"delete":{"_id":\\1}}/')} "$file" | ${post('@-')}`,
                ),
              ]
            : []),
          ...(shards.length > 0 ? [send('data/*.ndjson', post('"@$file"'))] : []),
        )
      },
    }
  }

/** Vectors as JSON arrays of numbers, which every version accepts. */
export const elasticsearch: CreateExportLayout = elasticWith({ bytes: 12, text: floatArray })

/**
 * Vectors as base64 of big-endian floats, which Elasticsearch reads in bulk requests from 9.3 on
 * (elastic/elasticsearch#137072).
 */
export const elasticsearchBase64: CreateExportLayout = elasticWith({
  bytes: 16 / 3,
  text: vector => `"${bigEndian(vector).toString('base64')}"`,
})

/** Pinecone's limits of a record; those of a document are not stated to be higher. */
export const PINECONE_LIMITS: RowLimits = { consumer: 'Pinecone', idLength: 512, metadataBytes: 40 * 1024 }

/** Pinecone refuses requests above 2 MB; a number takes up to 25 bytes there. */
export const pineconeRows = (dimensions: number): number =>
  Math.max(1, Math.floor(2e6 / (25 * dimensions + 42_000)))

/**
 * JSON Lines for a document index of Pinecone, whose bulk import reads no Parquet
 * (docs.pinecone.io/guides/data/import-data). One folder per namespace.
 */
export const pineconeDocuments: CreateExportLayout = ({ manifest, extra, name }) => {
  const { dimensions, normalized } = manifest.model
  const schema = {
    fields: {
      embedding: {
        type: 'dense_vector',
        dimension: dimensions,
        metric: normalized ? 'dotproduct' : 'cosine',
      },
      ...(extra.some(column => column.name === 'text') && { text: { type: 'string', full_text_search: {} } }),
    },
  }
  const nameOf = ({ stem }: ExportShard): string => `data/${name}/${stem}.jsonl`
  return {
    fileNames: part => [nameOf(part)],
    async *write(part, batches) {
      const { sink, bytes } = createShardBuffer()
      for await (const batch of batches) {
        const vectors = vectorsOf(batch, dimensions)
        for (const [row, record] of [...metadataOf(batch)].entries()) {
          const vector = floatArray(vectors.next().value ?? new Float32Array())
          const id = JSON.stringify(batch.ids[row])
          sink(Buffer.from(`{"_id":${id},"embedding":${vector}${members(record)}}\n`))
        }
      }
      yield { name: nameOf(part), bytes: bytes() }
    },
    rowLimits: PINECONE_LIMITS,
    sharedFiles: [textFile('schema.json', `${JSON.stringify(schema, null, 2)}\n`)],
    loadCommands: (target, { shards, deletes }) =>
      deletes === undefined
        ? `# first create a document index with the schema of schema.json, and copy data/ into a bucket that Pinecone reads\n${pythonCommand(
            `from pinecone import Pinecone; print(Pinecone().Index("<index>").start_import(${pythonText(`${target}/data/`)}))`,
          )}`
        : // An import accepts a new namespace alone.
          pythonCommand(`import glob, itertools, json
from pinecone import Pinecone
documents = Pinecone().Index("<index>").documents
def batches(folder, size):
    for path in sorted(glob.glob(glob.escape(${pythonText(target)}) + folder)):
        lines = map(json.loads, open(path, encoding="utf-8"))
        while batch := list(itertools.islice(lines, size)): yield batch
${[
  ...(deletes > 0
    ? [
        `for batch in batches("/deletes/*.jsonl", 1000): documents.delete(namespace=${pythonText(name)}, ids=[row["id"] for row in batch])`,
      ]
    : []),
  ...(shards.length > 0
    ? [
        `for batch in batches(${pythonText(`/data/${name}/*.jsonl`)}, ${pineconeRows(dimensions)}): documents.upsert(namespace=${pythonText(name)}, documents=batch)`,
      ]
    : []),
].join('\n')}`),
  }
}

const VESPA_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
const VESPA_TYPE: Record<FlatColumn['type'], string> = {
  string: 'string',
  int32: 'int',
  int64: 'long',
  double: 'double',
  boolean: 'bool',
}

/**
 * Put operations for `vespa feed`. Tensors are hexadecimal: exact, and a third of the size of
 * decimal numbers (docs.vespa.ai/en/reference/document-json-format.html, "Tensor hex dump").
 */
export const vespa: CreateExportLayout = ({ manifest, extra, name }) => {
  const { dimensions, normalized } = manifest.model
  const invalid = [name, ...extra.map(column => column.name)].find(each => !VESPA_NAME.test(each))
  if (invalid !== undefined) {
    throw new ReembedError(
      'USAGE',
      `'${invalid}' is not a valid Vespa name: use letters, digits and _, with no digit first`,
    )
  }
  const fields = [
    'field id type string { indexing: summary | attribute }',
    `field embedding type tensor<float>(x[${dimensions}]) {
      indexing: attribute | index
      attribute { distance-metric: ${normalized ? 'prenormalized-angular' : 'angular'} }
    }`,
    ...extra.map(
      column => `field ${column.name} type ${VESPA_TYPE[column.type]} { indexing: summary | attribute }`,
    ),
  ]
  const schema = `schema ${name} {
  document ${name} {
    ${fields.join('\n    ')}
  }
}
`
  return {
    fileNames: ({ stem }) => [`data/${stem}.jsonl`],
    async *write({ stem }, batches) {
      const { sink, bytes } = createShardBuffer()
      for await (const batch of batches) {
        const vectors = vectorsOf(batch, dimensions)
        for (const [row, record] of [...metadataOf(batch)].entries()) {
          const id = batch.ids[row] ?? ''
          const put = JSON.stringify(`id:${name}:${name}::${id}`)
          const hex = bigEndian(vectors.next().value ?? new Float32Array()).toString('hex')
          const line = `{"put":${put},"fields":{"id":${JSON.stringify(id)},"embedding":{"values":"${hex}"}${members(record)}}}\n`
          sink(Buffer.from(line))
        }
      }
      yield { name: `data/${stem}.jsonl`, bytes: bytes() }
    },
    rowLimits: {
      consumer: 'Vespa',
      // biome-ignore lint/suspicious/noControlCharactersInRegex: Vespa refuses them
      characters: { pattern: /[\0-\x08\x0b\x0c\x0e-\x1f]/, name: 'a control character' },
    },
    sharedFiles: [textFile(`schemas/${name}.sd`, schema)],
    loadCommands(target, { shards, deletes }) {
      const remove = shellWord(`s/^{"id":"\\(.*\\)}$/{"remove":"id:${name}:${name}::\\1}/`)
      return inOrder(
        ...(deletes === undefined
          ? [`# first deploy an application package that contains schemas/${name}.sd`]
          : []),
        ...(deletes
          ? [
              `for file in ${shellWord(target)}/deletes/*.jsonl; do sed ${remove} "$file" | vespa feed -; done`,
            ]
          : []),
        ...(shards.length > 0
          ? [`for file in ${shellWord(target)}/data/*.jsonl; do vespa feed "$file"; done`]
          : []),
      )
    },
  }
}

function* vectorsOf({ vectors }: ShardBatch, dimensions: number): Generator<Float32Array, void, undefined> {
  for (let at = 0; at < vectors.length; at += dimensions) yield vectors.subarray(at, at + dimensions)
}

/** The members of a record, to append to other members. */
export function members(record: Record<string, CarriedValue>): string {
  const json = toJson(record)
  return json === '{}' ? '' : `,${json.slice(1, -1)}`
}

/** A JSON array with the fewest digits that restore each float32 exactly. */
export function floatArray(vector: Float32Array): string {
  const texts: string[] = []
  for (const value of vector) texts.push(floatText(value))
  return `[${texts.join(',')}]`
}

/**
 * Nine significant digits distinguish any two float32 values; most need fewer. Negative zero is
 * written as '-0.0', because readers parse '-0' as an integer, which has no negative zero.
 */
function floatText(value: number): string {
  if (Object.is(value, -0)) return '-0.0'
  for (let digits = 7; digits < 9; digits++) {
    const shorter = Number(value.toPrecision(digits))
    if (Math.fround(shorter) === value) return String(shorter)
  }
  return String(Number(value.toPrecision(9)))
}

function bigEndian(vector: Float32Array): Buffer {
  const bytes = Buffer.alloc(4 * vector.length)
  for (let i = 0; i < vector.length; i++) bytes.writeFloatBE(vector[i] ?? 0, 4 * i)
  return bytes
}
