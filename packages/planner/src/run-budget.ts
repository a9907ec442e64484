// The budget of a run: checked when the run is planned, recorded with its state, enforced by
// workers.

import type { EndpointResolver, ResolvedEndpoint } from '@reembed/endpoint'
import {
  type Price,
  type RunBudget,
  type RunStateRecord,
  readRunStateRecord,
  setRunState,
} from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'

/** What a run may cost, and the price that turns endpoint time into cost. */
export interface SpendingOptions {
  /** Dollars an hour of one replica; default: the list price of an `hf:` endpoint. */
  readonly pricePerHour?: number | undefined
  /**
   * False for an endpoint that has no list price, which is found out late otherwise: after the
   * corpus was read, and a local endpoint started. Default: not known before it is resolved.
   */
  readonly hasListPrice?: boolean | undefined
  /** Replicas that are paid for; default 1, or what Hugging Face runs. */
  readonly replicas?: number | undefined
  /** Maximum cost in dollars of endpoint time; the run pauses when it is reached. */
  readonly maxCost?: number | undefined
  /** Maximum number of tokens to embed; the run pauses when it is reached. */
  readonly maxTokens?: number | undefined
}

/**
 * The budget in the units that workers can watch: tokens and seconds of endpoint time.
 * @throws ReembedError USAGE for a `maxCost` without a price.
 */
export function budgetOf({ maxCost, maxTokens }: SpendingOptions, price: Price | undefined): RunBudget {
  if (maxCost !== undefined && price === undefined) {
    throw new ReembedError(
      'USAGE',
      `a maximum cost of $${maxCost} needs a price: state what one replica of the endpoint costs per hour`,
      { option: 'spending.pricePerHour' },
    )
  }
  return {
    ...(maxTokens !== undefined && { maxTokens }),
    ...(maxCost !== undefined &&
      price && { maxEndpointSeconds: (3600 * maxCost) / (price.perHour * price.replicas) }),
  }
}

/**
 * Refuses a maximum cost that no price can be found for, before the endpoint is resolved.
 * @throws ReembedError USAGE
 */
export function requirePrice(spending: SpendingOptions, given: ResolvedEndpoint | EndpointResolver): void {
  const { pricePerHour: perHour, replicas = 1, hasListPrice } = spending
  const mayBeListed = hasListPrice ?? (typeof given === 'function' || given.hf !== undefined)
  if (!mayBeListed) budgetOf(spending, perHour === undefined ? undefined : { perHour, replicas })
}

/**
 * Records the budget of the run. A run that was paused by its budget continues with another one,
 * and a failed run is tried again.
 * @throws ReembedError RUN_STOPPED for a run that is paused, cancelled or being deleted, or whose
 * budget is used up and is not changed.
 */
export async function applyBudget(store: Store, run: string, budget: RunBudget): Promise<void> {
  const record = await readRunStateRecord(store, run)
  const isSame =
    record.maxTokens === budget.maxTokens && record.maxEndpointSeconds === budget.maxEndpointSeconds
  const isStopped = record.state === 'paused' || record.state === 'cancelled'
  if (isStopped && (record.budgetExceeded === undefined || isSame)) throw runStoppedError(run, record)
  if (!isSame || record.state !== 'running') await setRunState(store, run, 'running', { budget })
}

/** The error for a run that is paused or cancelled, or that has used up its budget. */
export function runStoppedError(
  run: string,
  { state, budgetExceeded, modelReplaced }: RunStateRecord,
): ReembedError {
  const [why, reason] =
    budgetExceeded === undefined
      ? [modelReplaced ?? 'resume it to continue', 'run_paused']
      : [`${budgetExceeded}. Completed shards are kept; raise the budget to continue`, 'budget_exceeded']
  return new ReembedError('RUN_STOPPED', `run ${run} is ${state}: ${why}`, { reason })
}
