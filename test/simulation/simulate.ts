// One seed, one history: a fleet that plans, embeds, sweeps and publishes while everything goes wrong, then a calm
// time in which it must come to its end.

import { readCurrent, readManifest, readPlan, readSlices, type Store } from '@reembed/shared'
import { createAuthor } from './author.ts'
import { createFleet } from './fleet.ts'
import { type Contents, createInvariants } from './invariants.ts'
import {
  embedAndSweep,
  goBack,
  pauseAWhile,
  produce,
  produceAndFollow,
  resumeAll,
  type Setting,
} from './programs.ts'
import { createQueue } from './queue.ts'
import { createObjects, type Objects, openSimulated, type StoreFaults } from './store.ts'
import { createWorld, type Process, type World } from './world.ts'

export interface History {
  readonly seed: number
  /** What was broken, empty if nothing. */
  readonly broken: readonly string[]
  readonly turns: number
  readonly counts: Readonly<Record<Event, number>>
}

type Event =
  | 'kills'
  | 'zombies'
  | 'wipes'
  | 'updates'
  | 'edits'
  | 'rollbacks'
  | 'pauses'
  | 'strangers'
  | 'versions'
  /** Rows of finished runs that were not embedded. */
  | 'reused'

const SHORT_CHAOS_TURNS = 500
const LONG_CHAOS_TURNS = 2_000
const EVENTFUL_TURNS = 4_000
const CALM_TURNS = 30_000
const EVENT_CHANCE = 0.025
const QUIET_CHANCE = 0.006
const WORST = [
  'kills',
  'kills',
  'zombies',
  'zombies',
  'wipes',
  'updates',
  'updates',
  'edits',
  'rollbacks',
  'rollbacks',
  'pauses',
  'strangers',
] as const
/** Few faults, so that run after run is published: only then can their order go wrong. */
const EVENTFUL = ['kills', 'zombies', 'updates', 'edits', 'edits', 'rollbacks', 'rollbacks'] as const
const OLD = 'r1'
const NEW = 'r2'

