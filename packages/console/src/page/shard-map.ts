// The map of shards as SVG: one path for each state, so that a map of 5,000 cells is a few KiB.

import { count, counted } from '@reembed/render'
import { SHARD_STATES, type ShardCells } from '../data/shard-cells.ts'
import { type Html, html } from './html.ts'

const CELL = 10
const NARROW = 40
const WIDE = 125

/** @param link the address of the page, for the form that shows one shard; a report has none */
export function shardMap(cells: ShardCells, link?: { readonly path: string; readonly output: string }): Html {
  if (cells.shards === 0) return html``
  const columns = cells.cells.length > 1_000 ? WIDE : Math.min(NARROW, cells.cells.length)
  const rows = Math.ceil(cells.cells.length / columns)
  const bins =
    cells.shardsPerCell === 1 ? '' : ` Each cell stands for ${count(cells.shardsPerCell)} shards in a row.`
  return html`<h2>Shards</h2>
<p class="keys">${SHARD_STATES.filter(state => cells.counts[state] > 0).map(
    state => html`<span class="key cell-${state}">${state} <b>${count(cells.counts[state])}</b></span> `,
  )}</p>
<svg class="shards" viewBox="0 0 ${columns * CELL} ${rows * CELL}" width="${columns * (columns === WIDE ? CELL : 16)}" role="img" aria-label="${counted(cells.shards, 'shard')}: ${SHARD_STATES.filter(
    state => cells.counts[state] > 0,
  )
    .map(state => `${cells.counts[state]} ${state}`)
    .join(
      ', ',
    )}" data-columns="${columns}" data-per-cell="${cells.shardsPerCell}" data-shards="${cells.shards}"><defs>${SHARD_STATES.map(
    state =>
      html`<pattern id="cell-${state}" width="${CELL}" height="${CELL}" patternUnits="userSpaceOnUse"><rect width="${CELL - 1}" height="${CELL - 1}" rx="1.5" class="cell-${state}"/></pattern>`,
  )}</defs>${SHARD_STATES.map((state, code) => {
    const path = pathOf(cells.cells, code, columns)
    return path === '' ? html`` : html`<path d="${path}" fill="url(#cell-${state})"/>`
  })}</svg>
${link ? html`<form action="${link.path}" class="inline"><input type="hidden" name="output" value="${link.output}"><label>Shard <input name="shard" type="number" min="0" max="${cells.shards - 1}" required></label> <button>Show</button> <small>0 to ${count(cells.shards - 1)}.${bins}</small></form>` : html`<p><small>${bins}</small></p>`}`
}

/** The cells of one state: one rectangle for each stretch in a row. */
function pathOf(cells: Uint8Array, code: number, columns: number): string {
  let path = ''
  for (let at = 0; at < cells.length; at += 1) {
    if (cells[at] !== code) continue
    const column = at % columns
    let length = 1
    while (column + length < columns && cells[at + length] === code) length += 1
    path += `M${column * CELL} ${Math.floor(at / columns) * CELL}h${length * CELL}v${CELL}h-${length * CELL}z`
    at += length - 1
  }
  return path
}
