// One shard of a run: its receipt.

import { bytes, count, counted, duration, modelText } from '@reembed/render'
import type { ShardDetail } from '../data/shard.ts'
import { type Html, html, type Value } from './html.ts'
import { facts, time } from './parts.ts'

export function shardDetail(shard: ShardDetail | null | undefined): Html {
  if (shard === undefined) return html``
  if (shard === null) return html`<h2>Shard</h2><p class="warnline">The run has no shard of this number.</p>`
  const { receipt, failure, attempts, source, key, bytes: size } = shard
  const rows: [Value, Value][] = [['Object', html`<span class="id">${key}</span>`]]
  if (receipt === undefined)
    rows.push(['State', failure === undefined ? 'its object is not in the store yet' : `failed: ${failure}`])
  else {
    const { documents, rejects, tokens, reused = 0, startedMs, endedMs } = receipt
    rows.push([
      'Documents',
      `${count(documents)} = ${counted(receipt.rows, 'row')} + ${counted(rejects.length, 'reject')}`,
    ])
    if (reused > 0) rows.push(['Reused vectors', count(reused)])
    rows.push(['Tokens', tokens === null ? 'not stated by the endpoint' : count(tokens)])
    rows.push(['Size', bytes(size ?? 0)])
    if (startedMs !== undefined && endedMs !== undefined)
      rows.push(['Embedded', html`${time(startedMs)}, in ${duration(endedMs - startedMs)}`])
    rows.push(['Model', modelText(receipt)])
    if (rejects.length > 0)
      rows.push([
        'Rejects',
        html`<ul>${rejects
          .slice(0, REJECTS_SHOWN)
          .map(
            ({ id, reason, message }) =>
              html`<li><span class="id">${id ?? 'without an id'}</span>: ${reason}: ${message}</li>`,
          )}</ul>`,
      ])
  }
  if (attempts !== undefined) {
    const { started, counted: made, lastError } = attempts
    rows.push(['Attempts', `${count(started)} started, ${count(made)} counted`])
    if (lastError !== undefined && failure === undefined) rows.push(['Last error', lastError])
  }
  rows.push([
    'Source',
    html`<ul>${source
      .slice(0, PARTS_SHOWN)
      .map(
        part => html`<li><span class="id">${part.key}</span> ${count(part.start)} to ${count(part.end)}</li>`,
      )}${source.length > PARTS_SHOWN && html`<li>and ${count(source.length - PARTS_SHOWN)} more</li>`}</ul>`,
  ])
  return html`<h2>Shard ${shard.shard}</h2>${facts(rows)}`
}

const PARTS_SHOWN = 10
const REJECTS_SHOWN = 10
