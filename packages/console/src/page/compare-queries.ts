// The judged queries that got worse, with both top tens side by side.

import type { Answer, JudgedComparison, QueryChange } from '@reembed/protocol'
import { count, counted } from '@reembed/render'
import { type Html, html } from './html.ts'

const SHOWN = 10
/** Queries whose results are shown at once; those of the others are opened by the reader. */
const OPEN = 3
const TEXT_CHARS = 120

/** @param none what to do where no judged queries are shared */
export function worstQueries(
  judged: JudgedComparison | undefined,
  texts: ReadonlyMap<string, string>,
  none = 'Both runs share no judged queries: plan them with queries and judgements to see which queries got worse.',
): Html {
  if (judged === undefined) return html`<h2>Queries</h2><p>${none}</p>`
  const { changes, worse, better, queries, top } = judged
  return html`<h2>Queries that got worse</h2>
<p>${count(worse)} of ${counted(queries, 'query', 'queries')} got worse, ${count(better)} got better.</p>
<ol class="worst">${changes.slice(0, Math.min(SHOWN, worse)).map((change, i) => queryCard(change, top, texts, i < OPEN))}</ol>`
}

function queryCard(
  { query, text, before, after, common }: QueryChange,
  top: number,
  texts: ReadonlyMap<string, string>,
  isOpen: boolean,
): Html {
  return html`<li class="card"><h3>${text ?? query} <small class="id">${text === undefined ? '' : query}</small></h3>
<p class="figures"><span>nDCG@${top} ${figure(before.ndcg)} → <b>${figure(after.ndcg)}</b></span> <span>recall@${top} ${figure(before.recall)} → <b>${figure(after.recall)}</b></span> <span>${common} of ${top} results are the same</span></p>
<details id="answers-${query}"${isOpen && html` open`}><summary>Both top ${top}</summary><div class="sides">${side('Before', before.answers, after.answers, 'lost', texts)}${side('After', after.answers, before.answers, 'new', texts)}</div></details></li>`
}

type ShownAnswer = Pick<Answer, 'id' | 'score' | 'relevant'>

/** One top ten; documents that the other one lacks are marked by a sign and a colour. */
export function side(
  title: string,
  answers: readonly ShownAnswer[],
  others: readonly Pick<Answer, 'id'>[],
  mark: 'lost' | 'new',
  texts: ReadonlyMap<string, string>,
): Html {
  const known = new Set(others.map(({ id }) => id))
  return html`<div><h4>${title}</h4><ol class="answers">${answers.map(({ id, score, relevant }) => {
    const isMarked = !known.has(id)
    const text = texts.get(id)
    return html`<li class="${isMarked ? mark : 'kept'}"><span class="num">${score.toFixed(3)}</span> <span class="id">${id}</span>${isMarked && html` <small class="mark">${mark}</small>`}${relevant && html` <small class="relevant">relevant</small>`}${text !== undefined && html`<br><small>${text.slice(0, TEXT_CHARS)}</small>`}</li>`
  })}</ol></div>`
}

const figure = (value: number): string => value.toFixed(3)
