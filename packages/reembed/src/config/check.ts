// Validates a reembed.yaml as far as possible without a network: what every command would refuse
// later. All faults are reported, not only the first one.

import { parseTemplate } from '@reembed/corpus'
import { parseTargets } from '@reembed/endpoint'
import { resolveGates } from '@reembed/evaluate'
import { budgetOf } from '@reembed/planner'
import { secureUrlOf } from '@reembed/queue'
import { explain } from '../explain.ts'
import { endpointOptionsOf } from '../open-resources.ts'
import type { CorpusFlags, RedisFlags } from '../options.ts'
import { planOptionsOf } from '../requests.ts'
import type { ConfigFile } from './file.ts'
import { schedulesOf } from './schedules.ts'

export interface ConfigCheck {
  readonly schedules: number
  readonly gates: number
  /** Empty for a file that every command accepts. */
  readonly faults: readonly string[]
}

/** Checks the values that flags, variables and `file` give together. */
export async function checkConfig(
  file: ConfigFile | undefined,
  flags: CorpusFlags & RedisFlags,
): Promise<ConfigCheck> {
  const faults: string[] = []
  async function check<T>(inspect: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await inspect()
    } catch (error) {
      faults.push(explain(error))
      return undefined
    }
  }
  const schedules = await check(() => (file ? schedulesOf(file) : []))
  const options = await check(() => planOptionsOf(flags))
  const gates = await check(() => resolveGates(options ?? {}))
  await check(() => flags.template === undefined || parseTemplate(flags.template))
  await check(() => flags.endpoint === undefined || parseTargets(flags.endpoint, endpointOptionsOf(flags)))
  await check(
    () => flags.redis === undefined || secureUrlOf({ url: flags.redis, insecure: flags.insecureRedis }),
  )
  await check(() => {
    const { pricePerHour, replicas = 1 } = flags
    // Hugging Face lists the price of its endpoints.
    const price = pricePerHour ?? (flags.endpoint?.startsWith('hf:') ? 1 : undefined)
    return budgetOf(options?.spending ?? {}, price === undefined ? undefined : { perHour: price, replicas })
  })
  return { schedules: schedules?.length ?? 0, gates: gates?.gates?.length ?? 0, faults }
}
