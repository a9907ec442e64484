// Makes the page of an address from what the watch knows, and reads what only this page needs.

import { setTimeout as wait } from 'node:timers/promises'
import { createFactsReader, describeRun } from '@reembed/producer'
import { readPlan, readPlannedMs } from '@reembed/protocol'
import { isRunId, messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { ComparisonReader, ComparisonState } from './data/comparison.ts'
import type { createNextTicks } from './data/next-ticks.ts'
import type { PreviewReader } from './data/previews.ts'
import type { RunDetails } from './data/run-detail.ts'
import type { SearchReader } from './data/searches.ts'
import { readShardDetail } from './data/shard.ts'
import type { ConsoleQueue, OutputState, OutputsWatch, WatchedRun } from './data/watch-outputs.ts'
import { comparePage, previewName, previewPage } from './page/compare.ts'
import { html } from './page/html.ts'
import type { Links } from './page/links.ts'
import type { CommandOf } from './page/next-steps.ts'
import { outputsPage } from './page/outputs.ts'
import type { Page } from './page/parts.ts'
import { runPage } from './page/run.ts'
import type { RunView } from './page/run-view.ts'
import { NO_VERSIONS, versionsPage } from './page/versions.ts'
import { knownView, readRunView, type Within } from './read-run-view.ts'
import type { Viewer } from './server/session.ts'

export interface PageSources {
  readonly watch: OutputsWatch
  readonly details: RunDetails
  readonly comparisons: ComparisonReader
  readonly previews: PreviewReader
  readonly searches: SearchReader
  readonly ticks: ReturnType<typeof createNextTicks>
  readonly queue: ConsoleQueue | undefined
  readonly links: Links
  readonly commandOf: CommandOf | undefined
  /** Called when a reading ends, or fails, that took too long for the page that asked for it. */
  readonly onLateReading: () => void
}

/** Returns the page of an address; undefined if there is none. */
export type PageReader = (url: URL, viewer?: Viewer) => Promise<Page | undefined>

/** How long the status of a run is kept that is not among the watched ones, and how many are. */
const OLDER_MS = 30_000
const OLDER_RUNS = 20
/** A page is sent after this, without what is still being read. */
const PATIENCE_MS = 400
/** How long the page of a run shows why a late reading failed, before it reads again. */
const LATE_FAILURE_MS = 30_000

interface FoundRun {
  readonly watched: WatchedRun
  readonly readMs: number | undefined
  /** Why the store does not answer; what is known is then of `readMs`. */
  readonly problem: string | undefined
}

export function createPageReader(sources: PageSources): PageReader {
  const { watch, details, comparisons, previews, searches, ticks, links, queue, commandOf } = sources
  const older = new Map<string, FoundRun>()
  /** Readings that failed after their page was sent, until they are tried again. */
  const lateFailures = new Map<string, { readonly error: unknown; readonly untilMs: number }>()

  function outputOf(url: URL): OutputState | undefined {
    const named = url.searchParams.get('output')
    return named === null ? watch.outputs[0] : watch.outputs.find(({ store }) => store.url === named)
  }

  /** A run beyond the watched ones is read again after `OLDER_MS`, and kept while that fails. */
  async function find(output: OutputState, run: string): Promise<FoundRun | undefined> {
    const { store, problem, readMs } = output
    const watched = output.runs.find(({ status }) => status.run === run)
    if (watched) return { watched, readMs, problem }
    const key = `${store.url} ${run}`
    const known = older.get(key)
    if (known !== undefined && Date.now() - (known.readMs ?? 0) < OLDER_MS) return known
    try {
      const plan = await readPlan(store, run)
      if (plan === undefined) return undefined
      const plannedMs = await readPlannedMs(store, plan.seq)
      const facts = await createFactsReader(store, queue).one({ run, seq: plan.seq, plannedMs })
      const status = describeRun(facts, Date.now())
      older.delete(key)
      older.set(key, {
        watched: { facts, status, active: [], failed: [] },
        readMs: Date.now(),
        problem: undefined,
      })
      for (const oldest of older.keys()) if (older.size > OLDER_RUNS) older.delete(oldest)
      return older.get(key)
    } catch (error) {
      if (known === undefined) throw error
      return { ...known, problem: messageOf(error) }
    }
  }

  async function runOf(url: URL, run: string, viewer: Viewer | undefined): Promise<Page | undefined> {
    // Without the name of an output, the first output that has the run.
    const candidates = url.searchParams.has('output') ? [outputOf(url)] : watch.outputs
    for (const output of candidates) {
      if (output === undefined) continue
      const found = await find(output, run)
      if (found) return runPage(await viewOf(output.store, found, url), links, commandOf, viewer)
    }
    return undefined
  }

  async function viewOf(store: Store, { watched, problem, readMs }: FoundRun, url: URL): Promise<RunView> {
    const problemNow = problem === undefined ? undefined : { text: problem, readMs }
    const history = watch.history(store.url, watched.status.run)
    const base: RunView = { ...knownView(store, watched, history), problem: problemNow }
    const shard = url.searchParams.get('shard')
    const late = wait(PATIENCE_MS, undefined, { ref: false })
    const within: Within = async (name, read) => {
      const key = `${store.url} ${watched.status.run} ${name}`
      const failure = lateFailures.get(key)
      if (failure !== undefined && Date.now() < failure.untilMs) throw failure.error
      lateFailures.delete(key)
      let isLate = false
      const reading = read()
      reading.then(
        () => isLate && sources.onLateReading(),
        (error: unknown) => isLate && failLate(key, error),
      )
      return Promise.race([
        reading,
        late.then(() => {
          isLate = true
          return undefined
        }),
      ])
    }
    try {
      const withRejects = url.searchParams.has('rejects')
      const view = await readRunView(store, base, { details, withRejects, within })
      return shard === null ? view : { ...view, shard: await shardOf(store, watched, Number(shard)) }
    } catch (error) {
      // The page shows what is known: the store may be unavailable.
      return { ...base, problem: base.problem ?? { text: messageOf(error), readMs } }
    }
  }

  /** A page that read again at once would be late again, and never show why. */
  function failLate(key: string, error: unknown): void {
    const nowMs = Date.now()
    for (const [known, { untilMs }] of lateFailures) if (untilMs <= nowMs) lateFailures.delete(known)
    lateFailures.set(key, { error, untilMs: nowMs + LATE_FAILURE_MS })
    sources.onLateReading()
  }

  async function shardOf(store: Store, { status: { run }, failed }: WatchedRun, shard: number) {
    const failure = failed.find(job => job.shard === shard)?.reason
    // While Redis does not answer, the receipt and the source are shown nevertheless.
    const attempts = await queue?.attempts({ output: store.url, run, shard }).catch(() => undefined)
    return (await readShardDetail(store, run, shard, { failure, attempts })) ?? null
  }

  return async (url, viewer) => {
    const run = /^\/runs\/([a-z2-7]+)$/.exec(url.pathname)?.[1]
    if (run !== undefined) return isRunId(run) ? runOf(url, run, viewer) : undefined
    if (url.pathname === '/') return outputsPage(watch.outputs, links, output => ticks(output, Date.now()))
    const output = outputOf(url)
    if (output === undefined) return undefined
    if (url.pathname === '/versions') return versionsOf(output)
    return url.pathname === '/compare' ? compareOf(output, url.searchParams) : undefined
  }

  async function compareOf(output: OutputState, asked: URLSearchParams): Promise<Page> {
    const [a, b] = [asked.get('a'), asked.get('b')]
    const before = a ?? output.current?.run
    const recorded = before !== undefined && isRunId(before) ? await previews.read(output.store, before) : []
    const preview = recorded.find(one => previewName(one) === b)
    if (preview !== undefined) return previewPage(output, preview, recorded, links)
    const state = comparisons.read(output.store, a, b)
    return comparePage(output, state, recorded, links, searchOf(output, state, asked.get('q')))
  }

  /** Null without a text to search for, undefined without an endpoint. */
  function searchOf({ store }: OutputState, state: ComparisonState, text: string | null) {
    if (!searches.isPossible || state.state !== 'done') return undefined
    const query = (text ?? '').trim()
    if (query === '') return null
    const { before, after } = state.value
    return {
      query,
      before: searches.read(store, before.run, query),
      after: searches.read(store, after.run, query),
    }
  }

  async function versionsOf(output: OutputState): Promise<Page> {
    try {
      const current = output.current?.version
      const versions = await details.versions(output.store, current)
      const figures = await details.versionFigures(output.store, current)
      // A record that cannot be read must not hide the versions.
      const targets = await details.storeTargets(output.store).catch(messageOf)
      return versionsPage(output, { versions, figures, targets }, links, commandOf)
    } catch (error) {
      return versionsPage({ ...output, problem: messageOf(error) }, NO_VERSIONS, links, commandOf)
    }
  }
}

/** The page of a run that was never read because the store does not answer. */
export const unavailablePage = (error: unknown): Page => ({
  title: 'Not available',
  sections: [
    {
      id: 'head',
      body: html`<h1>Not available</h1><p class="problem" role="alert">The store does not answer: ${messageOf(error)}. This page is shown when it does.</p>`,
    },
  ],
})

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