export async function simulate(seed: number): Promise<History> {
  const world = createWorld(seed)
  const output = createObjects('sim://output')
  const source = createObjects('sim://source')
  const faults: StoreFaults = {
    failing: world.pick([0, 0.02, 0.1]),
    losing: world.pick([0, 0.02, 0.1]),
    overwrites: process.env.REEMBED_SIMULATE_OVERWRITES === '1',
  }
  const fleet = createFleet(world, OLD)
  fleet.failing = world.pick([0, 0.02, 0.1])
  const eventful = world.chance(0.1)
  const chaosTurns = eventful ? EVENTFUL_TURNS : world.pick([SHORT_CHAOS_TURNS, LONG_CHAOS_TURNS])
  const changesModel = world.chance(0.6)
  const counts: Record<Event, number> = {
    kills: 0,
    zombies: 0,
    wipes: 0,
    updates: 0,
    edits: 0,
    rollbacks: 0,
    pauses: 0,
    strangers: 0,
    versions: 0,
    reused: 0,
  }

  const broken: string[] = []
  const contents: Contents = new Map()
  const write = createAuthor(source, contents, world)
  for (const key of ['a.jsonl', 'b.jsonl']) write(key)

  const direct = openDirect(output)
  const invariants = createInvariants(output, direct, contents)
  const queue = createQueue(world)
  const runs = new Map<string, { revision: string | null }>()
  let planned = ''
  const setting: Setting = {
    world,
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
  }

  const programs = { produce, produceAndFollow, embedAndSweep, goBack, pauseAWhile, resumeAll }
  let processes: { process: Process; program: keyof typeof programs }[] = []
  function start(program: keyof typeof programs): Process {
    const process = world.start(program, process => programs[program](setting, process))
    processes.push({ process, program })
    return process
  }
  const later: { at: number; act: () => void }[] = []

  /** The worst of all days, one event at a time. */
  const events: Record<Exclude<Event, 'versions' | 'reused'>, () => boolean> = {
    kills() {
      const victim = world.pick(processes)
      world.kill(victim.process)
      processes = processes.filter(each => each !== victim)
      later.push({ at: world.now + world.below(80), act: () => queue.expire(victim.process, false) })
      // A person sees that a command did not work; all else is started again.
      if (victim.program !== 'goBack' && victim.program !== 'pauseAWhile') {
        later.push({ at: world.now + world.below(60), act: () => void start(victim.program) })
      }
      return true
    },
    zombies() {
      const { process } = world.pick(processes)
      process.stoppedUntil = world.now + 20 + world.below(400)
      queue.expire(process, world.chance(0.5))
      return true
    },
    wipes() {
      queue.wipe()
      return true
    },
    updates() {
      if (!changesModel) return false
      fleet.replicas[world.below(fleet.replicas.length)] = world.pick([OLD, NEW, NEW])
      if (world.chance(0.3)) start('produce')
      return true
    },
    edits() {
      if (counts.edits === 3) return false
      write(world.pick(['a.jsonl', 'b.jsonl']))
      if (world.chance(0.7)) start('produce')
      // Two people, two corpora, one moment: both want the next place in the order of runs.
      if (world.chance(0.3)) {
        const act = (): void => {
          write('a.jsonl')
          start('produce')
        }
        later.push({ at: world.now + world.below(20), act })
      }
      return true
    },
    rollbacks() {
      if (counts.rollbacks === 3 || !canGoBack(output)) return false
      start('goBack')
      return true
    },
    pauses() {
      start('pauseAWhile')
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

  for (const program of ['produce', 'embedAndSweep', 'embedAndSweep'] as const) start(program)
  if (world.chance(0.5)) start('produce')

  async function between(chaos: boolean): Promise<void> {
    broken.push(
      ...(await invariants.check()),
      ...world.escaped.splice(0).map(error => `escaped: ${trace(error)}`),
    )
    for (const due of later.filter(({ at }) => at <= world.now)) {
      later.splice(later.indexOf(due), 1)
      due.act()
    }
    if (!chaos || !world.chance(eventful ? QUIET_CHANCE : EVENT_CHANCE) || processes.length === 0) return
    const name = world.pick<Exclude<Event, 'versions' | 'reused'>>(eventful ? EVENTFUL : WORST)
    if (events[name]()) counts[name] += 1
  }

  await world.run(
    () => broken.length > 0 || world.now >= chaosTurns,
    chaosTurns,
    () => between(true),
  )

  // Calm: no more faults, one model, one corpus. Half of the fleet is new, Redis may have been emptied once more.
  faults.failing = 0
  faults.losing = 0
  fleet.failing = 0
  fleet.replicas.fill(changesModel ? NEW : OLD)
  if (world.chance(0.3)) queue.wipe()
  for (const { process, program } of processes) {
    process.stoppedUntil = 0
    if (program === 'embedAndSweep' && world.chance(0.5)) continue
    world.kill(process)
    queue.expire(process, false)
  }
  for (const { act } of later.splice(0)) act()
  start('resumeAll')
  start('embedAndSweep')
  // Often nobody comes to plan again: the sweeps of the workers alone must end what is the right run now.
  const stands =
    runs.get(planned)?.revision === fleet.replicas[0] &&
    !queue.failed(planned) &&
    (await isOfNow(direct, planned, source)) &&
    !(await isOvertaken(direct, planned))
  if (!stands || world.chance(0.3)) {
    planned = ''
    start('produceAndFollow')
  }

  let calm = false
  let [seenRun, seenPuts] = ['', 0]
  /** Looks only where something was put since the last look. */
  const isEnded = (): boolean => {
    if (planned === '' || (planned === seenRun && output.puts === seenPuts)) return false
    ;[seenRun, seenPuts] = [planned, output.puts]
    return isFinished(output, planned)
  }
  if (broken.length === 0) {
    calm = await world.run(
      () => broken.length > 0 || isEnded(),
      CALM_TURNS,
      () => between(false),
    )
    if (broken.length === 0) broken.push(...(await endOf(direct, planned, calm)))
  }
  counts.versions = [...output.map.keys()].filter(key => key.startsWith('versions/')).length
  for (const run of runs.keys()) counts.reused += (await readManifest(direct, run))?.totals.reused ?? 0
  return { seed, broken, turns: world.now, counts }
}

/** Liveness: what was planned last is current, unless a rollback that came after its planning said otherwise. */
async function endOf(store: Store, run: string, ended: boolean): Promise<string[]> {
  if (!ended) return [`never ended: ${run === '' ? 'nothing was planned' : `run ${run} was not published`}`]
  const [plan, manifest] = [await readPlan(store, run), await readManifest(store, run)]
  const current = await readCurrent(store)
  if (!plan || !manifest || !current) return [`ended without a version, though run ${run} is finished`]
  if (current.run !== run && current.seq < plan.seq) return [`run ${run} is finished and not current`]
  return []
}

/** The run has its manifest, and a version that is not older: looked up without a turn. */
function isFinished(output: Objects, run: string): boolean {
  if (!output.map.has(`runs/${run}/manifest.json`)) return false
  const [newest] = [...output.map.keys()].filter(key => key.startsWith('versions/')).sort()
  if (newest === undefined) return false
  const seqOf = (key: string): number => jsonOf(output, key).seq
  return seqOf(newest) >= seqOf(`runs/${run}/plan.json`)
}

/** Whether a rollback came after the run was planned: then only who asks for it gets it finished. */
async function isOvertaken(store: Store, run: string): Promise<boolean> {
  const [plan, current] = [await readPlan(store, run), await readCurrent(store)]
  return plan !== undefined && current !== undefined && current.seq > plan.seq
}

/** Whether the run is for the corpus as it is now. */
async function isOfNow(store: Store, run: string, source: Objects): Promise<boolean> {
  const plan = await readPlan(store, run)
  if (plan === undefined) return false
  for await (const { parts } of readSlices(store, plan)) {
    if (parts.some(({ key, etag }) => source.map.get(key)?.etag !== etag)) return false
  }
  return true
}

const jsonOf = (objects: Objects, key: string): { seq: number; shards: number } =>
  JSON.parse(Buffer.from(objects.map.get(key)?.body ?? []).toString())

/** Two runs were published at least. */
const canGoBack = (output: Objects): boolean =>
  [...output.map.keys()].filter(key => key.startsWith('versions/')).length > 1

function shardNameOf(output: Objects, run: string, shard: number): string | undefined {
  if (!output.map.has(`runs/${run}/plan.json`)) return undefined
  const { shards } = jsonOf(output, `runs/${run}/plan.json`)
  const digits = (n: number): string => String(n).padStart(5, '0')
  return shard < shards ? `runs/${run}/data/part-${digits(shard)}-of-${digits(shards)}.parquet` : undefined
}

/** A shard of another place if there is one, so that it is a good file at least. */
function strangerOf(output: Objects): Uint8Array {
  const shard = [...output.map].find(([key]) => key.endsWith('.parquet'))
  return shard ? shard[1].body : Buffer.from('not ours')
}

/** The store as it is, without turns and faults: for those who only look. */
function openDirect(objects: Objects): Store {
  const still: World = { ...createWorld(0), turn: async () => {}, chance: () => false }
  const onlooker: Process = { name: 'onlooker', alive: true, stoppedUntil: 0 }
  return openSimulated(objects, still, onlooker, { failing: 0, losing: 0, overwrites: false })
}

const trace = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)
