import { budgetOf, findRun, resolvePrice } from '@reembed/planner'
import { planRetry } from '@reembed/producer'
import { onInterrupt } from '../interrupt.ts'
import { openOrStartEndpoint, openOutput } from '../open-resources.ts'
import type { EndpointFlags, SpendingFlags } from '../options.ts'
import { spendingOf } from '../requests.ts'
import { executeRun, type FollowFlags, INTERRUPT_MS, unlessInterrupted } from './run.ts'

/**
 * `reembed retry <run> --rejects`: embeds again what the model refused, after its server is fixed.
 */
export async function retry(name: string, flags: EndpointFlags & SpendingFlags & FollowFlags): Promise<void> {
  const startedMs = Date.now()
  await using stack = new AsyncDisposableStack()
  const interrupted = stack.adopt(onInterrupt(INTERRUPT_MS), ({ stop }) => stop()).signal
  const { planned, ...prepared } = await unlessInterrupted(interrupted, async () => {
    const store = stack.use(await openOutput(flags))
    const retried = await planRetry(store, await findRun(store, name, 'newest'))
    const endpoint = await openOrStartEndpoint(flags, stack)
    const spending = spendingOf(flags)
    const budget = budgetOf(spending, await resolvePrice(spending, endpoint))
    return { store, endpoint, planned: { ...retried, budget } }
  })
  await executeRun(planned, flags, { ...prepared, stack, interrupted, startedMs })
}
