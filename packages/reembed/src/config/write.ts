// Writes a first reembed.yaml, with comments for the user.

import { writeFile } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf, messageOf, ReembedError } from '@reembed/shared'
import { stringify } from 'yaml'

export interface FirstConfig {
  /** One line about the corpus. */
  readonly about: string
  readonly source: string
  readonly format?: string | undefined
  readonly fields: { readonly id: string; readonly text: string } | null
  readonly output: string
  readonly endpoint?: string | undefined
  readonly redis?: string | undefined
}

/** Writes a new file. @throws ReembedError USAGE if it exists or cannot be written */
export async function writeFirstConfig(file: string, given: FirstConfig): Promise<void> {
  await writeFile(file, textOf(file, given), { flag: 'wx' }).catch((error: unknown) => {
    throw new ReembedError('USAGE', `cannot write ${file} (${codeOf(error) ?? messageOf(error)})`)
  })
}

function textOf(
  file: string,
  { about, source, format, fields, output, endpoint, redis }: FirstConfig,
): string {
  const schema = from(file, fileURLToPath(new URL('../../reembed.schema.json', import.meta.url)))
  return `# yaml-language-server: $schema=${schema}
version: 1

# ${about}
${stringify({ source: { uri: from(file, source), ...(format && { format }), ...fields } })}
${stringify({ output: { uri: from(file, output) } })}
# TEI or an OpenAI-compatible server; without an endpoint, \`reembed run\` starts a small local model.
${endpoint ? stringify({ endpoint: { url: endpoint } }) : '# endpoint:\n#   url: http://tei:8080\n'}
# Without a queue, \`reembed run\` starts a private Redis. Keep a URL with a password in the environment.
${redis ? stringify({ queue: { redis: variable('REDIS_URL') } }) : `# queue:\n#   redis: ${variable('REDIS_URL')}\n`}`
}

const variable = (name: string): string => `\${${name}}`

/** A path relative to the folder of `file`; URLs are not changed. */
function from(file: string, target: string): string {
  if (/^[a-z0-9]+:\/\//i.test(target)) return target
  const path = relative(dirname(resolve(file)), resolve(target)) || '.'
  return path.startsWith('.') ? path : `./${path}`
}
