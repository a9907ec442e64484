// What planning learns from the corpus alone. No endpoint is needed for it, so a source that is
// wrong is refused before an endpoint is started, woken or waited for.

import { createMapper } from '@reembed/corpus'
import { type Document, isDirectSource, type ShardLayout } from '@reembed/protocol'
import { type Consumer, extraColumns } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Corpus } from './corpus.ts'
import { type Sample, type SampleOptions, sampleCorpus } from './sample.ts'
import { type Survey, survey } from './survey.ts'

export interface InspectOptions extends SampleOptions {
  /** Columns of shards in addition to id, vector and content hash. */
  readonly layout?: ShardLayout | undefined
  /** What will load the run: the sampled documents are kept for its limits. */
  readonly consumers?: readonly Consumer[] | undefined
  readonly onProgress?: ((step: 'listing' | 'sampling' | 'copying', done: number) => void) | undefined
}

export interface InspectedCorpus {
  readonly found: Survey
  readonly sample: Sample
  /** The sampled documents, if there are consumers. */
  readonly documents: readonly Document[]
}

/**
 * Lists the corpus, reads a sample of it, chooses the fields, and refuses what every worker would
 * refuse. Holds at most 100,000 objects in memory.
 * @throws ReembedError SOURCE_EMPTY, SOURCE_FORMAT, FIELD_NOT_FOUND, DUPLICATE_ID; USAGE for
 * columns that cannot be carried, and for a source that no worker reads
 */
export async function inspectCorpus(corpus: Corpus, options: InspectOptions): Promise<InspectedCorpus> {
  const { template, layout, consumers = [], onProgress = () => {}, signal } = options
  if (!isDirectSource(corpus.store.url)) {
    throw new ReembedError(
      'USAGE',
      `the path of the source ${JSON.stringify(corpus.store.url)} contains dots or control characters: give its plain path, or rename the folder`,
      { option: 'source' },
    )
  }
  const { id, text } = options.fields ?? {}
  if (id !== undefined) corpus.requireField?.(id, 'fields.id')
  if (text !== undefined) corpus.requireField?.(text, 'fields.text')
  onProgress('listing', 0)
  const found = await survey(corpus, signal, objects => onProgress('listing', objects))
  onProgress('sampling', 0)
  const documents: Document[] = []
  const onDocument =
    consumers.length === 0 ? undefined : (document: Document): void => void documents.push(document)
  const sample = await sampleCorpus(corpus, found, { ...options, onDocument })
  if (sample.documents === 0) {
    throw new ReembedError(
      'SOURCE_EMPTY',
      `There is nothing to embed: the objects in ${corpus.store.url} hold no records`,
    )
  }
  const { fields, carry } = sample
  extraColumns(carry.length === 0 ? layout : { ...layout, carry })
  if (fields) createMapper({ fields, template, carry })
  return { found, sample, documents }
}

/**
 * The corpus that a run in `output` reads. A table of a database, of which a sample is open, is
 * copied into the output: the columns that the run needs. Then the copy is inspected.
 */
export async function copyIfNeeded(
  corpus: Corpus,
  inspected: InspectedCorpus,
  output: Store | undefined,
  options: InspectOptions,
): Promise<{ readonly corpus: Corpus; readonly inspected: InspectedCorpus }> {
  const { fields, carry, title } = inspected.sample
  if (output === undefined || corpus.copyTo === undefined || fields === null) return { corpus, inspected }
  const { template, onProgress = () => {}, signal } = options
  const { paths } = createMapper({ fields, template, carry, title })
  const onCopied = (rows: number): void => onProgress('copying', rows)
  onCopied(0)
  const copy = await corpus.copyTo(output, { paths, id: fields.id, onCopied, signal })
  return { corpus: copy, inspected: await inspectCorpus(copy, { ...options, copyOf: inspected.sample }) }
}
