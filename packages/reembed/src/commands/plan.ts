import { planCorpus, previewRun } from '@reembed/producer'
import { ReembedError } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { describePlan, describePreview, describeQuote, describeReuse } from '../describe-plan.ts'
import { facts, print } from '../format.ts'
import { notePlan } from '../notices.ts'
import { absoluteUrl, openOrStartEndpoint, openSource, s3OptionsOf } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { planOptionsOf } from '../requests.ts'

/**
 * `reembed plan`: a dry run with its price, and some inputs as the model will see them. Nothing is
 * written.
 */
export async function plan(
  flags: CorpusFlags & Partial<OutputFlags> & JsonFlag & { readonly explain?: boolean },
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const corpus = stack.use(await openSource(flags))
  const endpoint = await openOrStartEndpoint(flags, stack)
  const earlier = await openEarlier(flags)
  if (earlier) stack.use(earlier)
  const planned = await planCorpus(corpus, endpoint, planOptionsOf(flags), {
    previousOutput: earlier,
    onNotice: notePlan,
  })
  const { head, slices, maxInputLength, quoted, reuse } = planned
  const preview =
    quoted &&
    (await previewRun(quoted.sample, {
      prompt: head.recipe.prompt,
      countTokens: quoted.countTokens,
      maxInputLength,
    }))
  print(
    flags.json,
    { ...head, reuse, preview },
    facts([
      ...describePlan({ head, slices }),
      ...(reuse ? describeReuse(reuse, flags.explain === true) : []),
      ...(head.quote ? describeQuote(head.quote) : []),
      ...(preview ? describePreview(preview, maxInputLength) : []),
    ]),
  )
}

/** The output with the versions before, if it exists. */
async function openEarlier({ output, ...flags }: Partial<OutputFlags>): Promise<Store | undefined> {
  if (output === undefined) return undefined
  try {
    return await openStore(absoluteUrl(output), { s3: s3OptionsOf(flags) })
  } catch (error) {
    if (error instanceof ReembedError && error.code === 'SOURCE_NOT_FOUND') return undefined
    throw error
  }
}
