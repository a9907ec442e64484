// Embeds a corpus again when it has changed. An unchanged corpus gives the run that is finished
// already; a changed one gives a new run, which takes the vectors of unchanged texts from the
// version before.
//
//   SOURCE=s3://corpora/wiki/ OUTPUT=s3://vectors/wiki REDIS_URL=… ENDPOINT=… EVERY_MS=3600000 node schedule.ts

import { setInterval } from 'node:timers/promises'
import { createReembed, isReembedError } from 'reembed'

const { SOURCE = './docs', OUTPUT = './vectors', REDIS_URL, ENDPOINT, EVERY_MS = '3600000' } = process.env

const stop = new AbortController()
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort())
const { signal } = stop

await using reembed = createReembed({ output: OUTPUT, redis: REDIS_URL, endpoint: ENDPOINT })

async function check(): Promise<string> {
  const { run, enqueued, finished } = await reembed.enqueue(SOURCE, { signal })
  return finished ? `${run} unchanged` : `${run} ${enqueued} jobs enqueued`
}

try {
  console.log(await check())
  for await (const _ of setInterval(Number(EVERY_MS), undefined, { signal })) {
    try {
      console.log(await check())
    } catch (error) {
      // Overload, a cold start or an outage: the next check tries again.
      if (!isReembedError(error) || error.retry !== 'requeue') throw error
      console.error(error.message)
    }
  }
} catch (error) {
  if (!signal.aborted) throw error
}
