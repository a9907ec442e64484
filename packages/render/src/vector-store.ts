// What a load into a vector store and a switch of its searches did.

import type { StoreTarget } from '@reembed/producer'
import type { LoadProof, Manifest } from '@reembed/protocol'
import type { DroppedOld, LoadOutcome, LoadProgress, SwitchOutcome } from '@reembed/sinks'
import { modelText } from './model.ts'
import { count, counted, duration } from './numbers.ts'
import type { Row } from './rows.ts'

/** What a load is doing, for a progress line. */
export function loadStep({ step, shards, rows, leftMs }: LoadProgress, { shards: all }: Manifest): string {
  const left = leftMs === undefined || shards === all ? '' : `, ${duration(leftMs)} left`
  const of = `${count(shards)} of ${counted(all, 'shard')}, ${count(rows)} rows${left}`
  return { write: `loading, ${of}`, index: 'building the index', compare: 'comparing a sample' }[step]
}

/** The rows of a finished load. */
export function loadRows({ record, proof, written, refused, notUpdated }: LoadOutcome): Row[] {
  const { address, target, name, run } = record
  const { updated } = proof
  const before = updated ? 0 : proof.shards - written.shards
  return [
    ['run', run],
    ['store', address],
    ['target', target],
    ['rows', `${count(proof.rows)}${before > 0 ? `, of ${counted(before, 'shard')} loaded before` : ''}`],
    ...(updated
      ? ([
          [
            'updated',
            `from run ${updated.from}: ${counted(updated.written, 'row')} written, ${count(updated.deleted)} deleted; every deleted id was read back and is absent`,
          ],
        ] satisfies Row[])
      : []),
    ...(written.byWorkers === false && written.shards > 0
      ? ([
          [
            'alone',
            `${address.startsWith('lancedb:') ? 'LanceDB takes one writer' : `no worker of the queue names ${address}`}, so this process wrote the shards`,
          ],
        ] satisfies Row[])
      : []),
    ...(notUpdated === undefined ? [] : ([['whole', `loaded as a whole: ${notUpdated}`]] satisfies Row[])),
    ...refusedRows(proof.refused, refused),
    ['proof', proofText(proof)],
    updated ? ['searches', `${name} finds them now`] : ['searches', `${name} uses it after a switch`],
  ]
}

function refusedRows(total: number, examples: LoadOutcome['refused']): Row[] {
  if (total === 0) return []
  return [
    ['refused', `${counted(total, 'row')}, listed below runs/<run>/loads/ in the output`],
    ...examples.map(({ id, reason }): Row => ['', `${id}: ${reason}`]),
  ]
}

function proofText(proof: LoadProof): string {
  const how = proof.compared === 'bits' ? 'equal bit by bit' : 'equal by cosine'
  return `the store counts ${count(proof.rows)} rows; ${counted(proof.sampled, 'vector')} read back by id, ${how}`
}

/** A switch for programs: what queries must be embedded with, after and before. */
export function switchJson({ manifest, before, ...rest }: SwitchOutcome): Record<string, unknown> {
  const queries = ({ model, queryPrompt }: Manifest) => ({ model, queryPrompt: queryPrompt ?? null })
  return { ...rest, queries: queries(manifest), queriesBefore: before ? queries(before) : null }
}

/** The rows of a switch: what searches use, and what queries must be embedded with. */
export function switchRows({ name, target, from, changed, manifest, before }: SwitchOutcome): Row[] {
  return [
    ['searches', changed ? `${name} uses ${target} now` : `${name} used ${target} already`],
    ...(from !== undefined && changed ? ([['before', from]] satisfies Row[]) : []),
    ['queries', queryText(manifest)],
    ...(before && queryText(before) !== queryText(manifest)
      ? ([['', `before: ${queryText(before)}`]] satisfies Row[])
      : []),
    ...(before && before.spaceId !== manifest.spaceId
      ? ([['scores', 'the model differs: fit each threshold of a score again']] satisfies Row[])
      : []),
  ]
}

function queryText({ model, queryPrompt }: Manifest): string {
  const prompt =
    queryPrompt === undefined ? 'without a prompt' : `with the prompt ${JSON.stringify(queryPrompt)}`
  return `embed with ${modelText({ model })}, ${model.dimensions} dimensions, ${prompt}`
}

/** The rows of a drop of old targets. */
export const droppedRows = ({ name, current, kept, written, dropped, refused }: DroppedOld): Row[] => [
  [
    'searches',
    current === undefined ? `${name} does not exist: no target is old` : `${name} uses ${current}`,
  ],
  ...kept.map((target): Row => ['kept', target]),
  ...written.map((target): Row => ['kept', `${target}: a load or an update of it has not ended`]),
  ...dropped.map(({ target, run }): Row => ['dropped', `${target} of run ${run}`]),
  ...refused.map(({ target, run, reason }): Row => ['refused', `${target} of run ${run}: ${reason}`]),
]

/** A vector store whose searches use another run than the current version. */
export interface OtherRun {
  readonly address: string
  readonly name: string
  /** The run that searches use. */
  readonly run: string
  /** Whether the vector store also holds the run of the current version. */
  readonly isLoaded: boolean
}

/** The vector stores whose searches use another run: a publication changes no vector store. */
export const otherRuns = (targets: readonly StoreTarget[], current: string): OtherRun[] =>
  targets
    .filter(({ isUsed, run }) => isUsed && run !== current)
    .map(({ address, name, run }) => ({
      address,
      name,
      run,
      isLoaded: targets.some(
        other => other.address === address && other.name === name && other.run === current,
      ),
    }))
