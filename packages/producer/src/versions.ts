// The published versions of an output, as a person reads them.

import { readManifest, readVersions, type VersionAction } from '@reembed/protocol'
import type { Store } from '@reembed/store'

/** A published version: what, when, by which actor, why, and despite what. Null is unknown. */
export interface PublishedVersion {
  readonly version: number
  readonly run: string
  readonly seq: number
  /** 'model@revision'; null if gc deleted the run. */
  readonly model: string | null
  readonly at: string | null
  readonly action: VersionAction
  readonly by: string | null
  readonly reason: string | null
  readonly despite: readonly string[]
  readonly unjudgedGates: readonly string[]
}

/** Reads every published version, newest first; the first one is current. */
export async function listVersions(store: Store): Promise<PublishedVersion[]> {
  const found: PublishedVersion[] = []
  const models = new Map<string, string | null>()
  for await (const each of readVersions(store)) {
    const { version, run, seq, at, publishedMs, by = null, reason = null, overriddenReasons } = each
    if (!models.has(run)) {
      const manifest = await readManifest(store, run)
      models.set(run, manifest ? `${manifest.model.id}@${manifest.model.revision ?? 'unstated'}` : null)
    }
    found.push({
      version,
      run,
      seq,
      model: models.get(run) ?? null,
      at: at ?? (publishedMs === undefined ? null : new Date(publishedMs).toISOString()),
      action: each.action ?? (overriddenReasons ? 'force' : 'publish'),
      by,
      reason,
      despite: overriddenReasons ?? [],
      unjudgedGates: each.unjudgedGates ?? [],
    })
  }
  return found
}
