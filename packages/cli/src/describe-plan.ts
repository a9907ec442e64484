// What a plan means, for people.

import type { PlannedRun } from '@reembed/producer'
import { bytes, count, counted } from './format.ts'

/** 'id: id, text: {{ title }} {{ text }}, carried: lang (string)' */
function fieldsOf({ recipe: { fields, template }, layout }: PlannedRun['head']): string {
  const text = template === undefined ? fields?.text : JSON.stringify(template)
  const carried = (layout?.carry ?? []).map(({ name, type }) => `${name} (${type})`).join(', ')
  return `id: ${fields?.id}, text: ${text}${carried && `, carried: ${carried}`}`
}

export function describePlan({ head }: PlannedRun): [string, string][] {
  const { model, fields, prompt } = head.recipe
  const rows: [string, string][] = [
    ['run', head.run],
    [
      'source',
      `${head.source}  ${counted(head.objects, 'object')}, ${bytes(head.bytes)}, about ${counted(head.estimatedDocuments, 'document')}`,
    ],
    ['fields', fields ? fieldsOf(head) : 'one document a file, id = its path'],
    ['model', `${model.id}@${model.revision ?? 'unstated'}  ${model.dimensions} dimensions`],
    [
      'shards',
      `${count(head.shards)}, about ${bytes((4 * model.dimensions * head.estimatedDocuments) / head.shards)} of vectors each`,
    ],
  ]
  if (prompt) rows.push(['prompt', JSON.stringify(prompt)])
  return rows
}
