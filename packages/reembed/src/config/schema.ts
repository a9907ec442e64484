// The schema of reembed.yaml. Keys of options are derived from the options, so that a flag and its
// key stay equal; keys without a flag are declared here.

import type { Command, Option } from 'commander'
import { z } from 'zod'
import { positive, repeated } from '../options.ts'
import { CONFIG_KEYS, optionsOf, SECRETS } from './config-keys.ts'

/** A value from the environment: `${NAME}` or `${NAME:-otherwise}`. */
const FROM_ENVIRONMENT: z.ZodString = z.string().regex(/^\$\{[^}]*\}$/)

const schedule = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'a-z, 0-9 and -, at most 63')
    .describe('name of the schedule; the output stores the results of its ticks under this name'),
  cron: z.string().describe("five fields, like '0 3 * * *'"),
  timezone: z.string().default('UTC').describe('time zone of the cron expression, like Europe/Berlin'),
  when: z
    .enum(['always', 'model_changed', 'source_changed'])
    .default('always')
    .describe('plan a run at a due tick only if this changed since the newest run'),
})

const sink = z.strictObject({
  url: z.string().min(1).describe('URL of the vector store, like postgres://app@db.example/search'),
  name: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,39}$/, 'a-z, 0-9 and _, at most 40')
    .default('embeddings')
    .describe('name that searches use: a view or an alias'),
  switch: z
    .enum(['auto', 'manual'])
    .default('manual')
    .describe('auto: searches follow the current version; manual: `reembed switch` moves them'),
  update: z
    .boolean()
    .default(false)
    .describe('with switch: auto, write only what changed, in place, if the recipe is the same'),
  keep: z.int().min(0).optional().describe('`reembed drop` without a run keeps so many old tables'),
})

export type Schema = z.ZodType<Readonly<Record<string, unknown>>>

/**
 * The schema of the file for a program's options. Strict: an unknown key is an error, at every
 * level.
 */
export function schemaOf(program: Command): Schema {
  const options = optionsOf(program)
  const sections = new Map<string, Record<string, z.ZodType>>()
  const put = (keyPath: string, type: z.ZodType): void => {
    const [section = '', key = ''] = keyPath.split('.')
    sections.set(section, { ...sections.get(section), [key]: type.optional() })
  }
  for (const [name, keyPath] of Object.entries(CONFIG_KEYS)) {
    const option = options.get(name)
    if (option) put(keyPath, typeOf(option).describe(option.description))
  }
  for (const { key, variable } of SECRETS) {
    put(key, z.string().min(1).describe(`secret; write it as \${${variable}}`))
  }
  return z
    .strictObject({
      version: z.literal(1).describe('version of the file format'),
      ...Object.fromEntries(Array.from(sections, ([name, keys]) => [name, z.strictObject(keys).optional()])),
      schedules: z
        .array(schedule)
        .optional()
        .describe('times of scheduled runs; needs `reembed producer` or `reembed schedule tick`'),
      sinks: z
        .array(sink)
        .optional()
        .describe('vector stores that `reembed producer` keeps at the current version'),
    })
    .describe('reembed.yaml: one corpus, one output')
}

function typeOf(option: Option): z.ZodType {
  if (option.negate || option.isBoolean()) return z.boolean()
  const one = option.argChoices
    ? z.enum(option.argChoices)
    : option.parseArg === positive
      ? z.union([z.int().min(1), FROM_ENVIRONMENT])
      : option.parseArg && option.parseArg !== repeated
        ? z.union([z.string().min(1), z.number()])
        : z.string().min(option.defaultValue === '' ? 0 : 1)
  return option.variadic ? z.union([one, z.array(one).min(1)]) : one
}

/** The JSON Schema for completion and validation in editors. */
export const toEditorSchema = (program: Command): Record<string, unknown> =>
  z.toJSONSchema(schemaOf(program), { io: 'input' })
