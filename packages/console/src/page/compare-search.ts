// A text of the reader, searched in both runs.

import type { SearchHit } from '@reembed/evaluate'
import { QUERY_CHARS, type SearchState } from '../data/searches.ts'
import { side } from './compare-queries.ts'
import { type Html, html } from './html.ts'

/** The text that a reader searched, and what is known about both searches. */
export interface ComparedSearch {
  readonly query: string
  readonly before: SearchState
  readonly after: SearchState
}

/** @param target the address of the page, and the names that its form keeps */
export function searchBoth(
  search: ComparedSearch | undefined,
  target: { readonly path: string; readonly output: string; readonly a: string; readonly b: string },
): Html {
  const { path, output, a, b } = target
  return html`<h2>Search in both</h2><form action="${path}#search" class="inline"><input type="hidden" name="output" value="${output}"><input type="hidden" name="a" value="${a}"><input type="hidden" name="b" value="${b}"><label>Text <input name="q" type="search" maxlength="${QUERY_CHARS}" value="${search?.query}" required></label> <button>Search</button></form>${search && results(search)}`
}

function results({ before, after }: ComparedSearch): Html {
  const answers = (state: SearchState, other: SearchState, title: string, mark: 'lost' | 'new'): Html => {
    if (state.state === 'running')
      return html`<div><h4>${title}</h4><p role="status">Searching${state.progress !== undefined && `: ${state.progress} read`} …</p></div>`
    if (state.state !== 'done')
      return html`<div><h4>${title}</h4><p class="problem" role="alert">${state.message}</p></div>`
    const others = other.state === 'done' ? other.value : state.value
    return side(title, state.value.map(answerOf), others.map(answerOf), mark, textsOf(state.value))
  }
  return html`<div class="sides">${answers(before, after, 'Before', 'lost')}${answers(after, before, 'After', 'new')}</div>`
}

const answerOf = ({ id, score }: SearchHit) => ({ id, score, relevant: false })
const textsOf = (hits: readonly SearchHit[]): ReadonlyMap<string, string> =>
  new Map(hits.flatMap(({ id, text }) => (text === null ? [] : [[id, text] as const])))
