// Arrow IPC and NumPy: layouts that consumers map into memory without parsing.

import {
  createArrowWriter,
  createParquetWriter,
  createShardBuffer,
  type ParquetColumn,
  type Quantization,
  toInt8,
  toUbinary,
} from '@reembed/shard'
import { type CreateExportLayout, inOrder, pythonCommand, pythonText } from '../layout.ts'
import { plainColumns, plainValues } from './parquet.ts'

/**
 * Arrow IPC files with vectors as FixedSizeList. Each row group of a shard becomes a record batch.
 */
export const arrow: CreateExportLayout = run => {
  const { run: id, spaceId, recipeId, model } = run.manifest
  const metadata = new Map(
    Object.entries({
      'reembed.run_id': id,
      'reembed.space_id': spaceId,
      'reembed.recipe_id': recipeId,
      'reembed.model_id': model.id,
      'reembed.model_revision': model.revision ?? '',
    }),
  )
  return {
    fileNames: ({ stem }) => [`data/${stem}.arrow`],
    async *write({ stem }, batches) {
      const { sink, bytes } = createShardBuffer()
      const writer = await createArrowWriter({ columns: plainColumns(run), sink, metadata })
      for await (const batch of batches) writer.append(batch.ids.length, plainValues(run, batch))
      writer.finish()
      yield { name: `data/${stem}.arrow`, bytes: bytes() }
    },
    sharedFiles: [],
    loadCommands: (target, { shards, deletes }) =>
      deltaOfFiles(
        deletes,
        shards.length === 0
          ? ''
          : pythonCommand(
              `import pyarrow.dataset as ds; print(ds.dataset(${pythonText(`${target}/data`)}, format="arrow").schema)`,
            ),
      ),
  }
}

const NPY_TYPE: Record<'float32' | Quantization, string> = { float32: '<f4', int8: '|i1', ubinary: '|u1' }

/**
 * One matrix per shard, and a Parquet file with the ids and the other columns in the same row
 * order: the layout that embedding-reader and autofaiss read.
 */
export const npy: CreateExportLayout = run => {
  const { extra, quantize, ranges, manifest } = run
  const { dimensions } = manifest.model
  const columns: ParquetColumn[] = [{ kind: 'flat', name: 'id', type: 'string', nullable: false }, ...extra]
  const folderOf = (type: Quantization): string => `embeddings_${type}`
  const names = (stem: string): string[] => [
    `embeddings/${stem}.npy`,
    ...quantize.map(type => `${folderOf(type)}/${stem}.npy`),
    `metadata/${stem}.parquet`,
  ]
  return {
    fileNames: ({ stem }) => names(stem),
    async *write({ stem, rows }, batches) {
      const matrices = [createShardBuffer(), ...quantize.map(() => createShardBuffer())]
      matrices[0]?.sink(npyHeader(NPY_TYPE.float32, rows, dimensions))
      for (const [i, type] of quantize.entries()) {
        matrices[i + 1]?.sink(npyHeader(NPY_TYPE[type], rows, type === 'int8' ? dimensions : dimensions / 8))
      }
      const table = createShardBuffer()
      const writer = createParquetWriter({ columns, sink: table.sink })
      for await (const { ids, vectors, extra: values } of batches) {
        matrices[0]?.sink(bytesOf(vectors))
        for (const [i, type] of quantize.entries()) {
          matrices[i + 1]?.sink(
            type === 'int8' && ranges ? bytesOf(toInt8(vectors, ranges)) : toUbinary(vectors),
          )
        }
        writer.append(ids.length, [ids, ...extra.map(({ name }) => values.get(name) ?? [])])
      }
      writer.finish([])
      const files = [...matrices, table]
      for (const [i, name] of names(stem).entries()) {
        const file = files[i]
        if (file) yield { name, bytes: file.bytes() }
      }
    },
    sharedFiles: [],
    loadCommands: (target, { deletes }) => {
      const opening = inOrder(
        '# row i of a matrix belongs to row i of metadata/, in the file with the same name',
        ...['embeddings', ...quantize.map(folderOf)].map(folder =>
          pythonCommand(
            `import glob, numpy; print(sum(len(numpy.load(path, mmap_mode="r")) for path in glob.glob(glob.escape(${pythonText(`${target}/${folder}`)}) + "/*.npy")), "rows in ${folder}")`,
          ),
        ),
      )
      return deltaOfFiles(deletes, opening)
    },
  }
}

/** Programs open files of this kind where they are: an earlier export stays beside them. */
const deltaOfFiles = (deletes: number | undefined, opening: string): string =>
  deletes === undefined
    ? opening
    : `# read these files after those of the earlier export, without the rows of it whose ids are in deletes/\n${opening}`.trimEnd()

/**
 * NumPy format 1.0: magic, version, header length, and a header padded so that the data begins at a
 * multiple of 64 bytes. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
function npyHeader(descr: string, rows: number, columns: number): Uint8Array {
  const head = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`
  const PREFIX = 10
  const length = Math.ceil((PREFIX + head.length + 1) / 64) * 64 - PREFIX
  const header = Buffer.alloc(PREFIX + length)
  header.write('\x93NUMPY\x01\x00', 'latin1')
  header.writeUInt16LE(length, 8)
  header.write(`${head.padEnd(length - 1)}\n`, PREFIX, 'latin1')
  return header
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Int8Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)
