// Arrow IPC and NumPy: the layouts that are mapped into memory as they are.

import {
  createArrowWriter,
  createParquetWriter,
  createShardBuffer,
  type ParquetColumn,
  type Quantization,
  toInt8,
  toUbinary,
} from '@reembed/shard'
import type { CreateExportLayout } from '../layout.ts'
import { plainColumns, plainValues } from './parquet.ts'

/** Arrow IPC files with vectors as FixedSizeList; a record batch is a row group of the shard. */
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
    loadCommands: `python -c "import pyarrow.dataset as ds; print(ds.dataset('<target>/data', format='arrow').schema)"`,
  }
}

const NPY_TYPE: Record<'float32' | Quantization, string> = { float32: '<f4', int8: '|i1', ubinary: '|u1' }

/** A matrix a shard and, in the same order, a Parquet file of ids and all else, as embedding-reader and autofaiss want them. */
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
    loadCommands: `python -c "import numpy; print(numpy.load('<target>/embeddings/part-00000-of-....npy', mmap_mode='r').shape)"`,
  }
}

/** NumPy's format 1.0: magic, version, length of the header, and a header that ends on a multiple of 64 bytes. */
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
