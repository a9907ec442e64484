// Which vector store holds which run, and which of them searches use.

import type { StoreTarget } from '@reembed/producer'
import { count } from '@reembed/render'
import { type Html, html } from './html.ts'
import type { Links } from './links.ts'
import { shortId, time } from './parts.ts'

/** @param targets or why they cannot be read */
export function vectorStores(targets: readonly StoreTarget[] | string, output: string, links: Links): Html {
  if (typeof targets === 'string')
    return html`<h2>Vector stores</h2><p class="problem" role="alert">The records of loads cannot be read: ${targets}</p>`
  if (targets.length === 0) return html``
  return html`<h2>Vector stores</h2><div class="scroll" tabindex="0" role="region" aria-label="Vector stores"><table><thead><tr><th>Store</th><th>Target</th><th>Run</th><th class="num">Rows</th><th>Loaded</th><th>Searches</th></tr></thead><tbody>${targets.map(
    ({ address, name, target, run, rows, refused, loadedMs, isUsed, usedMs }) =>
      html`<tr><td class="url">${address}</td><td>${target}</td><td><a href="${links.run(output, run)}">${shortId(run)}</a></td><td class="num">${count(rows)}${refused > 0 && html`, ${count(refused)} refused`}</td><td>${loadedMs === undefined ? 'at an unknown time' : time(loadedMs)}</td><td>${
        isUsed
          ? html`<span class="pill good"><span aria-hidden="true">✓</span> ${name}</span>${usedMs !== undefined && html` since ${time(usedMs)}`}`
          : '–'
      }</td></tr>`,
  )}</tbody></table></div>`
}
