// Two runs compared: whether the new one may replace the old one. Decision first, then the queries
// that got worse, then what score thresholds become.

import type { PreviewRecord } from '@reembed/protocol'
import { modelText } from '@reembed/render'
import type { ComparedRuns, ComparisonState } from '../data/comparison.ts'
import type { OutputState } from '../data/watch-outputs.ts'
import { costsAndHealth, decision, neighbourChanges } from './compare-figures.ts'
import { worstQueries } from './compare-queries.ts'
import { type ComparedSearch, searchBoth } from './compare-search.ts'
import { gateTable } from './gates.ts'
import { type Html, html } from './html.ts'
import type { Links } from './links.ts'
import { type Page, type Section, shortId } from './parts.ts'
import { previewOrigin, previewSections, previewTitle } from './preview.ts'
import { thresholdTable } from './thresholds.ts'

/** The page of a preview beside the run that it was compared with. */
export function previewPage(
  output: OutputState,
  chosen: PreviewRecord,
  known: readonly PreviewRecord[],
  links: Links,
): Page {
  const body = html`<h1>${previewTitle(chosen)} <small class="url">${output.store.url}</small></h1>${previewOrigin(chosen)}${choice(output, { a: chosen.run, b: previewName(chosen) }, known, links)}`
  return { title: previewTitle(chosen), sections: [{ id: 'head', body }, ...previewSections(chosen)] }
}

/** The value of a preview in the choice, and in the address. */
export const previewName = ({ number }: Pick<PreviewRecord, 'number'>): string => `preview-${number}`

/**
 * @param previews recorded previews that the reader may choose
 * @param search the text searched in both runs: null if none was given, undefined if the console
 * has no endpoint
 */
export function comparePage(
  output: OutputState,
  state: ComparisonState,
  previews: readonly PreviewRecord[],
  links: Links,
  search?: ComparedSearch | null,
): Page {
  const chosen =
    state.state === 'done'
      ? { a: state.value.before.run, b: state.value.after.run }
      : { a: undefined, b: undefined }

  const head = {
    id: 'head',
    body: html`<h1>Compare <small class="url">${output.store.url}</small></h1>${choice(output, chosen, previews, links)}`,
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
  { id: 'decision', body: decision(runs.comparison) },
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

function choice(
  { runs, current, store }: OutputState,
  chosen: { readonly a: string | undefined; readonly b: string | undefined },
  previews: readonly PreviewRecord[],
  links: Links,
): Html {
  const finished = runs.filter(({ facts }) => facts.manifest !== undefined)
  if (finished.length < 2 && previews.length === 0 && chosen.b === undefined)
    return html`<p>Two finished runs are needed; this output has ${finished.length} among its newest.</p>`
  const { a: before = current?.run, b: after = finished[0]?.status.run } = chosen
  const options = (selected: string | undefined): Html[] =>
    finished.map(
      ({ status: { run, state, version, model } }) =>
        html`<option value="${run}"${run === selected && html` selected`}>${shortId(run)} ${version === undefined ? state : `version ${version}`} ${model?.id ?? ''}</option>`,
    )
  const recorded = previews.map(preview => {
    const name = previewName(preview)
    return html`<option value="${name}"${name === after && html` selected`}>preview ${preview.number} ${modelText(preview)}</option>`
  })
  const isAlone = links.compare('x') === links.compare('y')
  return html`<form action="${pathOf(links, store.url)}" class="inline">${!isAlone && html`<input type="hidden" name="output" value="${store.url}">`}<label>Old <select name="a">${options(before)}</select></label> <label>New <select name="b">${options(after)}${recorded.length > 0 && html`<optgroup label="Samples of other models">${recorded}</optgroup>`}</select></label> <button>Compare</button></form>`
}
