// What a plan means, for people.

import type { PlannedRun } from '@reembed/producer'
import { bytes, count, counted } from './format.ts'

export function describePlan({ head }: PlannedRun): [string, string][] {
  const { model, fields, prompt } = head.recipe
  const rows: [string, string][] = [
    ['run', head.run],
    [
      'source',
      `${head.source}  ${counted(head.objects, 'object')}, ${bytes(head.bytes)}, about ${counted(head.estimatedDocuments, 'document')}`,
    ],
    ['fields', fields ? `id: ${fields.id}, text: ${fields.text}` : 'one document a file, id = its path'],
    ['model', `${model.id}@${model.revision ?? 'unstated'}  ${model.dimensions} dimensions`],
    [
      'shards',
      `${count(head.shards)}, about ${bytes((4 * model.dimensions * head.estimatedDocuments) / head.shards)} of vectors each`,
    ],
  ]
  if (prompt) rows.push(['prompt', JSON.stringify(prompt)])
  return rows
}
