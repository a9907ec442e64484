import { counted } from '@reembed/render'
import { EXIT, maskPasswords } from '@reembed/shared'
import type { Command, Option } from 'commander'
import { valueAt } from '../config/apply.ts'
import { type ConfigCheck, checkConfig } from '../config/check.ts'
import { CONFIG_KEYS, optionsOf, SECRETS } from '../config/config-keys.ts'
import { readConfigFile } from '../config/file.ts'
import { schemaOf, toEditorSchema } from '../config/schema.ts'
import type { JsonFlag } from '../options.ts'
import { print } from '../output.ts'

interface Row {
  readonly key: string
  readonly value: unknown
  readonly origin: string
}

/** `reembed config`: each value with its origin, as the other commands read it. */
export async function config(
  flags: JsonFlag & { readonly schema?: boolean; readonly check?: boolean; readonly config?: string },
  self: Command,
): Promise<void> {
  const program = self.parent ?? self
  if (flags.schema) return print(true, toEditorSchema(program), '')
  const file = await readConfigFile(flags.config, schemaOf(program))
  if (flags.check) {
    // `config` has the options of all commands.
    const checked = await checkConfig(file, self.opts())
    return concludeCheck(flags, file?.name ?? null, checked)
  }
  const at = (key: string): string => file?.locate(key) ?? ''
  const rows: Row[] = []
  const options = optionsOf(self)
  for (const [name, key] of Object.entries(CONFIG_KEYS)) {
    const option = options.get(name)
    const value = self.getOptionValue(name) as unknown
    if (option && value !== undefined)
      rows.push({ key, value: masked(value), origin: originOf(self, option, at(key)) })
  }
  for (const { key, variable } of SECRETS) {
    if (!process.env[variable]) continue
    const fromFile = file && valueAt(file, key) !== undefined
    rows.push({ key, value: MASK, origin: fromFile ? at(key) : `environment ${variable}` })
  }
  rows.sort((a, b) => (a.key < b.key ? -1 : 1))
  const width = (pick: (row: Row) => string): number => Math.max(0, ...rows.map(row => pick(row).length))
  const [keys, values] = [width(({ key }) => key), width(({ value }) => shown(value))]
  print(
    flags.json,
    { file: file?.name ?? null, values: rows },
    [
      ...(file ? [] : ['no reembed.yaml in this folder: `reembed init` writes one']),
      ...rows.map(
        ({ key, value, origin }) => `${key.padEnd(keys)}  ${shown(value).padEnd(values)}  ${origin}`,
      ),
    ].join('\n'),
  )
}

function concludeCheck(
  { json }: JsonFlag,
  file: string | null,
  { faults, schedules, gates }: ConfigCheck,
): void {
  const valid = `${file ?? 'the options'}: valid, with ${counted(schedules, 'schedule')} and ${counted(gates, 'gate')}`
  print(
    json,
    { file, valid: faults.length === 0, faults, schedules, gates },
    [...faults, ...(faults.length === 0 ? [valid] : [])].join('\n'),
  )
  if (faults.length > 0) process.exitCode = EXIT.usage
}

const MASK = '***'

function originOf(self: Command, option: Option, where: string): string {
  const source = self.getOptionValueSource(option.attributeName())
  if (source === 'cli') return `flag ${option.long}`
  if (source === 'env') return `environment ${option.envVar}`
  return source === 'config' ? where : 'default'
}

const shown = (value: unknown): string => {
  if (Array.isArray(value)) return value.map(shown).join(', ')
  return typeof value === 'string' && value !== '' ? value : JSON.stringify(value)
}

function masked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(masked)
  return typeof value === 'string' ? maskPasswords(value, MASK) : value
}
