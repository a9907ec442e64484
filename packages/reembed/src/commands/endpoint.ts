import { type HfEndpoint, type HfName, parseHfName, waitUntilRunning } from '@reembed/endpoint'
import { ReembedError } from '@reembed/shared'
import { resolveCommit } from '@reembed/store'
import { noteEndpointState, openHf } from '../open-resources.ts'
import type { JsonFlag } from '../options.ts'
import { facts, note, noteLines, print } from '../output.ts'

interface DeployFlags {
  readonly as: string
  readonly instance: string
  readonly region: string
  readonly revision?: string
  readonly cpu?: boolean
  readonly max: number
  readonly sleepMinutes: number
  readonly wait?: boolean
}

interface ScaleFlags {
  readonly min?: number
  readonly max?: number
  readonly sleepMinutes?: number
}

/** `reembed endpoint deploy`: creates an endpoint on Hugging Face. */
export async function deploy(model: string, flags: DeployFlags): Promise<void> {
  const name = nameOf(flags.as)
  const { instance, region, max, sleepMinutes } = flags
  // A commit, so that the served weights do not change with the next push, and the plan of a run
  // can identify them.
  const revision = await resolveCommit(model, flags.revision, {
    token: process.env.HF_TOKEN,
    url: process.env.HF_ENDPOINT,
  })
  const accelerator = flags.cpu ? 'cpu' : 'gpu'
  const made = await openHf().deploy({
    ...name,
    model,
    revision,
    instance,
    region,
    accelerator,
    maxReplica: max,
    sleepMinutes,
  })
  note(
    `endpoint  ${flags.as} ${made.state} with ${model}@${revision} on ${made.instance}, scales to zero after ${sleepMinutes} minutes without requests`,
  )
  if (flags.wait) await wait(flags.as)
}

/** `reembed endpoint status` */
export async function status(given: string, flags: JsonFlag): Promise<void> {
  const endpoint = await openHf().read(nameOf(given))
  print(flags.json, endpoint, facts(describe(given, endpoint)))
}

/** `reembed endpoint wait`: prints the URL when it answers. */
export async function wait(given: string): Promise<void> {
  const { url } = await waitUntilRunning(openHf(), nameOf(given), { onState: noteEndpointState })
  print(false, undefined, url)
}

/** `reembed endpoint pause` */
export async function pause(given: string): Promise<void> {
  await openHf().pause(nameOf(given))
  note(`endpoint  ${given} is paused; \`reembed endpoint resume ${given}\` starts it`)
}

/** `reembed endpoint resume` */
export async function resume(given: string): Promise<void> {
  await openHf().resume(nameOf(given))
  note(`endpoint  ${given} starts; \`reembed endpoint wait ${given}\` waits until it answers`)
}

/** `reembed endpoint scale` */
export async function scale(given: string, { min, max, sleepMinutes }: ScaleFlags): Promise<void> {
  if (min === undefined && max === undefined && sleepMinutes === undefined) {
    throw new ReembedError('USAGE', 'no setting to change: give --min, --max or --sleep-minutes')
  }
  const endpoint = await openHf().update(nameOf(given), { minReplica: min, maxReplica: max, sleepMinutes })
  noteLines(facts(describe(given, endpoint)))
}

/** `reembed endpoint delete` */
export async function remove(given: string): Promise<void> {
  await openHf().remove(nameOf(given))
  note(`endpoint  ${given} is deleted`)
}

/** `reembed endpoint price` */
export async function price(namespace: string, flags: JsonFlag): Promise<void> {
  const prices = (await openHf().prices(namespace)).sort((a, b) => a.pricePerHour - b.pricePerHour)
  const lines = prices.map(
    ({ instance, region, pricePerHour, status }) =>
      `$${pricePerHour.toFixed(3).padStart(7)} per hour  ${instance.padEnd(20)}  ${region}  ${status}`,
  )
  print(flags.json, prices, lines.join('\n'))
}

function describe(given: string, endpoint: HfEndpoint): [string, string][] {
  const { state, message, url, readyReplica, targetReplica, minReplica, maxReplica, sleepMinutes, instance } =
    endpoint
  return [
    ['endpoint', `${given}  ${state}${message ? `: ${message}` : ''}`],
    ['url', url ?? 'none yet'],
    ['model', `${endpoint.repository}@${endpoint.revision ?? 'unstated'}`],
    [
      'replicas',
      `${readyReplica} ready of ${targetReplica}, between ${minReplica} and ${maxReplica}, each ${instance}`,
    ],
    ['scales to zero', sleepMinutes === null ? 'never' : `after ${sleepMinutes} minutes without requests`],
  ]
}

function nameOf(given: string): HfName {
  const name = parseHfName(given)
  if (name) return name
  throw new ReembedError('USAGE', `'${given}' is not a Hugging Face endpoint: give hf:namespace/name`)
}
