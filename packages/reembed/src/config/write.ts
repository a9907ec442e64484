// Writes a first reembed.yaml, with the comments that a person wants to find in it.

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

/** Writes `file`, which must not be there. @throws ReembedError USAGE */
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
# TEI or an OpenAI-compatible server; without one, \`reembed run\` starts a small model on this machine.
${endpoint ? stringify({ endpoint: { url: endpoint } }) : '# endpoint:\n#   url: http://tei:8080\n'}
# Without a queue, \`reembed run\` starts a private Redis. An address with a password stays in the environment.
${redis ? stringify({ queue: { redis: variable('REDIS_URL') } }) : `# queue:\n#   redis: ${variable('REDIS_URL')}\n`}`
}

const variable = (name: string): string => `\${${name}}`

/** As seen from the folder of `file`; URLs stay as they are. */
function from(file: string, target: string): string {
  if (/^[a-z0-9]+:\/\//i.test(target)) return target
  const path = relative(dirname(resolve(file)), resolve(target)) || '.'
  return path.startsWith('.') ? path : `./${path}`
}
