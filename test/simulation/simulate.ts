// One seed, one history: a fleet that plans, embeds, sweeps and publishes while everything goes wrong, then a calm
// time in which it must come to its end.

import { readManifest, readRunState } from '@reembed/shared'
import { createAuthor } from './author.ts'
import { createFleet, mayRefuse } from './fleet.ts'
import { createGarbage } from './garbage.ts'
import { type Contents, createInvariants } from './invariants.ts'
import {
  canGoBack,
  endOf,
  hasRefused,
  isFinished,
  isOfNow,
  isOvertaken,
  openDirect,
  shardNameOf,
  strangerOf,
} from './outlook.ts'
import {
  collect,
  collectForEver,
  embedAndSweep,
  goBack,
  pauseAWhile,
  produce,
  produceAndFollow,
  resumeAll,
  retryRejects,
  type Setting,
} from './programs.ts'
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
  /** Objects that gc erased. */
  | 'collected'

const MOST_EDITS = 5
const MOST_ROLLBACKS = 3
const CALM_TURNS = 30_000
/** A person sees that such a command did not work; all else is started again. */
const BY_HAND = ['goBack', 'pauseAWhile', 'resumeAll', 'retryRejects', 'collect']
const OLD = 'r1'
const NEW = 'r2'

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
    strangers: 0,
    retries: 0,
    collections: 0,
    collected: 0,
    versions: 0,
    reused: 0,
  }

  const broken: string[] = []
  const contents: Contents = new Map()
  const write = createAuthor(source, contents, world, shape.documents)
  for (const key of shape.keys) write(key)

  const direct = openDirect(output)
  const garbage = createGarbage(output, () => world.now, shape)
  const invariants = createInvariants(output, direct, contents, garbage, (text, mended) =>
    mayRefuse(fleet, text, mended),
  )
  const queue = createQueue(world)
  const runs = new Map<string, { revision: string | null }>()
  let planned = ''
  const setting: Setting = {
    world,
    shape,
    queue,
    fleet,
    openOutput: process => openSimulated(output, world, process, faults),
    openSource: process => openSimulated(source, world, process, { ...faults, overwrites: false }),
    claimed: job => invariants.claimed(job),
    planned(run, revision) {
      planned = run
      runs.set(run, { revision })
    },
    refused: () =>
      void broken.push('a rollback was refused for the sake of a run that was planned before it'),
    collecting() {
      const ended = garbage.begin()
      return () => void broken.push(...ended())
    },
    regretted() {
      if (world.now < chaosTurns) start(world.pick(['goBack', 'goBack', 'resumeAll']))
    },
  }

  const programs = {
    produce,
    produceAndFollow,
    embedAndSweep,
    goBack,
    pauseAWhile,
    resumeAll,
    retryRejects,
    collect,
    collectForEver,
  }
  let processes: { process: Process; program: keyof typeof programs }[] = []
  function start(program: keyof typeof programs): Process {
    const process = world.start(program, process => programs[program](setting, process))
    processes.push({ process, program })
    return process
  }
  const later: { at: number; act: () => void }[] = []

  const isRollbackDue = (): boolean => counts.rollbacks < MOST_ROLLBACKS && canGoBack(output)

  /**
   * An update may be taken back, and is not begun again then: a server that says its revision only when asked could be
   * taken for another by who asks twice, if it changed forth and back and forth between these and the vectors.
   */
  let takenBack = false

  /** The worst of all days, one event at a time. */
  const events: Record<EventName, () => boolean> = {
    kills() {
      const victim = world.pick(processes)
      world.kill(victim.process)
      processes = processes.filter(each => each !== victim)
      later.push({ at: world.now + world.below(80), act: () => queue.expire(victim.process, false) })
      if (!BY_HAND.includes(victim.program)) {
        later.push({ at: world.now + world.below(60), act: () => void start(victim.program) })
      }
      return true
    },
    zombies() {
      const { process } = world.pick(processes)
      process.stoppedUntil = world.now + 10 + world.below(shape.stopTurns)
      queue.expire(process, world.chance(0.5))
      return true
    },
    wipes() {
      queue.wipe()
      return true
    },
    updates() {
      if (!changesModel) return false
      const revision = takenBack ? OLD : world.pick([OLD, NEW, NEW])
      takenBack ||= revision === OLD && fleet.replicas.includes(NEW)
      if (world.chance(0.5)) fleet.replicas.fill(revision)
      else fleet.replicas[world.below(fleet.replicas.length)] = revision
      if (world.chance(0.3)) start('produce')
      return true
    },
    edits() {
      if (counts.edits === MOST_EDITS) return false
      write(world.pick(shape.keys))
      if (shape.restless || world.chance(0.7)) start('produce')
      // Two people, two corpora, one moment: both want the next place in the order of runs.
      if (world.chance(shape.restless ? 0.5 : 0.3)) {
        const act = (): void => {
          write(world.pick(shape.keys))
          start('produce')
        }
        later.push({ at: world.now + world.below(20), act })
      }
      return true
    },
    rollbacks() {
      if (!isRollbackDue()) return false
      start('goBack')
      return true
    },
    retries() {
      if (!hasRefused(output)) return false
      start('retryRejects')
      return true
    },
    pauses() {
      start('pauseAWhile')
      return true
    },
    collections() {
      start('collect')
      if (world.chance(0.3)) start('collect')
      return true
    },
    strangers() {
      const doomed = [...runs].filter(([, { revision }]) => changesModel && revision === OLD)
      if (counts.strangers > 0 || doomed.length === 0) return false
      const [run] = world.pick(doomed)
      const free = [...Array(3).keys()].map(shard => shardNameOf(output, run, shard))
      const key = free.find(name => name !== undefined && !output.map.has(name))
      if (key === undefined) return false
      output.replace(key, strangerOf(output))
      return true
    },
  }

  for (let i = 0; i < shape.producers; i += 1) start('produce')
  for (let i = 0; i < shape.workers; i += 1) start('embedAndSweep')

  /** The run that was published when something else was wanted. */
  let left = ''
  let [seenRun, seenChanges, ended] = ['', 0, false]
  /** Whether what was planned last is finished and published; looks only where something was put since the last look. */
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
    if (looking) broken.push(...(await looking))
    for (const due of later.filter(({ at }) => at <= world.now)) {
      later.splice(later.indexOf(due), 1)
      due.act()
    }
    if (!chaos || processes.length === 0) return
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

  /** When all is done and old, what nobody needs goes at once and to the last object. */
  async function collectAll(): Promise<void> {
    for (const { process } of processes) world.kill(process)
    processes = []
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

  // Calm: no more faults, one model, one corpus. Half of the fleet is new, Redis may have been emptied once more.
  faults.failing = 0
  faults.losing = 0
  faults.stalling = 0
  fleet.failing = 0
  fleet.stalling = 0
  // An update is ended, or taken back unless a stranger keeps a run of the old model from its end.
  const last = counts.strangers > 0 ? NEW : (runs.get(planned)?.revision ?? OLD)
  fleet.replicas.fill(changesModel ? world.pick([last, last, NEW]) : OLD)
  if (world.chance(0.4)) queue.wipe()
  for (const { process, program } of processes) {
    process.stoppedUntil = 0
    if (program === 'embedAndSweep' && world.chance(0.5)) continue
    world.kill(process)
    queue.expire(process, false)
  }
  for (const { act } of later.splice(0)) act()
  start('resumeAll')
  start('embedAndSweep')
  const collects = counts.collections > 0
  if (collects) start('collectForEver')
  // Often nobody comes to plan again: the sweeps of the workers alone must end what is the right run now.
  const stands =
    ['running', 'paused'].includes(await readRunState(direct, planned)) &&
    runs.get(planned)?.revision === fleet.replicas[0] &&
    !queue.failed(planned) &&
    (await isOfNow(direct, planned, source)) &&
    !(await isOvertaken(direct, planned))
  if (!stands || world.chance(0.3)) {
    planned = ''
    start('produceAndFollow')
  }

  let calm = false
  if (broken.length === 0) {
    calm = await world.run(
      () => broken.length > 0 || isEnded(),
      CALM_TURNS,
      () => between(false),
    )
    if (broken.length === 0) broken.push(...(await endOf(direct, planned, calm)))
  }
  if (broken.length === 0 && collects) await collectAll()

  counts.collected = garbage.erasures
  counts.versions = [...output.map.keys()].filter(key => key.startsWith('versions/')).length
  for (const run of runs.keys()) counts.reused += (await readManifest(direct, run))?.totals.reused ?? 0
  return { seed, broken, turns: world.now, counts }
}

const trace = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)
