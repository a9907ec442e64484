// The faults and commands of a history, one event each.

import type { Crew } from './crew.ts'
import type { Fleet } from './fleet.ts'
import { canGoBack, foreignShardOf, hasRefused, shardNameOf } from './outlook.ts'
import type { SimulatedQueue } from './queue.ts'
import type { EventName, Shape } from './shape.ts'
import type { Objects } from './store.ts'
import type { World } from './world.ts'

export const OLD = 'r1'
export const NEW = 'r2'

const MOST_EDITS = 5
const MOST_ROLLBACKS = 3

export interface Scene {
  readonly world: World
  readonly shape: Shape
  readonly queue: SimulatedQueue
  readonly fleet: Fleet
  readonly crew: Crew
  readonly output: Objects
  /** Writes the next edition of an object of the corpus. */
  readonly write: (key: string) => void
  /** The runs that were planned, and for which revision of the model. */
  readonly runs: ReadonlyMap<string, { readonly revision: string | null }>
  /** How often each happened so far. */
  readonly counts: Readonly<Record<EventName, number>>
}

/** Each returns whether it happened: some need an object that may not exist yet. */
export function createEvents({
  world,
  shape,
  queue,
  fleet,
  crew,
  output,
  write,
  runs,
  counts,
}: Scene): Readonly<Record<EventName, () => boolean>> {
  /**
   * An update may be taken back, and is not begun again then: a server that says its revision only
   * when asked could be taken for another revision, even by three requests, if it changed twice
   * between them and the vectors.
   */
  let takenBack = false

  return {
    kills() {
      crew.kill(world.pick(crew.members))
      return true
    },
    zombies() {
      const { process } = world.pick(crew.members)
      process.stoppedUntil = world.now + 10 + world.below(shape.stopTurns)
      queue.expire(process, world.chance(0.5))
      return true
    },
    wipes() {
      queue.wipe()
      return true
    },
    updates() {
      if (!shape.changesModel) return false
      const revision = takenBack ? OLD : world.pick([OLD, NEW, NEW])
      takenBack ||= revision === OLD && fleet.replicas.includes(NEW)
      if (world.chance(0.5)) fleet.replicas.fill(revision)
      else fleet.replicas[world.below(fleet.replicas.length)] = revision
      if (world.chance(0.7)) crew.start('produce')
      return true
    },
    edits() {
      if (counts.edits === MOST_EDITS) return false
      write(world.pick(shape.keys))
      if (shape.restless || world.chance(0.7)) crew.start('produce')
      // Two producers plan two corpora at the same moment: both claim the next sequence number.
      if (world.chance(shape.restless ? 0.5 : 0.3)) {
        crew.later(world.below(20), () => {
          write(world.pick(shape.keys))
          crew.start('produce')
        })
      }
      return true
    },
    rollbacks() {
      if (counts.rollbacks >= MOST_ROLLBACKS || !canGoBack(output)) return false
      crew.start('goBack')
      return true
    },
    retries() {
      if (!hasRefused(output)) return false
      crew.start('retryRejects')
      return true
    },
    pauses() {
      crew.start('pauseAWhile')
      return true
    },
    collections() {
      crew.start('collect')
      if (world.chance(0.3)) crew.start('collect')
      return true
    },
    restarts() {
      crew.start('startOver')
      return true
    },
    foreignShards() {
      const doomed = [...runs].filter(([, { revision }]) => shape.changesModel && revision === OLD)
      if (counts.foreignShards > 0 || doomed.length === 0) return false
      const [run] = world.pick(doomed)
      const free = [...Array(3).keys()].map(shard => shardNameOf(output, run, shard))
      const key = free.find(name => name !== undefined && !output.map.has(name))
      if (key === undefined) return false
      const isOtherModel = (other: string): boolean => runs.get(other)?.revision === NEW
      output.replace(key, foreignShardOf(output, key, isOtherModel))
      return true
    },
  }
}
