// What the published versions scored and cost, from their manifests and gate reports.

import type { PublishedVersion } from '@reembed/producer'
import { getGateReport, readManifest } from '@reembed/protocol'
import { gatesKey } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface VersionFigures {
  readonly version: number
  readonly atMs: number | undefined
  readonly rows: number | undefined
  /** Null where the run was not priced. */
  readonly dollars: number | null
  readonly tokens: number | null
  /** Means over the judged queries, by metric: 'recall@10'. Empty if no query was judged. */
  readonly scores: Readonly<Record<string, number>>
}

/** Versions whose figures are read: two objects for each run. */
const MAX_VERSIONS = 50

/**
 * Reads the figures of the newest versions, oldest first.
 * @param versions newest first
 */
export async function readVersionFigures(
  store: Store,
  versions: readonly PublishedVersion[],
): Promise<readonly VersionFigures[]> {
  const known = new Map<string, Omit<VersionFigures, 'version' | 'atMs'>>()
  const figures: VersionFigures[] = []
  for (const { version, run, at } of versions.slice(0, MAX_VERSIONS).reverse()) {
    const found = known.get(run) ?? (await readFigures(store, run, judgedAgainst(versions, run)))
    known.set(run, found)
    figures.push({ version, atMs: at === null ? undefined : Date.parse(at), ...found })
  }
  return figures
}

/** The run of the version before the first version of `run`: its gates compared with it. */
function judgedAgainst(versions: readonly PublishedVersion[], run: string): string | undefined {
  const first = versions.findLastIndex(version => version.run === run)
  return versions[first + 1]?.run
}

async function readFigures(store: Store, run: string, baseline: string | undefined) {
  const [manifest, report] = await Promise.all([
    readManifest(store, run),
    getGateReport(store, gatesKey(run, baseline)),
  ])
  const means = Object.entries(report?.scores ?? {}).flatMap(([metric, scores]) =>
    scores.length === 0 ? [] : [[metric, scores.reduce((sum, score) => sum + score, 0) / scores.length]],
  )
  return {
    rows: manifest?.totals.rows,
    dollars: manifest?.actualCost?.dollars ?? null,
    tokens: manifest?.totals.tokens ?? null,
    scores: Object.fromEntries(means) as Record<string, number>,
  }
}
