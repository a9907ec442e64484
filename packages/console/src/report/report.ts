// Reports of a run, and of two runs compared, as one file that can be attached.

import { type CompareOptions, compareVersions, locateRows, textsOf } from '@reembed/evaluate'
import { createFactsReader, describeRun } from '@reembed/producer'
import { readPlannedMs, requirePlan } from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import type { S3Options, Store } from '@reembed/store'
import type { ComparedRuns } from '../data/comparison.ts'
import { createRunDetails } from '../data/run-detail.ts'
import { comparedSections } from '../page/compare.ts'
import { html } from '../page/html.ts'
import { shortId } from '../page/parts.ts'
import { runPage } from '../page/run.ts'
import { knownView, readRunView } from '../read-run-view.ts'
import { reportDocument } from './html.ts'
import { comparisonMarkdown, runMarkdown } from './markdown.ts'

/** A report in both forms. Neither has the text of a document unless it was asked for. */
export interface Report {
  /** One self-contained file; it needs no script and makes no request. */
  readonly html: string
  readonly markdown: string
}

/**
 * Reports a run: its state, shards, rates, gates, rejects and history.
 * @throws ReembedError RUN_NOT_FOUND
 */
export async function reportRun(store: Store, run: string): Promise<Report> {
  const { seq } = await requirePlan(store, run)
  const plannedMs = await readPlannedMs(store, seq)
  const facts = await createFactsReader(store, undefined).one({ run, seq, plannedMs })
  const nowMs = Date.now()
  const watched = { facts, status: describeRun(facts, nowMs), active: [], failed: [] }
  const known = knownView(store, watched, { samples: [], events: [] })
  const view = await readRunView(store, known, {
    details: createRunDetails(),
    withRejects: true,
    within: (_, read) => read(),
  })
  return { html: reportDocument(runPage(view)), markdown: runMarkdown(view, nowMs) }
}

export interface ReportComparisonOptions {
  /** Reads the texts of the documents in the worst queries from the corpus. */
  readonly texts?: boolean | undefined
  readonly s3?: S3Options | undefined
  /** Called when the corpus does not have the texts any more: the report has none then. */
  readonly onTextsUnreadable?: ((error: unknown) => void) | undefined
  /** Called after each shard that was read, with the number of shards of both runs. */
  readonly onProgress?: CompareOptions['onProgress']
  readonly signal?: AbortSignal | undefined
}

/** Queries whose documents are shown with their texts. */
const QUERIES_WITH_TEXTS = 10

/**
 * Compares two finished runs and reports the decision: gates, the queries that got worse, what
 * score thresholds become, changed neighbours. Reads every shard of both runs.
 * @throws ReembedError RUN_NOT_FOUND for a run that is not finished, USAGE if the runs have no
 * document in common
 */
export async function reportComparison(
  store: Store,
  a: string,
  b: string,
  { texts = false, s3 = {}, onTextsUnreadable, onProgress, signal }: ReportComparisonOptions = {},
): Promise<Report> {
  const [before, after] = [await requireManifest(store, a), await requireManifest(store, b)]
  const runs = {
    before,
    after,
    comparison: await compareVersions(store, before, after, { onProgress, signal }),
  }
  const none = new Map<string, string>()
  const found = !texts
    ? none
    : await textsOfWorst(store, runs, s3).catch((error: unknown) => {
        onTextsUnreadable?.(error)
        return none
      })
  const title = `${shortId(before.run)} → ${shortId(after.run)}`
  const head = { id: 'head', body: html`<h1>${title} <small class="url">${store.url}</small></h1>` }
  return {
    html: reportDocument({ title, sections: [head, ...comparedSections(runs, found)] }),
    markdown: comparisonMarkdown(runs),
  }
}

/** By document id, read from the corpus of the new run; what it lacks has no text. */
async function textsOfWorst(
  store: Store,
  { after, comparison }: ComparedRuns,
  s3: S3Options,
): Promise<Map<string, string>> {
  const worst = comparison.judged?.changes.slice(0, QUERIES_WITH_TEXTS) ?? []
  const answers = worst.flatMap(change => [...change.before.answers, ...change.after.answers])
  const located = await locateRows(store, after, new Set(answers.map(({ id }) => id)))
  const hits = Array.from(located, ([id, shard]) => ({ id, shard, score: 0 }))
  return textsOf(hits, store, await requirePlan(store, after.run), s3)
}
