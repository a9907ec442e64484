// Applies the values of reembed.yaml to a command: flag > environment > file > default. Commander
// records the source of each value, so the file sets only options without flag and variable.

import { fileURLToPath } from 'node:url'
import { absoluteUrl, messageOf, ReembedError } from '@reembed/shared'
import type { FollowedStore } from '@reembed/sinks'
import type { Command, Option } from 'commander'
import { CONFIG_KEYS, PATH_KEYS, SECRETS } from './config-keys.ts'
import { type ConfigFile, expand, readConfigFile } from './file.ts'
import { schemaOf } from './schema.ts'

/** Commands that may run concurrently with a worker that uses the same config file. */
const BESIDE: ReadonlySet<string> = new Set(['producer', 'exporter'])

/**
 * Applies the file of `--config`, or the one in the working folder, to the options of `command`.
 */
export async function applyConfig(
  command: Command,
  program: Command,
  env: NodeJS.ProcessEnv,
): Promise<ConfigFile | undefined> {
  const file = await readConfigFile(command.getOptionValue('config') as string | undefined, schemaOf(program))
  if (file === undefined) return undefined
  for (const option of command.options) {
    const name = option.attributeName()
    const key = CONFIG_KEYS[name]
    const source = command.getOptionValueSource(name)
    if (key === undefined || (source !== undefined && source !== 'default')) continue
    // Only one process can listen on an address: a producer or an exporter on the same machine
    // needs another one.
    if (key === 'worker.metrics' && BESIDE.has(command.name())) continue
    const value = valueAt(file, key)
    // `rejects --csv` takes no value: it is not the dialect of the source.
    if (value === undefined || (option.isBoolean() && typeof value !== 'boolean')) continue
    command.setOptionValueWithSource(name, parse(option, value, file, key, env), 'config')
  }
  const sinkOption = command.options.find(option => option.attributeName() === 'sinks')
  const isGiven = command.getOptionValueSource('sinks') !== undefined
  const configured = sinksOf(file, env, { needed: sinkOption !== undefined && !isGiven })
  const { to, name = 'embeddings' } = command.opts()
  const target = configured.find(sink => sink.url === to && sink.name === name)
  command.setOptionValueWithSource('sinkKeep', target?.keep, 'config')
  const sinks = configured.map(({ url }) => url)
  const consumers = [valueAt(file, 'export.layout') ?? [], sinks].flat()
  if (!isGiven) command.setOptionValueWithSource('sinks', sinks, 'config')
  if (consumers.length > 0) command.setOptionValueWithSource('consumers', consumers, 'config')
  for (const { key, variable } of SECRETS) {
    const value = valueAt(file, key)
    if (typeof value !== 'string' || env[variable]) continue
    // An unset variable is not an error: only some processes need the secret (a worker needs no
    // hook secret).
    const secret = expandIfSet(value, file.locate(key), env)
    if (secret !== undefined) env[variable] = secret
  }
  return file
}

/**
 * The vector stores of the file. Unless they are needed, a URL with a variable that is not set
 * stays as it is written: only some processes have the password of a store.
 */
export function sinksOf(
  file: ConfigFile,
  env: NodeJS.ProcessEnv,
  { needed }: { readonly needed: boolean },
): readonly (FollowedStore & { readonly keep?: number })[] {
  const written = (file.content.sinks ?? []) as readonly FollowedStore[]
  return written.map((sink, at) => {
    const where = file.locate(`sinks.${at}.url`)
    return {
      ...sink,
      url: needed ? expand(sink.url, where, env) : (expandIfSet(sink.url, where, env) ?? sink.url),
    }
  })
}

/** The value that the file has at 'section.key', as written. */
export function valueAt({ content }: ConfigFile, keyPath: string): unknown {
  const [section = '', key = ''] = keyPath.split('.')
  return (content[section] as Record<string, unknown> | undefined)?.[key]
}

/**
 * The address of the output that the file describes, as the URL of its store; undefined if the file
 * leaves it out, or takes it from a variable that is not set.
 */
export function outputOf(file: ConfigFile, env: NodeJS.ProcessEnv): string | undefined {
  const uri = valueAt(file, 'output.uri')
  const text = typeof uri === 'string' ? expandIfSet(uri, file.locate('output.uri'), env) : undefined
  if (text === undefined) return undefined
  return text.startsWith('file:///') ? fileURLToPath(text) : absoluteUrl(text, file.folder)
}

function parse(
  option: Option,
  value: unknown,
  file: ConfigFile,
  key: string,
  env: NodeJS.ProcessEnv,
): unknown {
  const where = file.locate(key)
  if (typeof value === 'boolean') return value
  const one = (given: unknown): unknown => {
    const text = expand(String(given), where, env)
    // Paths of a file are relative to its folder.
    if (PATH_KEYS.has(key)) return absoluteUrl(text, file.folder)
    try {
      return option.parseArg && !option.variadic ? option.parseArg(text, undefined) : text
    } catch (error) {
      throw new ReembedError('USAGE', `${where}: '${key}' is ${JSON.stringify(text)}: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }
  if (option.variadic) return [value].flat().map(one)
  if (!Array.isArray(value)) return one(value)
  if (value.length === 1) return one(value[0])
  throw new ReembedError(
    'USAGE',
    `${where}: '${key}' has ${value.length} values, but this command accepts one: choose it with ${option.long}`,
  )
}

function expandIfSet(value: string, where: string, env: NodeJS.ProcessEnv): string | undefined {
  try {
    return expand(value, where, env)
  } catch {
    return undefined
  }
}
