// Makes the page of an address from what the watch knows, and reads what only this page needs.

import { createFactsReader, describeRun } from '@reembed/producer'
import { readPlan, readPlannedMs } from '@reembed/protocol'
import { createMemo, isRunId, messageOf } from '@reembed/shared'
import type { ComparisonReader } from './data/comparison.ts'
import type { RunDetails } from './data/run-detail.ts'
import { readShardDetail } from './data/shard.ts'
import type { ConsoleQueue, OutputState, OutputsWatch, WatchedRun } from './data/watch-outputs.ts'
import { comparePage } from './page/compare.ts'
import { html } from './page/html.ts'
import type { Links } from './page/links.ts'
import type { CommandOf } from './page/next-steps.ts'
import { outputsPage } from './page/outputs.ts'
import type { Page } from './page/parts.ts'
import { runPage } from './page/run.ts'
import type { RunView } from './page/run-view.ts'
import { versionsPage } from './page/versions.ts'
import { knownView, readRunView } from './read-run-view.ts'

export interface PageSources {
  readonly watch: OutputsWatch
  readonly details: RunDetails
  readonly comparisons: ComparisonReader
  readonly queue: ConsoleQueue | undefined
  readonly links: Links
  readonly commandOf: CommandOf | undefined
}

/** Returns the page of an address; undefined if there is none. */
export type PageReader = (url: URL) => Promise<Page | undefined>

/** How long the status of a run is kept that is not among the watched ones. */
const OLDER_MS = 30_000

export function createPageReader(sources: PageSources): PageReader {
  const { watch, details, comparisons, links, queue, commandOf } = sources
  const older = createMemo<string, WatchedRun | undefined>({ max: 20 })

  function outputOf(url: URL): OutputState | undefined {
    const named = url.searchParams.get('output')
    return named === null ? watch.outputs[0] : watch.outputs.find(({ store }) => store.url === named)
  }

  function find(output: OutputState, run: string): Promise<WatchedRun | undefined> {
    const known = output.runs.find(({ status }) => status.run === run)
    if (known) return Promise.resolve(known)
    const key = `${output.store.url} ${run} ${Math.floor(Date.now() / OLDER_MS)}`
    return older.get(key, async () => {
      const plan = await readPlan(output.store, run)
      if (plan === undefined) return undefined
      const plannedMs = await readPlannedMs(output.store, plan.seq)
      const facts = await createFactsReader(output.store, queue).one({ run, seq: plan.seq, plannedMs })
      return { facts, status: describeRun(facts, Date.now()), active: [], failed: [] }
    })
  }

  async function runOf(url: URL, run: string): Promise<Page | undefined> {
    // Without the name of an output, the first output that has the run.
    const candidates = url.searchParams.has('output') ? [outputOf(url)] : watch.outputs
    for (const output of candidates) {
      if (output === undefined) continue
      const found = await find(output, run)
      if (found) return runPage(await viewOf(output, found, url), links, commandOf)
    }
    return undefined
  }

  async function viewOf(output: OutputState, watched: WatchedRun, url: URL): Promise<RunView> {
    const { store, problem, readMs } = output
    const problemNow = problem === undefined ? undefined : { text: problem, readMs }
    const history = watch.history(store.url, watched.status.run)
    const base: RunView = { ...knownView(store, watched, history), problem: problemNow }
    const shard = url.searchParams.get('shard')
    try {
      const view = await readRunView(store, base, { details, withRejects: url.searchParams.has('rejects') })
      return shard === null ? view : { ...view, shard: await shardOf(output, watched, Number(shard)) }
    } catch (error) {
      // The page shows what is known: the store may be unavailable.
      return { ...base, problem: base.problem ?? { text: messageOf(error), readMs } }
    }
  }

  const shardOf = async ({ store }: OutputState, { status, failed }: WatchedRun, shard: number) =>
    (await readShardDetail(
      store,
      status.run,
      shard,
      number => failed.find(job => job.shard === number)?.reason,
    )) ?? null

  return async url => {
    const run = /^\/runs\/([a-z2-7]+)$/.exec(url.pathname)?.[1]
    if (run !== undefined) return isRunId(run) ? runOf(url, run) : undefined
    if (url.pathname === '/') return outputsPage(watch.outputs, links)
    const output = outputOf(url)
    if (output === undefined) return undefined
    if (url.pathname === '/versions') return versionsOf(output)
    if (url.pathname === '/compare') {
      const [a, b] = [url.searchParams.get('a'), url.searchParams.get('b')]
      return comparePage(output, await comparisons.read(output.store, a, b), links)
    }
    return undefined
  }

  async function versionsOf(output: OutputState): Promise<Page> {
    try {
      return versionsPage(
        output,
        await details.versions(output.store, output.current?.version),
        links,
        commandOf,
      )
    } catch (error) {
      return versionsPage({ ...output, problem: messageOf(error) }, [], links, commandOf)
    }
  }
}

/** The page of an address that has none. */
export const notFoundPage: Page = {
  title: 'Not found',
  sections: [
    {
      id: 'head',
      body: html`<h1>Not found</h1><p>No watched output has this run or page. <a href="/">Outputs</a></p>`,
    },
  ],
}
