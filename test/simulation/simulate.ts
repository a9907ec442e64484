// One seed gives one history: a fleet plans, embeds, sweeps and publishes under all kinds of
// faults. A calm phase without faults follows, in which it must finish.

import { readManifest, readManifestShards, readRunState } from '@reembed/protocol'
import { createAuthor } from './author.ts'
import { createCrew, isWorker } from './crew.ts'
import { createEvents, NEW, OLD } from './events.ts'
import { FLAWS, type Flaw, isCauseOf } from './flaws.ts'
import { createFleet, mayRefuse } from './fleet.ts'
import { createGarbage } from './garbage.ts'
import { type Contents, createInvariants } from './invariants.ts'
import {
  endOf,
  hasSuccessor,
  isFinished,
  isOfNow,
  isSuperseded,
  openDirect,
  shardNameOf,
  supersededRuns,
} from './outlook.ts'
import { collect, type Setting } from './programs.ts'
import { createQueue } from './queue.ts'
import { type EventName, shapeOf } from './shape.ts'
import { createObjects, openSimulated, type StoreFaults } from './store.ts'
import { createWorld, type Process } from './world.ts'

export interface History {
  readonly seed: number
  /** What was broken, empty if nothing. */
  readonly broken: readonly string[]
  readonly turns: number
  readonly counts: Readonly<Record<Counted, number>>
}

type Counted =
  | EventName
  | 'versions'
  /** Rows of finished runs that were not embedded. */
  | 'reused'
  /** Shards of finished runs that were copied from a base run. */
  | 'carried'
  /** Objects that gc erased. */
  | 'collected'

const CALM_TURNS = 30_000

