// Many processes put the same key at the same moment, round after round: exactly one learns that
// it created the object, and the object has its body.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { openStore } from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { temporaryFolder } from '../parts/cli.ts'

export interface RaceOptions {
  readonly store: 'folder' | 's3'
  readonly processes: number
  readonly rounds: number
}

export interface Race {
  readonly rounds: number
  readonly processes: number
  readonly seconds: number
  readonly broken: readonly string[]
}

export interface Put {
  readonly key: string
}

export interface Answer {
  readonly outcome: 'created' | 'exists' | 'failed'
  readonly message?: string
}

const PUTTER = fileURLToPath(new URL('putter.ts', import.meta.url))

export async function raceForKeys({ store: kind, processes, rounds }: RaceOptions): Promise<Race> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await temporaryFolder())
  const s3 = kind === 's3' ? stack.use(await startS3Server({ buckets: ['race'] })) : undefined
  const url = s3 ? 's3://race/all' : folder.path
  for (const [name, value] of Object.entries(s3?.env ?? {})) process.env[name] = value
  stack.defer(() => {
    for (const name of Object.keys(s3?.env ?? {})) delete process.env[name]
  })
  const store = stack.use(await openStore(url))
  const putters = Array.from({ length: processes }, (_, n) =>
    fork(PUTTER, [url, String(n)], { execArgv: ['--conditions=@reembed/source'] }),
  )
  stack.defer(() => {
    for (const putter of putters) putter.kill('SIGKILL')
  })
  const next = putters.map(listenTo)
  await Promise.all(next.map(answer => answer()))

  const started = performance.now()
  const broken: string[] = []
  for (let round = 0; round < rounds; round += 1) {
    const key = `round/${round}`
    const answers = next.map(answer => answer())
    for (const putter of putters) putter.send({ key } satisfies Put)
    const outcomes = await Promise.all(answers)
    const winners = outcomes.flatMap(({ outcome }, n) => (outcome === 'created' ? [n] : []))
    const failed = outcomes.find(({ outcome }) => outcome === 'failed')
    const held = Buffer.from(await store.get(key)).toString()
    if (failed) broken.push(`${key}: ${failed.message}`)
    if (winners.length !== 1) broken.push(`${key}: ${winners.length} winners`)
    else if (held !== `of ${winners[0]}`)
      broken.push(`${key}: ${winners[0]} won and the object holds '${held}'`)
  }
  return { rounds, processes, seconds: (performance.now() - started) / 1000, broken }
}

/** Asks for the next answer each time it is called. */
function listenTo(putter: ChildProcess): () => Promise<Answer> {
  const gone = once(putter, 'exit').then(([code]) => {
    throw new Error(`a process ended with ${code} in the middle of the race`)
  })
  gone.catch(() => {})
  return async () => {
    const [answer] = await Promise.race([once(putter, 'message'), gone])
    return answer as Answer
  }
}
