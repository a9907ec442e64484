import { previewRun } from '@reembed/producer'
import { findTokenizer } from '../chunking.ts'
import { describePlan, describePreview } from '../describe-plan.ts'
import { facts, print } from '../format.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { openOrStartEndpoint, openSource } from '../parts.ts'
import { planFrom } from '../planning.ts'

/** `reembed plan`: a dry run, with some inputs as the model will see them. Nothing is written. */
export async function plan(flags: CorpusFlags & Partial<OutputFlags> & JsonFlag): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const corpus = stack.use(await openSource(flags))
  const endpoint = await openOrStartEndpoint(flags, stack)
  const planned = await planFrom(corpus, flags, endpoint, undefined)
  const tokenizer = await findTokenizer(flags.tokenizer, flags.model)
  const preview = await previewRun(corpus, planned, { tokenizer, maxInputLength: planned.maxInputLength })
  print(
    flags.json,
    { ...planned.head, preview },
    facts([...describePlan(planned), ...describePreview(preview, planned.maxInputLength)]),
  )
}
