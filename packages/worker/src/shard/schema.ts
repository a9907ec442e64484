// The columns of a shard: what they look like to a reader (SCHEMA), and how their chunks are stored.
// The list is written as the Parquet specification wants it, on three levels; inside it nothing is optional, so
// every vector has all its values. Only `id` has statistics, none has a dictionary.

import type { SchemaElement } from 'hyparquet'
import type { Column } from './chunk.ts'

/** Bytes of a content hash. */
export const HASH_BYTES = 16

export const SCHEMA: SchemaElement[] = [
  { name: 'shard', num_children: 3 },
  {
    name: 'id',
    repetition_type: 'REQUIRED',
    type: 'BYTE_ARRAY',
    converted_type: 'UTF8',
    logical_type: { type: 'STRING' },
  },
  {
    name: 'embedding',
    repetition_type: 'REQUIRED',
    num_children: 1,
    converted_type: 'LIST',
    logical_type: { type: 'LIST' },
  },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  { name: 'element', repetition_type: 'REQUIRED', type: 'FLOAT' },
  {
    name: 'content_hash',
    repetition_type: 'REQUIRED',
    type: 'FIXED_LEN_BYTE_ARRAY',
    type_length: HASH_BYTES,
  },
]

export const ID: Column = {
  path_in_schema: ['id'],
  type: 'BYTE_ARRAY',
  encodings: ['PLAIN'],
  codec: 'ZSTD',
}

export const EMBEDDING: Column = {
  path_in_schema: ['embedding', 'list', 'element'],
  type: 'FLOAT',
  encodings: ['PLAIN', 'RLE'],
  codec: 'UNCOMPRESSED',
}

/** Hashes look random: compressing them only costs. */
export const CONTENT_HASH: Column = {
  path_in_schema: ['content_hash'],
  type: 'FIXED_LEN_BYTE_ARRAY',
  encodings: ['PLAIN'],
  codec: 'UNCOMPRESSED',
}
