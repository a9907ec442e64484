// Six fake TEIs in a process of their own, at 127.0.0.1 to 127.0.0.6 on one port, as a name has
// several addresses; and a load balancer in front of them. As many are up as the parent says; the
// others' connections are reset at once, as when a machine is taken away.

import { type FakeTei, startFakeTei, startLoadBalancer } from '@reembed/testing'
import { DIMENSIONS } from '../fleet/texts.ts'

/** A number sets how many replicas are up. Any other message requests the counts so far. */
export interface ToReplicas {
  readonly up?: number
}
export interface Seen {
  readonly addresses: readonly string[]
  /** Of the texts answered: a short one, by which a model is proved, is no full text. */
  readonly tokens: number
  /** Requests of any kind that the load balancer had no replica for. */
  readonly absent: number
}

const [, , speeds = ''] = process.argv
const all: FakeTei[] = []
for (const [i, speed] of speeds.split(',').map(Number).entries()) {
  all.push(
    await startFakeTei({
      hostname: `127.0.0.${i + 1}`,
      ...(all[0] && { port: Number(new URL(all[0].url).port) }),
      dimensions: DIMENSIONS,
      servedModelName: 'reembed/hash@r1',
      // 16 texts of 128 tokens fill a batch, which at speed 1 takes 25 ms.
      maxBatchTokens: 2_048,
      baseMs: 5 / speed,
      msPerToken: 20 / 2_048 / speed,
    }),
  )
}
const up: FakeTei[] = [...all]
let absent = 0
const balancer = await startLoadBalancer({
  replicas: up,
  fault() {
    if (up.length === 0) absent += 1
    return undefined
  },
})

async function toBe(count: number): Promise<void> {
  for (const gone of up.splice(count)) void gone.crash()
  for (const fresh of all.slice(up.length, count)) {
    await fresh.start()
    up.push(fresh)
  }
}

const seen = (): Seen => ({
  addresses: up.map(({ url }) => new URL(url).hostname),
  tokens: all.reduce((sum, { counts }) => sum + counts.tokens, 0),
  absent,
})

process.on('message', async ({ up: count }: ToReplicas) => {
  if (count !== undefined) await toBe(count)
  process.send?.(seen())
})
process.on('disconnect', () => process.exit())
process.send?.({ port: new URL(all[0]?.url ?? '').port, balanced: balancer.url })
