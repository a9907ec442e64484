// How large a history is. Most are small: nearly every fault of a protocol shows with a few actors
// and a few steps, at a tenth of the cost; the rest are as large as can be had. Each small history
// has a few kinds of events only, so that some go far where others never stop the fleet (swarm
// testing).

import type { StoreFaults } from './store.ts'
import type { World } from './world.ts'

export type EventName =
  | 'kills'
  | 'zombies'
  | 'wipes'
  | 'updates'
  | 'edits'
  | 'rollbacks'
  | 'pauses'
  | 'foreignShards'
  | 'retries'
  | 'collections'
  | 'restarts'

export interface Shape {
  /** The objects of the corpus, and how many documents each has at most. */
  readonly keys: readonly string[]
  readonly documents: number
  readonly documentsPerShard: number
  readonly producers: number
  readonly workers: number
  /** Workers with a wrong setting, beside the others. */
  readonly flawedWorkers: number
  readonly jobsAtOnce: number
  /** Between two sweeps of a worker. */
  readonly sweepTurns: number
  /** Number of turns with faults. */
  readonly chaosTurns: number
  /**
   * How often a call to the store fails, is done and its reply lost, or is long on its way; and one
   * to the model server.
   */
  readonly store: Omit<StoreFaults, 'overwrites'>
  readonly server: { readonly failing: number; readonly stalling: number }
  /** Longest pause of a process, in turns. */
  readonly stopTurns: number
  /** The probability of an event in a turn, and the possible events; some are listed twice. */
  readonly eventChance: number
  readonly events: readonly EventName[]
  /** Whether there is another revision of the model to come. */
  readonly changesModel: boolean
  /** As soon as what was planned last is published, something else is wanted. */
  readonly restless: boolean
  /** How many versions gc keeps, and for how long it keeps what is new. */
  readonly keep: number
  readonly ageTurns: number
}

const WORST: readonly EventName[] = [
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
  'foreignShards',
  'retries',
  'collections',
]
/** Few faults, so that run after run is published: only then can their order go wrong. */
const EVENTFUL: readonly EventName[] = [
  'kills',
  'zombies',
  'updates',
  'edits',
  'edits',
  'rollbacks',
  'rollbacks',
  'collections',
  'collections',
]

/** Sequence numbers guard against a sweep that pauses between its check and its publish. */
const ORDER: readonly EventName[] = ['zombies', 'zombies', 'edits', 'rollbacks']
const UPDATES: readonly EventName[] = ['updates', 'updates', 'kills', 'wipes']
/** Shards are carried over: of files that are not edited, into the next version. */
const CARRYING: readonly EventName[] = [
  'edits',
  'edits',
  'edits',
  'kills',
  'zombies',
  'wipes',
  'collections',
  'pauses',
]
/** gc deletes runs that were published and replaced, or cancelled. */
const GARBAGE: readonly EventName[] = [
  'collections',
  'collections',
  'zombies',
  'kills',
  'rollbacks',
  'pauses',
  'restarts',
]

const LARGE_CHANCE = 0.03
const SMALL = ['faults', 'faults', 'updates', 'updates', 'order', 'garbage', 'carrying'] as const

export function shapeOf(world: World): Shape {
  if (world.chance(LARGE_CHANCE)) return largeShape(world)
  const theme = world.pick(SMALL)
  const small = {
    keys: ['a.jsonl'],
    documents: world.pick([2, 3, 4]),
    documentsPerShard: 2,
    producers: world.pick([1, 1, 2]),
    workers: world.pick([1, 1, 2]),
    flawedWorkers: world.pick([0, 0, 0, 1]),
    jobsAtOnce: world.pick([1, 2]),
    sweepTurns: world.pick([30, 120]),
    chaosTurns: world.pick([100, 200, 400]),
    ...faultsOf(world),
    stopTurns: 150,
    eventChance: 0.05,
    restless: false,
    changesModel: world.chance(0.5),
    ...keepingOf(world),
  }
  switch (theme) {
    case 'faults':
      return { ...small, events: Array.from({ length: 3 }, () => world.pick(WORST)) }
    case 'updates':
      return {
        ...small,
        chaosTurns: world.pick([200, 300]),
        events: UPDATES,
        changesModel: true,
      }
    case 'order':
      return {
        ...restless(small),
        chaosTurns: 600,
        store: { failing: 0, losing: world.pick([0, 0.02]), stalling: world.pick([0, 0.1]), refusing: 0 },
        stopTurns: 60,
        eventChance: 0.01,
        events: ORDER,
      }
    case 'carrying':
      return {
        ...restless(small),
        keys: ['a.jsonl', 'b.jsonl', 'c.jsonl', 'd.jsonl'],
        chaosTurns: 1_200,
        store: { ...faultsOf(world).store, refusing: world.pick([0, 0, 0.3, 1]) },
        stopTurns: 100,
        eventChance: 0.012,
        changesModel: false,
        events: CARRYING,
      }
    case 'garbage':
      return {
        ...restless(small),
        chaosTurns: 1_500,
        store: { failing: 0, losing: world.pick([0, 0.02]), stalling: world.pick([0.1, 0.3]), refusing: 0 },
        stopTurns: 100,
        eventChance: 0.015,
        events: GARBAGE,
      }
  }
}

/** One version after the other, as fast as can be, by a server that does nothing wrong. */
const restless = <T>(small: T) => ({
  ...small,
  workers: 2,
  sweepTurns: 30,
  documents: 2,
  server: { failing: 0, stalling: 0 },
  restless: true,
})

function largeShape(world: World): Shape {
  const eventful = world.chance(0.2)
  return {
    keys: ['a.jsonl', 'b.jsonl'],
    documents: 6,
    documentsPerShard: 3,
    producers: world.pick([1, 2]),
    workers: 2,
    flawedWorkers: world.pick([0, 1]),
    jobsAtOnce: 2,
    sweepTurns: 40,
    ...faultsOf(world),
    stopTurns: 300,
    chaosTurns: eventful ? 3_000 : world.pick([500, 1_500]),
    eventChance: eventful ? 0.006 : 0.025,
    restless: eventful,
    ...keepingOf(world),
    changesModel: world.chance(0.6),
    events: eventful ? EVENTFUL : WORST,
  }
}

const keepingOf = (world: World): Pick<Shape, 'keep' | 'ageTurns'> => ({
  keep: world.pick([1, 2]),
  ageTurns: world.pick([0, 150, 500]),
})

const faultsOf = (world: World): Pick<Shape, 'store' | 'server'> => ({
  store: {
    failing: world.pick([0, 0.02, 0.1]),
    losing: world.pick([0, 0.02, 0.1]),
    stalling: world.pick([0, 0.1, 0.3]),
    refusing: world.pick([0, 0, 0.3]),
  },
  server: { failing: world.pick([0, 0.02, 0.1]), stalling: world.pick([0, 0.1, 0.3]) },
})
