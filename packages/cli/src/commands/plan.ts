import { forecastReuse, previewRun } from '@reembed/producer'
import { openStore, ReembedError, type Store } from '@reembed/shared'
import { findTokenizer } from '../chunking.ts'
import { describePlan, describePreview, describeReuse } from '../describe-plan.ts'
import { facts, print } from '../format.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { absolute, openOrStartEndpoint, openSource, s3OptionsOf } from '../parts.ts'
import { planFrom } from '../planning.ts'

/** `reembed plan`: a dry run, with some inputs as the model will see them. Nothing is written. */
export async function plan(
  flags: CorpusFlags & Partial<OutputFlags> & JsonFlag & { readonly explain?: boolean },
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const corpus = stack.use(await openSource(flags))
  const endpoint = await openOrStartEndpoint(flags, stack)
  const earlier = await openEarlier(flags)
  if (earlier) stack.use(earlier)
  const planned = await planFrom(corpus, flags, endpoint, undefined, earlier)
  const reuse = await forecastReuse(earlier, corpus.store, planned)
  const tokenizer = await findTokenizer(flags.tokenizer, flags.model)
  const preview = await previewRun(corpus, planned, { tokenizer, maxInputLength: planned.maxInputLength })
  print(
    flags.json,
    { ...planned.head, reuse, preview },
    facts([
      ...describePlan(planned),
      ...describeReuse(reuse, flags.explain === true),
      ...describePreview(preview, planned.maxInputLength),
    ]),
  )
}

/** The output with what was published before, if there is any. */
async function openEarlier({ output, ...flags }: Partial<OutputFlags>): Promise<Store | undefined> {
  if (output === undefined) return undefined
  try {
    return await openStore(absolute(output), { s3: s3OptionsOf(flags) })
  } catch (error) {
    if (error instanceof ReembedError && error.code === 'SOURCE_MISSING') return undefined
    throw error
  }
}
