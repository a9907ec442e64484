import { createSimulatedClock, seeded } from '@reembed/testing'
import { describe, expect, test } from 'vitest'
import { type Balancer, createBalancer } from '../src/client/balancer.ts'

interface Rig extends Balancer<string> {
  /** One request that takes `ms` and ends so; returns who got it. */
  once(how: 'answered' | 'failed', ms?: number, may?: (replica: string) => boolean): string | undefined
  pass(ms: number): void
  readonly ejections: readonly (readonly [string, number])[]
}

function balancerOf(...replicas: string[]): Rig {
  let now = 0
  const ejections: [string, number][] = []
  const balancer = createBalancer<string>({
    now: () => now,
    random: seeded(7),
    onEjected: (replica, ms) => ejections.push([replica, ms]),
  })
  for (const replica of replicas) balancer.add(replica)
  // Getters must stay getters.
  return Object.assign(Object.create(balancer) as Balancer<string>, {
    ejections,
    pass(ms: number) {
      now += ms
    },
    once(how: 'answered' | 'failed', ms = 10, may?: (replica: string) => boolean) {
      const turn = balancer.assign(1, may)
      now += ms
      turn?.end(how)
      return turn?.replica
    },
  })
}

const only =
  (one: string) =>
  (replica: string): boolean =>
    replica === one
const fail = (rig: Rig, replica: string, times: number): void => {
  for (let i = 0; i < times; i++) rig.once('failed', 1, only(replica))
}
const shares = (rig: Rig, count: number): Record<string, number> => {
  const seen: Record<string, number> = {}
  for (let i = 0; i < count; i++) {
    const replica = rig.once('answered') ?? 'none'
    seen[replica] = (seen[replica] ?? 0) + 1
  }
  return seen
}

describe('the replica of the next request', () => {
  test('is undefined when no replica is eligible', () => {
    expect(balancerOf().assign(1)).toBeUndefined()
    expect(balancerOf('a', 'b').assign(1, () => false)).toBeUndefined()
  })

  test('is the less loaded of two: requests that stay out are spread evenly', () => {
    const rig = balancerOf('a', 'b', 'c')
    const held = Array.from({ length: 90 }, () => rig.assign(8)?.replica)
    for (const replica of ['a', 'b', 'c'])
      expect(held.filter(one => one === replica).length).toBeGreaterThan(25)
  })

  test('is seldom one that takes ten times as long', () => {
    const rig = balancerOf('a', 'b', 'slow')
    const ms = { a: 10, b: 10, slow: 100 }
    for (const [replica, took] of Object.entries(ms)) rig.once('answered', took, only(replica))
    expect(shares(rig, 100).slow ?? 0).toBe(0)
  })

  test('is not one whose oldest request is out for much longer than replies take', () => {
    const rig = balancerOf('a', 'b')
    for (const replica of ['a', 'b']) rig.once('answered', 10, only(replica))
    rig.assign(1, only('b'))
    rig.pass(500)
    expect(shares(rig, 50)).toEqual({ a: 50 })
  })

  test('may be a new one at once: it is taken for one of the others', () => {
    const rig = balancerOf('a', 'b')
    shares(rig, 100)
    rig.add('new')
    expect(shares(rig, 90).new).toBeGreaterThan(20)
  })

  test('is one that was slow once, after a while, also with one request in flight per replica', async () => {
    const clock = createSimulatedClock()
    const [endMs, perSecond] = [30_000, 160]
    // The second one has five seconds of work in hand: replicas beside them were just taken away.
    const servers = [
      { freeAt: 0, answered: 0 },
      { freeAt: 5_000, answered: 0 },
    ]
    async function worker(seed: number): Promise<void> {
      const balancer = createBalancer<(typeof servers)[0]>({ now: clock.now, random: seeded(seed) })
      for (const server of servers) balancer.add(server)
      while (clock.now() < endMs) {
        const turn = balancer.assign(1)
        if (turn === undefined) throw new Error('no replica is eligible')
        const { replica } = turn
        replica.freeAt = Math.max(replica.freeAt, clock.now()) + 1_000 / perSecond
        await clock.sleep(replica.freeAt - clock.now())
        turn.end('answered')
        if (clock.now() > endMs / 2) replica.answered++
      }
    }
    for (let i = 0; i < 128; i++) void worker(i)
    await clock.runUntil(endMs)
    for (const { answered } of servers) expect(answered).toBeGreaterThan(0.9 * perSecond * (endMs / 2_000))
  })

  test('is not one that was removed', () => {
    const rig = balancerOf('a', 'b')
    rig.remove('a')
    expect(shares(rig, 20)).toEqual({ b: 20 })
    expect(rig.replicas).toEqual(['b'])
  })
})

describe('a replica is ejected', () => {
  test('after five failures in a row, for ten seconds, then after each further one for ten more, a minute at most', () => {
    const rig = balancerOf('a', 'b', 'c')
    fail(rig, 'a', 4)
    rig.once('answered', 1, only('a'))
    fail(rig, 'a', 4)
    expect(rig.ejected).toEqual([])
    fail(rig, 'a', 1)
    expect(rig.ejected).toEqual(['a'])
    expect(rig.isHealthy('a')).toBe(false)
    expect(shares(rig, 100).a).toBeUndefined()
    for (let i = 0; i < 7; i++) {
      rig.pass(60_000)
      expect(rig.ejected).toEqual([])
      fail(rig, 'a', 1)
    }
    expect(rig.ejections.map(([, ms]) => ms / 1_000)).toEqual([10, 20, 30, 40, 50, 60, 60, 60])
  })

  test('and let back in: a hundred answers in a row, and its ejections are forgotten', () => {
    const rig = balancerOf('a', 'b', 'c')
    fail(rig, 'a', 5)
    rig.pass(10_000)
    for (let i = 0; i < 100; i++) rig.once('answered', 10, only('a'))
    expect(rig.isHealthy('a')).toBe(true)
    fail(rig, 'a', 4)
    expect(rig.ejected).toEqual([])
  })

  test('when it answers, but eight times as slowly as the others and in more than a second', () => {
    const rig = balancerOf('a', 'b', 'c')
    for (const replica of ['b', 'c']) rig.once('answered', 200, only(replica))
    for (let i = 0; i < 5; i++) rig.once('answered', 1_700, only('a'))
    expect(rig.ejected).toEqual(['a'])
    const quick = balancerOf('a', 'b', 'c')
    for (const replica of ['b', 'c']) quick.once('answered', 10, only(replica))
    for (let i = 0; i < 20; i++) quick.once('answered', 900, only('a'))
    expect(quick.ejected).toEqual([])
  })

  test('but never more than half of them: then it is not the replicas', () => {
    const rig = balancerOf('a', 'b', 'c', 'd', 'e')
    for (const replica of ['a', 'b', 'c', 'd', 'e']) fail(rig, replica, 10)
    expect(rig.ejected).toEqual(['a', 'b'])
    const alone = balancerOf('a')
    fail(alone, 'a', 100)
    expect(alone.assign(1)?.replica).toBe('a')
  })

  test('and asked all the same where no other may be', () => {
    const rig = balancerOf('a', 'b', 'c')
    fail(rig, 'a', 5)
    expect(rig.once('answered', 1, only('a'))).toBe('a')
  })
})

test('a turn ends once', () => {
  const rig = balancerOf('a', 'b')
  const turn = rig.assign(4)
  turn?.end('failed')
  for (let i = 0; i < 10; i++) turn?.end('failed')
  expect(rig.ejected).toEqual([])
})
