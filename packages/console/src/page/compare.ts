// Two runs compared: whether the new one may replace the old one. Decision first, then the queries
// that got worse, then what score thresholds become.

import type { ComparedRuns, ComparisonState } from '../data/comparison.ts'
import type { OutputState } from '../data/watch-outputs.ts'
import { costsAndHealth, decision, neighbourChanges } from './compare-figures.ts'
import { worstQueries } from './compare-queries.ts'
import { type ComparedSearch, searchBoth } from './compare-search.ts'
import { gateTable } from './gates.ts'
import { type Html, html } from './html.ts'
import type { Links } from './links.ts'
import { type Page, type Section, shortId } from './parts.ts'
import { thresholdTable } from './thresholds.ts'

/**
 * @param search the text searched in both runs: null if none was given, undefined if the console
 * has no endpoint
 */
export function comparePage(
  output: OutputState,
  state: ComparisonState,
  links: Links,
  search?: ComparedSearch | null,
): Page {
  const head = {
    id: 'head',
    body: html`<h1>Compare <small class="url">${output.store.url}</small></h1>${choice(output, state, links)}`,
  }
  if (state.state === 'done') {
    const { before, after } = state.value
    const { url } = output.store
    const target = { path: pathOf(links, url), output: url, a: before.run, b: after.run }
    const isRefused = [search?.before, search?.after].some(one => one?.state === 'refused')
    const searched =
      search === undefined ? [] : [{ id: 'search', body: searchBoth(search ?? undefined, target) }]
    return { title: 'Compare', sections: [head, ...comparedSections(state.value), ...searched], isRefused }
  }
  const sections = [head, { id: 'progress', body: progressText(state) }]
  return { title: 'Compare', sections, isRefused: state.state === 'refused' }
}

/** The regions of a comparison; the report has the same. */
export const comparedSections = (
  runs: ComparedRuns,
  texts: ReadonlyMap<string, string> = new Map(),
): Section[] => [
  { id: 'decision', body: decision(runs) },
  { id: 'gates', body: gateTable(runs.comparison.gates, runs.comparison.judged === undefined) },
  { id: 'worst', body: worstQueries(runs.comparison.judged, texts) },
  { id: 'thresholds', body: thresholdTable(runs.comparison) },
  { id: 'neighbours', body: neighbourChanges(runs) },
  { id: 'health', body: costsAndHealth(runs) },
]

const pathOf = (links: Links, output: string): string => links.compare(output).split('?')[0] ?? ''

function progressText(state: Exclude<ComparisonState, { state: 'done' }>): Html {
  if (state.state === 'unset') return html``
  if (state.state !== 'running') return html`<p class="problem" role="alert">${state.message}</p>`
  return html`<p role="status">Comparing both runs${state.progress !== undefined && `: ${state.progress} read`} …</p>`
}

function choice({ runs, current, store }: OutputState, state: ComparisonState, links: Links): Html {
  const finished = runs.filter(({ facts }) => facts.manifest !== undefined)
  if (finished.length < 2 && state.state === 'unset')
    return html`<p>Two finished runs are needed; this output has ${finished.length} among its newest.</p>`
  const before = state.state === 'done' ? state.value.before.run : current?.run
  const after = state.state === 'done' ? state.value.after.run : finished[0]?.status.run
  const options = (selected: string | undefined): Html[] =>
    finished.map(
      ({ status: { run, state: runState, version, model } }) =>
        html`<option value="${run}"${run === selected && html` selected`}>${shortId(run)} ${version === undefined ? runState : `version ${version}`} ${model?.id ?? ''}</option>`,
    )
  return html`<form action="${pathOf(links, store.url)}" class="inline"><input type="hidden" name="output" value="${store.url}"><label>Old <select name="a">${options(before)}</select></label> <label>New <select name="b">${options(after)}</select></label> <button>Compare</button></form>`
}
