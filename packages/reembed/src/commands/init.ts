import { existsSync } from 'node:fs'
import { sampleCorpus, survey } from '@reembed/planner'
import { ReembedError } from '@reembed/shared'
import { DEFAULT_FILE } from '../config/config-keys.ts'
import { writeFirstConfig } from '../config/write.ts'
import { bytes, counted, note } from '../format.ts'
import { openSource } from '../open-resources.ts'
import type { CorpusFlags, OutputFlags, RedisFlags } from '../options.ts'

type Flags = CorpusFlags & Partial<OutputFlags> & RedisFlags & { readonly config?: string }

/** `reembed init`: reads a sample of the corpus and writes a reembed.yaml with its fields. */
export async function init(flags: Flags): Promise<void> {
  const file = flags.config ?? DEFAULT_FILE
  if (existsSync(file))
    throw new ReembedError('USAGE', `${file} already exists: edit it, or give another file with --config`)
  await using corpus = await openSource(flags)
  const found = await survey(corpus)
  const { fields, documents } = await sampleCorpus(corpus, found, {
    fields: { ...(flags.id && { id: flags.id }), ...(flags.text && { text: flags.text }) },
  })
  const about = `${counted(found.objects, 'object')}, ${bytes(found.bytes)}, about ${counted(documents, 'document')}`
  const { source, format, output = 'vectors', endpoint, redis } = flags
  await writeFirstConfig(file, { about, source, format, fields, output, endpoint, redis })
  note(`source    ${about}`)
  note(
    `fields    ${fields ? `id: ${fields.id}, text: ${fields.text}` : 'one document per file, id = its path'}`,
  )
  note(`wrote ${file}; \`reembed plan\` shows what a run would do`)
}
