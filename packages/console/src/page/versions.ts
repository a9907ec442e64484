// The versions of an output: what was published when, by which actor, why and despite what.

import type { PublishedVersion, StoreTarget } from '@reembed/producer'
import type { VersionFigures } from '../data/version-figures.ts'
import type { OutputState } from '../data/watch-outputs.ts'
import { type Html, html } from './html.ts'
import type { Links } from './links.ts'
import { type CommandOf, stepLines } from './next-steps.ts'
import { type Page, shortId, time } from './parts.ts'
import { vectorStores } from './vector-stores.ts'
import { versionFigures } from './version-figures.ts'

export interface Versions {
  readonly versions: readonly PublishedVersion[]
  readonly figures: readonly VersionFigures[]
  /** A text states why they cannot be read. */
  readonly targets: readonly StoreTarget[] | string
}

export const NO_VERSIONS: Versions = { versions: [], figures: [], targets: [] }

export function versionsPage(
  { store, problem }: OutputState,
  { versions, figures, targets }: Versions,
  links: Links,
  commandOf?: CommandOf,
): Page {
  return {
    title: 'Versions',
    sections: [
      {
        id: 'head',
        body: html`<h1>Versions <small class="url">${store.url}</small></h1>${problem !== undefined && html`<p class="problem" role="alert">The store does not answer: ${problem}</p>`}`,
      },
      { id: 'stores', body: vectorStores(targets, store.url, links) },
      { id: 'figures', body: versionFigures(figures) },
      {
        id: 'versions',
        body:
          versions.length === 0
            ? html`<p>Nothing is published yet.</p>`
            : html`<ol class="versions">${versions.map((version, i) => entry(store.url, version, { current: versions[0], previous: versions[i + 1], links, commandOf }))}</ol>`,
      },
    ],
  }
}

function entry(
  output: string,
  { version, run, model, at, action, by, reason, despite, unjudgedGates }: PublishedVersion,
  {
    current,
    previous,
    links,
    commandOf,
  }: {
    readonly current: PublishedVersion | undefined
    readonly previous: PublishedVersion | undefined
    readonly links: Links
    readonly commandOf: CommandOf | undefined
  },
): Html {
  const isCurrent = version === current?.version
  return html`<li class="card"><h2>Version ${version}${isCurrent && html` <span class="pill good"><span aria-hidden="true">✓</span> current</span>`}</h2>
<p><a href="${links.run(output, run)}">${shortId(run)}</a> · ${model ?? 'model unknown: the run is deleted'}</p>
<p>${at === null ? 'At an unknown time' : time(Date.parse(at))}: ${action} by ${by ?? 'an unknown actor'}${reason !== null && html`: ${reason}`}</p>
${despite.map(each => html`<p class="warnline">Despite: ${each}</p>`)}${unjudgedGates.map(each => html`<p class="warnline">Not judged: ${each}</p>`)}
${previous !== undefined && previous.run !== run && html`<p><a href="${links.compare(output, previous.run, run)}">Compare with version ${previous.version}</a></p>`}
${run !== current?.run && model !== null && stepLines(['roll_back'], { output, run }, commandOf).map(line => html`<p>${line}</p>`)}</li>`
}
