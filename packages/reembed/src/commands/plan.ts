import { planCorpus, previewRun } from '@reembed/planner'
import { describePlan, describePreview, describeQuote, describeReuse } from '@reembed/render'
import { absoluteUrl, ReembedError } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { notePlan } from '../notices.ts'
import { openOrStartEndpoint, openSource, s3OptionsOf } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { facts, print } from '../output.ts'
import { planOptionsOf } from '../requests.ts'

/**
 * `reembed plan`: shows what a run would do and cost, and some inputs as the model receives them.
 * Writes nothing.
 */
export async function plan(
  flags: CorpusFlags & Partial<OutputFlags> & JsonFlag & { readonly explain?: boolean },
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const options = planOptionsOf(flags)
  const corpus = stack.use(await openSource(flags))
  const previous = await openPrevious(flags)
  if (previous) stack.use(previous)
  const planned = await planCorpus(corpus, () => openOrStartEndpoint(flags, stack), options, {
    previousOutput: previous,
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

/** Opens the output with its previous versions, if it exists. */
async function openPrevious({ output, ...flags }: Partial<OutputFlags>): Promise<Store | undefined> {
  if (output === undefined) return undefined
  try {
    return await openStore(absoluteUrl(output), { s3: s3OptionsOf(flags) })
  } catch (error) {
    if (error instanceof ReembedError && error.code === 'SOURCE_NOT_FOUND') return undefined
    throw error
  }
}
