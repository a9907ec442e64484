// The processes of a history: the program of each, and the actions that are due later.

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
  startOver,
} from './programs.ts'
import type { Process, World } from './world.ts'

export type Program =
  | 'produce'
  | 'produceAndFollow'
  | 'embedAndSweep'
  | 'embedWithFlaw'
  | 'goBack'
  | 'pauseAWhile'
  | 'resumeAll'
  | 'retryRejects'
  | 'collect'
  | 'collectForEver'
  | 'startOver'

const PROGRAMS: Readonly<Record<Program, (setting: Setting, process: Process) => Promise<unknown>>> = {
  produce,
  produceAndFollow,
  embedAndSweep,
  embedWithFlaw: embedAndSweep,
  goBack,
  pauseAWhile,
  resumeAll,
  retryRejects,
  collect,
  collectForEver,
  startOver,
}

export const isWorker = ({ program }: Pick<Member, 'program'>): boolean =>
  program === 'embedAndSweep' || program === 'embedWithFlaw'

/**
 * Programs that are not restarted after a failure, because an operator sees it. All others are
 * restarted.
 */
const BY_HAND: readonly Program[] = [
  'goBack',
  'pauseAWhile',
  'resumeAll',
  'retryRejects',
  'collect',
  'startOver',
]

export interface Member {
  readonly process: Process
  readonly program: Program
}

export interface Crew {
  /** All that were started and not killed. */
  readonly members: readonly Member[]
  start(program: Program): void
  /** Restarts the program if it is one that a supervisor runs. */
  kill(member: Member): void
  /** Has `act` called so many turns from now. */
  later(turns: number, act: () => void): void
  /** Calls what is due by now. */
  callDue(): void
  /** Calls all that is to come, at once. */
  callAll(): void
  /** Kills all processes. */
  end(): void
}

export function createCrew(world: World, setting: Setting): Crew {
  let members: Member[] = []
  const later: { at: number; act: () => void }[] = []

  let started = 0
  const crew: Crew = {
    get members() {
      return members
    },
    start(program) {
      // A member before its first step: a worker asks at once which setting is wrong.
      started += 1
      const process = world.start(`${program}-${started}`, async self => {
        await world.turn(self)
        return PROGRAMS[program](setting, self)
      })
      members.push({ process, program })
    },
    kill(member) {
      const { process, program } = member
      world.kill(process)
      members = members.filter(each => each !== member)
      crew.later(world.below(80), () => setting.queue.expire(process, false))
      if (!BY_HAND.includes(program)) crew.later(world.below(60), () => crew.start(program))
    },
    later: (turns, act) => void later.push({ at: world.now + turns, act }),
    callDue() {
      for (const due of later.filter(({ at }) => at <= world.now)) {
        later.splice(later.indexOf(due), 1)
        due.act()
      }
    },
    callAll() {
      for (const { act } of later.splice(0)) act()
    },
    end() {
      for (const { process } of members) world.kill(process)
      members = []
    },
  }
  return crew
}
