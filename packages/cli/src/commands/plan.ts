import { describePlan } from '../describe-plan.ts'
import { facts, print } from '../format.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { openOrStartEndpoint, openSource } from '../parts.ts'
import { planFrom } from '../planning.ts'

/** `reembed plan`: a dry run. Nothing is written. */
export async function plan(flags: CorpusFlags & Partial<OutputFlags> & JsonFlag): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const corpus = stack.use(await openSource(flags))
  const endpoint = await openOrStartEndpoint(flags, stack)
  const planned = await planFrom(corpus, flags, endpoint, undefined)
  print(flags.json, planned.head, facts(describePlan(planned)))
}
