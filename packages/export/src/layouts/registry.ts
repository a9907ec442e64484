// The layouts by name.

import type { CreateExportLayout } from '../layout.ts'
import { arrow, npy } from './files.ts'
import { elasticsearch, elasticsearchBase64, pineconeDocuments, vespa } from './json.ts'
import { hf, lance, milvus, pinecone } from './parquet.ts'
import { pgvector } from './pgvector.ts'

export type ExportLayoutName =
  | 'hf'
  | 'pinecone'
  | 'pinecone-documents'
  | 'milvus'
  | 'lance'
  | 'pgvector'
  | 'elasticsearch'
  | 'elasticsearch-base64'
  | 'vespa'
  | 'npy'
  | 'arrow'

export const LAYOUTS: Record<ExportLayoutName, CreateExportLayout> = {
  hf,
  pinecone,
  'pinecone-documents': pineconeDocuments,
  milvus,
  lance,
  pgvector,
  elasticsearch,
  'elasticsearch-base64': elasticsearchBase64,
  vespa,
  npy,
  arrow,
}

export const EXPORT_LAYOUT_NAMES: readonly ExportLayoutName[] = Object.keys(LAYOUTS) as ExportLayoutName[]

/** Layouts that can store int8 and binary vectors in addition to the float32 vectors. */
export const QUANTIZED_LAYOUTS: readonly ExportLayoutName[] = ['hf', 'milvus', 'lance', 'npy', 'arrow']

/**
 * Consumers whose column names must be identifiers: fields of Milvus and Vespa, and the top level
 * of a Lance schema ("cannot contain `.`").
 */
export const IDENTIFIER_NAMES_ONLY: readonly ExportLayoutName[] = ['milvus', 'lance', 'vespa']
