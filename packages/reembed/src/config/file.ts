// Reads reembed.yaml. An error names the file, the line and the key; the first error is reported.

import { dirname, resolve } from 'node:path'
import { closestMatch, codeOf, LIMITS, messageOf, ReembedError, readFileWithin } from '@reembed/shared'
import { type Document, isNode, LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { DEFAULT_FILE } from './config-keys.ts'
import type { Schema } from './schema.ts'

export interface ConfigFile {
  /** The path as given, for messages. */
  readonly name: string
  /** The folder that relative paths in the file start from. */
  readonly folder: string
  readonly document: Document
  readonly content: Readonly<Record<string, unknown>>
  /** 'reembed.yaml:7' for the key at 'source.uri'. */
  locate(keyPath: string): string
}

/**
 * Reads the named file, or `reembed.yaml` in the working folder if it exists.
 * @throws ReembedError USAGE with file, line and key, and for an unknown key the nearest known one
 */
export async function readConfigFile(
  name: string | undefined,
  schema: Schema,
): Promise<ConfigFile | undefined> {
  const path = name ?? DEFAULT_FILE
  const bytes = await readFileWithin(path, LIMITS.configBytes).catch((error: unknown) => {
    if (name === undefined && codeOf(error) === 'ENOENT') return undefined
    throw new ReembedError(
      'USAGE',
      `cannot read the config file ${path} (${codeOf(error) ?? messageOf(error)})`,
    )
  })
  return bytes === undefined ? undefined : parseConfigFile(String(bytes), path, schema)
}

export function parseConfigFile(text: string, name: string, schema: Schema): ConfigFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, logLevel: 'error' })
  const [fault] = document.errors
  if (fault) {
    const [first = ''] = fault.message.split('\n')
    throw new ReembedError(
      'USAGE',
      `${name}:${fault.linePos?.[0].line ?? 1}: ${first.replace(/ at line .*|; please use YAML.*/, '').replace(/^Maximum call stack.*/, 'nested too deeply')}`,
    )
  }
  const locate = (keyPath: string): string => `${name}:${lineOf(document, lines, keyPath.split('.'))}`
  const content = contentOf(document, name)
  const checked = schema.safeParse(content ?? {})
  if (!checked.success) {
    // A misspelt key is often the cause of a missing key, so it is reported first.
    const { issues } = checked.error
    const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]
    throw new ReembedError(
      'USAGE',
      issue
        ? messageFor(issue, content, locate, schema)
        : `${name} is not valid: compare it with its schema, \`reembed config --schema\``,
    )
  }
  return { name, folder: dirname(resolve(name)), document, content: checked.data, locate }
}

/** @throws ReembedError USAGE for an alias of nothing or of itself, which parsing accepts */
function contentOf(document: Document, name: string): unknown {
  try {
    return document.toJS()
  } catch (error) {
    throw new ReembedError('USAGE', `${name}: ${messageOf(error)}`)
  }
}

/** The line of a key, or of its nearest parent that exists. */
function lineOf(document: Document, lines: LineCounter, path: readonly string[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent = length > 1 ? document.getIn(path.slice(0, length - 1), true) : document.contents
    const pairs = (parent as { items?: { key?: unknown }[] } | null)?.items ?? []
    const key = path[length - 1]
    const pair = pairs.find(one => String(one.key) === key)
    const node = pair?.key ?? pairs[Number(key)]
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return 1
}

function messageFor(
  issue: z.core.$ZodIssue,
  content: unknown,
  locate: (keyPath: string) => string,
  schema: Schema,
): string {
  const path = issue.path.map(String)
  const keyPath = path.join('.')
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys
    const full = [...path, key].join('.')
    const near = closestMatch(key, keysAt(schema, path))
    const hint = near === undefined ? '' : ` (did you mean '${[...path, near].join('.')}'?)`
    return `${locate(full)}: unknown key '${full}'${hint}`
  }
  if (keyPath === 'version')
    return `${locate(keyPath)}: expected 'version: 1' in the file, the format that this reembed reads`
  if (keyPath === '')
    return `${locate(keyPath)}: expected keys like 'source:' and 'output:', got ${shown(content)}`
  const got = path.reduce<unknown>(
    (value, key) => (value as Record<string, unknown> | undefined)?.[key],
    content,
  )
  const expected = expectationOf(issue)
  return `${locate(keyPath)}: '${keyPath}' ${got === undefined ? 'is missing' : `is ${shown(got)}`}; expected ${expected}`
}

function expectationOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_union') {
    const [first] = issue.errors.flat()
    return first ? expectationOf(first) : 'another value'
  }
  if (issue.code === 'invalid_value') return issue.values.map(String).join(' or ')
  if (issue.code === 'invalid_type') return EXPECTED[issue.expected] ?? `a ${issue.expected}`
  if (issue.code === 'too_small') return issue.origin === 'string' ? 'some text' : `at least ${issue.minimum}`
  return issue.message.replace(/^Invalid input: expected /, '')
}

const EXPECTED: Readonly<Record<string, string>> = {
  int: 'a whole number',
  object: 'keys below it',
  array: 'a list',
}

const shown = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 60)

/** The keys that the schema has below `path`; a number in the path selects the items of a list. */
function keysAt(schema: Schema, path: readonly string[]): string[] {
  let at: z.core.JSONSchema.BaseSchema | undefined = z.toJSONSchema(schema, { io: 'input' })
  for (const key of path) {
    const next: z.core.JSONSchema._JSONSchema | z.core.JSONSchema._JSONSchema[] | undefined =
      at?.properties?.[key] ?? at?.items
    at = typeof next === 'object' && !Array.isArray(next) ? next : undefined
  }
  return Object.keys(at?.properties ?? {})
}

/**
 * Expands `${NAME}`, `${NAME:-otherwise}` and `$${` (a plain `${`) in a value.
 * @throws ReembedError USAGE with the variable that is not set
 */
export function expand(value: string, where: string, env: NodeJS.ProcessEnv): string {
  return value.replace(/\$?\$\{([^}]*)\}/g, (whole, inside: string) => {
    if (whole.startsWith('$$')) return whole.slice(1)
    const [, name, otherwise] = /^([A-Za-z_]\w*)(?::-(.*))?$/.exec(inside) ?? []
    if (name === undefined)
      throw new ReembedError('USAGE', `${where}: ${whole} is not \${NAME} or \${NAME:-otherwise}`)
    const found = env[name] || otherwise
    if (found === undefined)
      throw new ReembedError('USAGE', `${where}: the environment variable ${name} is not set`)
    return found
  })
}
