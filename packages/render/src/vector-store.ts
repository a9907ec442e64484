// What a load into a vector store and a switch of its searches did.

import type { LoadProof, Manifest } from '@reembed/protocol'
import type { LoadOutcome, SwitchOutcome } from '@reembed/sinks'
import { modelText } from './model.ts'
import { count, counted } from './numbers.ts'
import type { Row } from './rows.ts'

/** The rows of a finished load. */
export function loadRows({ record, proof, written, refused }: LoadOutcome): Row[] {
  const { address, target, name, run } = record
  const before = proof.shards - written.shards
  return [
    ['run', run],
    ['store', address],
    ['target', target],
    ['rows', `${count(proof.rows)}${before > 0 ? `, of ${counted(before, 'shard')} loaded before` : ''}`],
    ...refusedRows(proof.refused, refused),
    ['proof', proofText(proof)],
    ['next', `switch the name ${name} to it, when its run is the current version`],
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