export async function simulate(seed: number): Promise<History> {
  const world = createWorld(seed)
  const output = createObjects('sim://output', world)
  const source = createObjects('sim://source', world)
  const shape = shapeOf(world)
  const { chaosTurns, changesModel } = shape
  const overwrites = process.env.REEMBED_SIMULATE_OVERWRITES === '1'
  const faults: StoreFaults = { ...shape.store, overwrites }
  const fleet = createFleet(world, OLD)
  Object.assign(fleet, shape.server)
  const counts: Record<Counted, number> = {
    kills: 0,
    zombies: 0,
    wipes: 0,
    updates: 0,
    edits: 0,
    rollbacks: 0,
    pauses: 0,
    foreignShards: 0,
    retries: 0,
    collections: 0,
    restarts: 0,
    collected: 0,
    versions: 0,
    reused: 0,
    carried: 0,
  }

  const broken: string[] = []
  const contents: Contents = new Map()
  const write = createAuthor(source, contents, world, shape.documents)
  for (const key of shape.keys) write(key)

  const direct = openDirect(output)
  const garbage = createGarbage(output, () => world.now, shape)
  const invariants = createInvariants(output, direct, contents, garbage, (text, repaired) =>
    mayRefuse(fleet, text, repaired),
  )
  const flaws = new Map<Process, Flaw>()
  const queue = createQueue(world, ({ run, shard }) => {
    const key = shardNameOf(output, run, shard)
    // The object of a concurrent writer may exist: the shard is done, and needs no job.
    if (key !== undefined && !output.map.has(key))
      broken.push(`I11 the failed job of shard ${shard} of ${run} was removed without a command`)
  })
  const runs = new Map<string, { revision: string | null }>()
  let planned = ''
  let isChaosOver = false
  const setting: Setting = {
    world,
    shape,
    queue,
    fleet,
    openOutput: process => openSimulated(output, world, process, faults),
    openSource: process => openSimulated(source, world, process, { ...faults, overwrites: false }),
    flawOf(process) {
      const { program } = crew.members.find(member => member.process === process) ?? {}
      if (program !== 'embedWithFlaw') return undefined
      const flaw = world.pick(FLAWS)
      flaws.set(process, flaw)
      return flaw
    },
    otherWorkers: process =>
      crew.members
        .filter(member => isWorker(member) && member.process !== process)
        .map(member => member.process.name),
    blamed(process, { job: { run, shard }, observations }, reason) {
      const flaw = flaws.get(process)
      const isAtFault = flaw !== undefined && isCauseOf(flaw, reason)
      // What a healthy worker has observed too is a fault of the job.
      const healthy = crew.members.filter(({ program }) => program === 'embedAndSweep')
      const isDoubtful =
        healthy.length > 0 && !healthy.some(member => observations.by.includes(member.process.name))
      if (isAtFault && isDoubtful)
        broken.push(`I9 a worker with a wrong setting failed shard ${shard} of ${run} beside a healthy one`)
    },
    claimed: job => invariants.claimed(job),
    planned(run, revision) {
      // A producer that plans during the calm leaves a superseded run as it is; the one that began
      // the calm waits for its own run.
      if (!isChaosOver || planned === '' || !isSuperseded(output, run)) planned = run
      runs.set(run, { revision })
      // The same corpus, model and recipe give the same run elsewhere, and its jobs come first.
      queue.addElsewhere(run)
    },
    refused: () =>
      void broken.push('a rollback was refused for the sake of a run that was planned before it'),
    collecting() {
      const ended = garbage.begin()
      return () => void broken.push(...ended())
    },
    named: run => garbage.name(run),
    regretted() {
      if (!isChaosOver) crew.start(world.pick(['goBack', 'goBack', 'resumeAll']))
    },
  }

  const crew = createCrew(world, setting)
  const events = createEvents({ world, shape, queue, fleet, crew, output, write, runs, counts })

  for (let i = 0; i < shape.producers; i += 1) crew.start('produce')
  for (let i = 0; i < shape.workers; i += 1) crew.start('embedAndSweep')
  for (let i = 0; i < shape.flawedWorkers; i += 1) crew.start('embedWithFlaw')

  /** The run that was published when something else was wanted. */
  let left = ''
  let [seenRun, seenChanges, ended] = ['', 0, false]
  /**
   * Whether the last planned run is finished and published. Reads the store only if it changed
   * since the last check.
   */
  function isEnded(): boolean {
    if (planned !== seenRun || output.changes !== seenChanges) {
      ;[seenRun, seenChanges] = [planned, output.changes]
      ended = planned !== '' && isFinished(output, planned)
    }
    return ended
  }

  async function between(chaos: boolean): Promise<void> {
    if (world.escaped.length > 0)
      broken.push(...world.escaped.splice(0).map(error => `escaped: ${trace(error)}`))
    const looking = invariants.check()
    if (looking) broken.push(...(await looking.catch(error => [`what lies there: ${trace(error)}`])))
    crew.callDue()
    if (!chaos || crew.members.length === 0) return
    if (shape.restless && isEnded() && planned !== left) {
      left = planned
      const next: EventName[] = ['rollbacks', 'retries', 'edits']
      if (shape.events.includes('collections')) next.push('collections')
      for (const name of next) if (events[name]()) counts[name] += 1
    }
    if (!world.chance(shape.eventChance)) return
    const name = world.pick(shape.events)
    if (events[name]()) counts[name] += 1
  }

  /** Workers must give up all jobs of runs that were superseded, whatever model they need. */
  async function giveUpSuperseded(): Promise<void> {
    const superseded = await supersededRuns(direct)
    const isLeft = (): boolean =>
      queue.pending.some(job => job.output === output.url && superseded.has(job.run))
    await world.run(
      () => broken.length > 0 || !isLeft(),
      CALM_TURNS,
      () => between(false),
    )
    if (broken.length === 0 && isLeft()) broken.push('I10 jobs of a superseded run stay on the queue')
  }

  /** When the history is done and old, gc must delete every unneeded object in one pass. */
  async function collectAll(): Promise<void> {
    crew.end()
    let isDone = false
    world.start('collect', async process => {
      await world.turn(process, shape.ageTurns + 1)
      await collect(setting, process)
      isDone = true
    })
    await world.run(
      () => isDone || broken.length > 0,
      CALM_TURNS,
      () => between(false),
    )
    if (broken.length === 0) broken.push(...garbage.leaves())
  }

  await world.run(
    () => broken.length > 0 || world.now >= chaosTurns,
    chaosTurns,
    () => between(true),
  )

  // The calm begins, early if no process can continue: no more faults, one model, one corpus, no
  // more commands. Half of the fleet is new, and Redis may have been emptied once more.
  isChaosOver = true
  faults.failing = 0
  faults.losing = 0
  faults.stalling = 0
  faults.refusing = 0
  fleet.failing = 0
  fleet.stalling = 0
  // The update is completed, or reverted unless a foreign shard keeps a run of the old model from
  // being finished.
  const last = counts.foreignShards > 0 ? NEW : (runs.get(planned)?.revision ?? OLD)
  fleet.replicas.fill(changesModel ? world.pick([last, last, NEW]) : OLD)
  if (world.chance(0.6)) queue.wipe()
  for (const { process, program } of crew.members) {
    process.stoppedUntil = 0
    if ((program === 'embedAndSweep' || program === 'embedWithFlaw') && world.chance(0.5)) continue
    world.kill(process)
    queue.expire(process, false)
  }
  crew.callAll()
  crew.start('resumeAll')
  crew.start('embedAndSweep')
  const collects = counts.collections + counts.restarts > 0
  if (collects) crew.start('collectForEver')
  // Often no producer plans again: the sweeps of the workers alone must then finish the right run.
  const stands =
    ['running', 'paused'].includes(await readRunState(direct, planned)) &&
    runs.get(planned)?.revision === fleet.replicas[0] &&
    !queue.failed(planned) &&
    (await isOfNow(direct, planned, source)) &&
    !(await hasSuccessor(direct, planned))
  if (!stands || world.chance(0.2)) {
    planned = ''
    crew.start('produceAndFollow')
  }

  let calm = false
  if (broken.length === 0) {
    calm = await world.run(
      () => broken.length > 0 || isEnded(),
      CALM_TURNS,
      () => between(false),
    )
    if (broken.length === 0) broken.push(...(await endOf(direct, planned, calm)))
    if (broken.length === 0) await giveUpSuperseded()
  }
  if (broken.length === 0 && collects) await collectAll()

  counts.collected = garbage.erasures
  for (const { run, shard } of queue.takenElsewhere)
    broken.push(`a worker took shard ${shard} of run ${run} of an output that it does not serve`)
  counts.versions = [...output.map.keys()].filter(key => key.startsWith('versions/')).length
  for (const run of runs.keys()) {
    const manifest = await readManifest(direct, run)
    if (manifest === undefined) continue
    counts.reused += manifest.totals.reused ?? 0
    for await (const { carriedFrom } of readManifestShards(direct, manifest))
      if (carriedFrom !== undefined) counts.carried += 1
  }
  return { seed, broken, turns: world.now, counts }
}

const trace = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)
