// Elasticsearch (OpenSearch) and Vespa: lines of JSON.

import type { CarriedValue } from '@reembed/protocol'
import { createShardBuffer, type FlatColumn, type ShardBatch } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import { type CreateExportLayout, type ExportShard, metadataOf, textFile, toJson } from '../layout.ts'

/** Elasticsearch advises bulk requests of this size; 100 MiB are refused. */
const BULK_BYTES = 10 * 2 ** 20
const ELASTIC_DIMENSIONS = 4_096

const ELASTIC_TYPE: Record<FlatColumn['type'], string> = {
  string: 'keyword',
  int32: 'integer',
  int64: 'long',
  double: 'double',
  boolean: 'boolean',
}

/** Bodies for `_bulk`, each small enough for one request. Numbers are arrays, which every version takes. */
export const elasticsearch: CreateExportLayout = ({ manifest, extra, name }) => {
  const { dimensions } = manifest.model
  if (dimensions > ELASTIC_DIMENSIONS) {
    throw new ReembedError(
      'USAGE',
      `Elasticsearch takes ${ELASTIC_DIMENSIONS} dimensions at most, these vectors have ${dimensions}`,
    )
  }
  const rowsPerFile = Math.max(1, Math.floor(BULK_BYTES / (12 * dimensions + 1_024)))
  const fileNames = ({ rows, stem }: ExportShard): string[] =>
    Array.from(
      { length: Math.max(1, Math.ceil(rows / rowsPerFile)) },
      (_, file) => `data/${stem}-${String(file).padStart(4, '0')}.ndjson`,
    )
  const mapping = {
    mappings: {
      properties: {
        // dot_product would be quicker, but refuses what half precision leaves a little longer or shorter than 1.
        embedding: { type: 'dense_vector', dims: dimensions, index: true, similarity: 'cosine' },
        ...Object.fromEntries(
          extra.map(column => [
            column.name,
            column.name === 'text' ? { type: 'text' } : { type: ELASTIC_TYPE[column.type] },
          ]),
        ),
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
            `{"index":{"_id":${JSON.stringify(batch.ids[row])}}}\n{"embedding":${floatArray(embedding)}${rest(record)}}\n`,
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
    sharedFiles: [textFile('mapping.json', `${JSON.stringify(mapping, null, 2)}\n`)],
    loadCommands: `curl -X PUT <elasticsearch>/${name} -H 'content-type: application/json' --data-binary @<target>/mapping.json
for file in <target>/data/*.ndjson; do curl -sS --fail <elasticsearch>/${name}/_bulk -H 'content-type: application/x-ndjson' --data-binary @$file; done`,
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
 * Puts for `vespa feed`. Tensors as hexadecimal digits: exact, and a third of the digits of numbers
 * (docs.vespa.ai/en/reference/document-json-format.html, "Tensor hex dump").
 */
export const vespa: CreateExportLayout = ({ manifest, extra, name }) => {
  const { dimensions, normalized } = manifest.model
  const wrong = [name, ...extra.map(column => column.name)].find(word => !VESPA_NAME.test(word))
  if (wrong !== undefined) {
    throw new ReembedError('USAGE', `'${wrong}' is no name for Vespa: it takes letters, digits and _`)
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
          const hex = bigEndianHex(vectors.next().value ?? new Float32Array())
          const line = `{"put":${put},"fields":{"id":${JSON.stringify(id)},"embedding":{"values":"${hex}"}${rest(record)}}}\n`
          sink(Buffer.from(line))
        }
      }
      yield { name: `data/${stem}.jsonl`, bytes: bytes() }
    },
    sharedFiles: [textFile(`schemas/${name}.sd`, schema)],
    loadCommands: `# with schemas/${name}.sd in the application package:
for file in <target>/data/*.jsonl; do vespa feed $file; done`,
  }
}

function* vectorsOf({ vectors }: ShardBatch, dimensions: number): Generator<Float32Array, void, undefined> {
  for (let at = 0; at < vectors.length; at += dimensions) yield vectors.subarray(at, at + dimensions)
}

/** The members of a record behind others. */
function rest(record: Record<string, CarriedValue>): string {
  const json = toJson(record)
  return json === '{}' ? '' : `,${json.slice(1, -1)}`
}

/** A JSON array with as few digits as give each float32 back exactly. */
export function floatArray(vector: Float32Array): string {
  const texts: string[] = []
  for (const value of vector) texts.push(floatText(value))
  return `[${texts.join(',')}]`
}

/** Nine digits tell any two float32 apart; most need fewer. Readers take '-0' for a whole number, which has no sign of zero. */
function floatText(value: number): string {
  if (Object.is(value, -0)) return '-0.0'
  for (let digits = 7; digits < 9; digits++) {
    const shorter = Number(value.toPrecision(digits))
    if (Math.fround(shorter) === value) return String(shorter)
  }
  return String(Number(value.toPrecision(9)))
}

function bigEndianHex(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length)
  for (let i = 0; i < vector.length; i++) bytes.writeFloatBE(vector[i] ?? 0, 4 * i)
  return bytes.toString('hex')
}
