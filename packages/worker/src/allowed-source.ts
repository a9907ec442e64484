// Which corpora a worker reads. A plan names its corpus, and a party with write access to the
// output can write a plan: it must not lead a worker to what its machine or its credentials can
// read besides.

import { posix } from 'node:path'
import { filePathOf, isDirectSource } from '@reembed/protocol'
import { isUrl, ReembedError } from '@reembed/shared'

/** A healthy worker may serve the run meanwhile. */
const DELAY_MS = 2_000

/**
 * Checks the source of a plan. Given sources allow themselves and what lies below them. Without
 * them, every place except a local folder for an output that is not local is allowed.
 * @throws ReembedError JOB_INVALID: requeue for a source that this worker must not read, never for
 * one that no worker reads
 */
export function requireAllowedSource(
  source: string,
  output: string,
  sources: readonly string[] | undefined,
): void {
  if (!isDirectSource(source)) {
    throw new ReembedError(
      'JOB_INVALID',
      `no worker reads the corpus ${JSON.stringify(source)}: its path contains dots or control characters, or is no path of this machine. Plan again with the plain path`,
    )
  }
  // The copy of a table lies in the output itself.
  const isAllowed =
    allows(`${output}/tables`, source) ||
    (sources === undefined ? !isLocal(source) || isLocal(output) : sources.some(one => allows(one, source)))
  if (isAllowed) return
  const why =
    sources === undefined
      ? `a local folder is not read for the output ${output}, unless it is among the sources of the worker`
      : `its sources are ${sources.join(', ')}`
  throw new ReembedError(
    'JOB_INVALID',
    `this worker does not read the corpus ${source}: ${why}. Start a worker with that source if the plan is right`,
    { option: 'worker.sources', retry: 'requeue', retryAfterMs: DELAY_MS },
  )
}

const isLocal = (url: string): boolean => /^file:/i.test(url) || !isUrl(url)

/**
 * Whether `source` is the place that `given` names, or lies below it. The plan of one file, or of a
 * glob, names the folder.
 */
function allows(given: string, source: string): boolean {
  const glob = given.search(/[*?[{]/)
  const place = glob < 0 ? given : given.slice(0, given.lastIndexOf('/', glob) + 1)
  const [from, of] = [comparable(place), comparable(source)]
  return of.startsWith(from) || (glob < 0 && of === comparable(posix.dirname(given)))
}

/** A form with one slash at its end and without the revision of a dataset, to compare prefixes. */
function comparable(url: string): string {
  if (url.startsWith('hf://')) return withSlash(url.replace(/^(hf:\/\/datasets\/[^/@]+\/[^/@]+)@[^/]+/, '$1'))
  const place = /^file:/i.test(url) ? (filePathOf(url) ?? url) : url
  if (isLocal(url)) return withSlash(posix.resolve(place))
  return withSlash(url.replace(/^([a-z0-9+]+:\/\/[^/]+)\/+/i, '$1/'))
}

const withSlash = (url: string): string => `${url.replace(/\/+$/, '')}/`
