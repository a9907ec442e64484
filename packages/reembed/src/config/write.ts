// Writes a first reembed.yaml, with comments for the user: the options that were given, and the
// fields that were found in the corpus.

import { writeFile } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf, isUrl, maskPasswords, messageOf, ReembedError } from '@reembed/shared'
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { CONFIG_KEYS, FLAG_ONLY_OPTIONS, PATH_KEYS } from './config-keys.ts'

export interface FirstConfig {
  /** One line about the corpus. */
  readonly about: string
  /** Values by key, 'source.uri': those of the options, and those that were found. */
  readonly values: ReadonlyMap<string, unknown>
}

/** Writes a new file. @throws ReembedError USAGE if it exists or cannot be written */
export async function writeFirstConfig(file: string, given: FirstConfig): Promise<void> {
  await writeFile(file, textOf(file, given), { flag: 'wx' }).catch((error: unknown) => {
    throw new ReembedError('USAGE', `cannot write ${file} (${codeOf(error) ?? messageOf(error)})`)
  })
}

/** URLs that may hold a password: the file names the variable instead. */
const FROM_ENVIRONMENT: ReadonlyMap<string, string> = new Map([['queue.redis', 'REDIS_URL']])

/**
 * The values of the options that were given by flag or variable, by key.
 * @throws ReembedError USAGE for an option that belongs to one call and not into the file
 */
export function givenValues(command: Command): Map<string, unknown> {
  const values = new Map<string, unknown>()
  for (const option of command.options) {
    const name = option.attributeName()
    const source = command.getOptionValueSource(name)
    if (name === 'config' || (source !== 'cli' && source !== 'env')) continue
    const key = CONFIG_KEYS[name]
    if (key !== undefined) values.set(key, command.getOptionValue(name))
    else if (FLAG_ONLY_OPTIONS.has(name))
      throw new ReembedError(
        'USAGE',
        `${option.long} belongs to one call and cannot be in a file: leave it out here, and give it to \`reembed run\``,
      )
  }
  return values
}

/** Sections that a first file explains where they are not given. */
const HINTS: ReadonlyMap<string, string> = new Map([
  [
    'endpoint',
    '# TEI or an OpenAI-compatible server; without an endpoint, `reembed run` starts a small local model.\n# endpoint:\n#   url: http://tei:8080\n',
  ],
  [
    'queue',
    '# Without a queue, `reembed run` starts a private Redis. Keep a URL with a password in the environment.\n# queue:\n#   redis: ${REDIS_URL}\n',
  ],
])

function textOf(file: string, { about, values }: FirstConfig): string {
  const schema = from(file, fileURLToPath(new URL('../../reembed.schema.json', import.meta.url)))
  const sections = new Map<string, Record<string, unknown>>()
  for (const [keyPath, value] of values) {
    const [section = '', key = ''] = keyPath.split('.')
    sections.set(section, { ...sections.get(section), [key]: written(file, keyPath, value) })
  }
  const texts = Array.from(sections, ([section, keys]) => stringify({ [section]: keys }, { lineWidth: 0 }))
  const hints = Array.from(HINTS).flatMap(([section, hint]) => (sections.has(section) ? [] : [hint]))
  return [
    `# yaml-language-server: $schema=${schema}\nversion: 1\n`,
    `# ${about}\n${texts.join('\n')}`,
    ...hints,
  ].join('\n')
}

function written(file: string, keyPath: string, value: unknown): unknown {
  const isSecret = keyPath === 'source.uri' && maskPasswords(String(value), '') !== value
  const variable = isSecret ? 'REEMBED_SOURCE' : FROM_ENVIRONMENT.get(keyPath)
  if (variable !== undefined) return `\${${variable}}`
  // `$${` stands for `${` in the file.
  const text = (one: unknown): unknown => (typeof one === 'string' ? one.replaceAll('${', () => '$${') : one)
  if (PATH_KEYS.has(keyPath)) return text(from(file, String(value)))
  return Array.isArray(value) ? value.map(text) : text(value)
}

/** A path relative to the folder of `file`; URLs are not changed. */
function from(file: string, target: string): string {
  if (isUrl(target)) return target
  const path = relative(dirname(resolve(file)), resolve(target)) || '.'
  return path.startsWith('.') ? path : `./${path}`
}
