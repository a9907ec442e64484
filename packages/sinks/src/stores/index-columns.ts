// Which columns of an index hold id, vector and text, unless the user names them.

import { ReembedError } from '@reembed/shared'

export const ID_NAMES: readonly string[] = ['id', 'uuid', 'doc_id', 'document_id']
export const TEXT_NAMES: readonly string[] = ['text', 'content', 'body', 'document', 'chunk', 'passage']

export interface IndexColumns {
  readonly names: readonly string[]
  readonly vectors: readonly string[]
}

/**
 * The vector column, and the text column if there is one.
 * @param index what messages call it: `the table 'docs' at …`
 * @throws ReembedError USAGE for a column that does not exist, or no vector column or several
 */
export function chooseColumns(
  { names, vectors }: IndexColumns,
  of: Readonly<Record<string, string>>,
  index: string,
): { readonly vector: string; readonly text: string | undefined } {
  const refuse = (what: string, parameter: string): ReembedError =>
    new ReembedError(
      'USAGE',
      `${index} ${what}; its columns are ${names.join(', ')}: add &${parameter}=<column>`,
      { option: 'store' },
    )
  for (const parameter of ['id', 'vector', 'text']) {
    const name = of[parameter]
    if (name !== undefined && !names.includes(name)) throw refuse(`has no column '${name}'`, parameter)
  }
  const vector = of.vector ?? (vectors.length === 1 ? vectors[0] : undefined)
  if (vector === undefined) throw refuse(`has ${vectors.length} vector columns`, 'vector')
  return { vector, text: of.text ?? TEXT_NAMES.find(name => names.includes(name)) }
}
