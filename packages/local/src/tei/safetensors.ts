// Parses safetensors files: 8 bytes of header length, a JSON header, the bytes of the tensors.
// https://github.com/huggingface/safetensors#format

import type { DataType } from './onnx-graph.ts'

export interface Tensor {
  readonly type: DataType
  readonly shape: readonly number[]
  /** Little-endian. A view on the file. */
  readonly bytes: Uint8Array
}

const TYPES: Readonly<Record<string, DataType>> = {
  F32: 'float32',
  F16: 'float16',
  I64: 'int64',
  I32: 'int32',
}

/** Returns the tensors of a file by name. */
export function parseSafetensors(file: Buffer): Map<string, Tensor> {
  const headerLength = Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerLength)) as Record<string, Entry>
  const data = file.subarray(8 + headerLength)
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [start, end],
          },
        ]) => {
          const type = TYPES[dtype]
          if (type === undefined)
            throw new TypeError(`tensor ${name} has type ${dtype}, which is not supported`)
          return [name, { type, shape, bytes: data.subarray(start, end) }]
        },
      ),
  )
}

interface Entry {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data_offsets: readonly [number, number]
}
