// A whole run by a fleet that follows its backlog: 0 -> N -> 0 real worker processes, over real
// Redis.

import { join } from 'node:path'
import { startRedis } from '@reembed/local'
import { readManifest } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { startFakeTei } from '@reembed/testing'
import { documents, reembed, temporaryFolder, writeJsonl } from '../../parts/cli.ts'
import { type Manifest, readManifests } from './chart.ts'
import { type Step, startFleet } from './fleet.ts'

export interface SimulationOptions {
  readonly documents: number
  readonly documentsPerShard: number
  /**
   * Most workers at once; in the middle of the run it is lowered to a quarter for a while, under
   * full load.
   */
  readonly replicas: number
  /** Workers killed with SIGKILL, spread over the run. */
  readonly kills: number
  /** Seconds of the autoscaler's clock in a real one. */
  readonly speed: number
  readonly msPerToken: number
  readonly onStep?: (step: Step) => void
}

export interface Report {
  readonly documents: number
  readonly rows: number
  readonly most: number
  /**
   * From the last look that found something to do to the last worker told to go, in seconds of the
   * autoscaler's clock.
   */
  readonly cooldownS: number
  readonly cooldownPeriodS: number
  readonly sigterms: number
  readonly sigkills: number
  /** Exit codes of the workers that received SIGTERM. */
  readonly codes: readonly (number | null)[]
  readonly slowestExitMs: number
  readonly stalled: number
  /** Texts that the endpoint embedded beyond one for each document. */
  readonly textsTwice: number
  readonly verified: boolean
  readonly seconds: number
}

/** The ScaledObject that the chart ships, for a fleet of another size. */
export async function scaledObjectOf(replicas: number): Promise<Manifest> {
  const manifests = await readManifests('keda-redis')
  const scaledObject = structuredClone(manifests.find(({ kind }) => kind === 'ScaledObject'))
  scaledObject.spec.maxReplicaCount = replicas
  return scaledObject
}

const TIMEOUT_MS = 30 * 60_000

export async function simulate(options: SimulationOptions): Promise<Report> {
  const { replicas, kills } = options
  const startedMs = performance.now()
  await using place = await temporaryFolder()
  await using redis = await startRedis()
  await using tei = await startFakeTei({ dimensions: 8, msPerToken: options.msPerToken })
  await tei.ready
  const scaledObject = await scaledObjectOf(replicas)
  const concurrency = scaledObject.spec.advanced.scalingModifiers.target
  const out = join(place.path, 'out')
  await writeJsonl(join(place.path, 'corpus.jsonl'), documents(options.documents))
  const given = ['--output', out, '--endpoint', tei.url]
  const { speed, onStep } = options
  await using fleet = await startFleet({
    redis: redis.url,
    worker: [...given, '--concurrency', concurrency],
    scaledObject,
    speed,
    ...(onStep && { onStep }),
  })
  const made = await reembed([
    'enqueue',
    '--source',
    join(place.path, 'corpus.jsonl'),
    '--documents-per-shard',
    String(options.documentsPerShard),
    '--redis',
    redis.url,
    '--json',
    ...given,
  ])
  const { run } = JSON.parse(made.stdout)
  await using store = await openStore(out)
  const embedded = (share: number) => (): boolean => tei.counts.inputs >= share * options.documents

  await fleet.until(step => step.replicas === replicas, TIMEOUT_MS)
  await fleet.until(embedded(0.3), TIMEOUT_MS)
  scaledObject.spec.maxReplicaCount = Math.max(1, Math.floor(replicas / 4))
  await fleet.until(step => step.replicas <= scaledObject.spec.maxReplicaCount, TIMEOUT_MS)
  await fleet.until(embedded(0.5), TIMEOUT_MS)
  scaledObject.spec.maxReplicaCount = replicas
  let sigkills = 0
  for (let kill = 1; kill <= kills; kill++) {
    await fleet.until(embedded(0.5 + (0.4 * kill) / kills), TIMEOUT_MS)
    if (fleet.kill()) sigkills += 1
  }
  await fleet.until(({ value }) => value === 0, TIMEOUT_MS)
  const gone = await fleet.until(step => step.replicas === 0, TIMEOUT_MS)
  await fleet[Symbol.asyncDispose]()
  // A run that is being ended asks for a worker once more, after a moment in which there was
  // nothing to do.
  const busy = fleet.steps.findLast(({ value }) => value > 0)

  const manifest = await readManifest(store, run)
  const verified = await reembed(['verify', run, '--output', out])
  return {
    documents: options.documents,
    rows: manifest?.totals.rows ?? 0,
    most: Math.max(...fleet.steps.map(step => step.replicas)),
    cooldownS: gone.atS - (busy?.atS ?? 0),
    cooldownPeriodS: scaledObject.spec.cooldownPeriod,
    sigterms: fleet.ended.length,
    sigkills,
    codes: fleet.ended.map(({ code }) => code),
    slowestExitMs: Math.round(Math.max(...fleet.ended.map(({ ms }) => ms))),
    stalled: fleet.stalled.length,
    textsTwice: tei.counts.inputs - options.documents,
    verified: verified.code === 0,
    seconds: Math.round((performance.now() - startedMs) / 1000),
  }
}
