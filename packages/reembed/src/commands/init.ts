import { existsSync } from 'node:fs'
import { sampleCorpus, survey } from '@reembed/planner'
import { bytes, counted } from '@reembed/render'
import { ReembedError } from '@reembed/shared'
import { DEFAULT_FILE } from '../config/config-keys.ts'
import { givenValues, writeFirstConfig } from '../config/write.ts'
import { openSource } from '../open-resources.ts'
import type { CorpusFlags, OutputFlags, RedisFlags } from '../options.ts'
import { note } from '../output.ts'

type Flags = CorpusFlags & Partial<OutputFlags> & RedisFlags & { readonly config?: string }

/**
 * `reembed init`: reads a sample of the corpus and writes a reembed.yaml with its fields and with
 * every option that was given.
 */
export async function init(flags: Flags, self: Parameters<typeof givenValues>[0]): Promise<void> {
  const file = flags.config ?? DEFAULT_FILE
  if (existsSync(file))
    throw new ReembedError('USAGE', `${file} already exists: edit it, or give another file with --config`)
  const given = givenValues(self)
  await using corpus = await openSource(flags)
  const found = await survey(corpus)
  const { template, carry } = flags
  const { fields, documents } = await sampleCorpus(corpus, found, {
    fields: { ...(flags.id && { id: flags.id }), ...(flags.text && { text: flags.text }) },
    template,
    carry,
  })
  const about = `${counted(found.objects, 'object')}, ${bytes(found.bytes)}, about ${counted(documents, 'document')}`
  const values = new Map<string, unknown>([
    ['source.uri', flags.source],
    ...(flags.format ? [['source.format', flags.format] as const] : []),
    ...(fields ? [['source.id', fields.id] as const] : []),
    ...(fields && template === undefined ? [['source.text', fields.text] as const] : []),
    ['output.uri', flags.output ?? 'vectors'],
    ...given,
  ])
  await writeFirstConfig(file, { about, values })
  note(`source    ${about}`)
  note(
    `fields    ${fields ? `id: ${fields.id}, text: ${template === undefined ? fields.text : JSON.stringify(template)}` : 'one document per file, id = its path'}`,
  )
  note(`wrote ${file}; \`reembed config --check\` validates it, \`reembed plan\` shows what a run would do`)
}
