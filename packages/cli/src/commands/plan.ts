import { previewRun } from '@reembed/producer'
import { describePlan, describePreview, describeQuote } from '../describe-plan.ts'
import { facts, print } from '../format.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { openOrStartEndpoint, openSource } from '../parts.ts'
import { planFrom } from '../planning.ts'

/** `reembed plan`: a dry run with its price, and some inputs as the model will see them. Nothing is written. */
export async function plan(flags: CorpusFlags & Partial<OutputFlags> & JsonFlag): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const corpus = stack.use(await openSource(flags))
  const endpoint = await openOrStartEndpoint(flags, stack)
  const { head, slices, maxInputLength, quoted } = await planFrom(corpus, flags, endpoint, undefined)
  const preview =
    quoted &&
    (await previewRun(quoted.sample, { prompt: head.recipe.prompt, count: quoted.count, maxInputLength }))
  print(
    flags.json,
    { ...head, preview },
    facts([
      ...describePlan({ head, slices }),
      ...(head.quote ? describeQuote(head.quote) : []),
      ...(preview ? describePreview(preview, maxInputLength) : []),
    ]),
  )
}
