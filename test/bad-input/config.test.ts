// Bad inputs 33 to 42: what people write into flags, variables and reembed.yaml. None of them
// starts anything.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei } from '@reembed/local'
import { expect } from 'vitest'
import { temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'
import { bad, expectSaid, good, saidIn } from './parts.ts'

interface Said {
  readonly code: number
  readonly said: string
}

/** A command in a folder with a corpus; `$` in an argument or variable stands for the folder. */
async function given(
  args: readonly string[],
  { yaml, env = {} }: { readonly yaml?: string; readonly env?: Record<string, string> } = {},
): Promise<Said> {
  await using folder = await temporaryFolder()
  await mkdir(join(folder.path, 'corpus'))
  await writeJsonl(join(folder.path, 'corpus', 'a.jsonl'), good())
  const config = join(folder.path, 'reembed.yaml')
  if (yaml !== undefined) await writeFile(config, yaml)
  const placed = args.map(arg => arg.replaceAll('$', folder.path))
  const { code, stderr } = await inProcess(
    [...placed, ...(yaml === undefined ? [] : ['--config', config])],
    env,
  )
  return { code, said: saidIn(stderr.replaceAll(folder.path, '<folder>')) }
}

const places = ['--source', '$/corpus', '--output', '$/vectors']
const nowhere = ['--endpoint', 'http://127.0.0.1:1']
const all = (...said: Said[]): Said => {
  expect(new Set(said.map(one => one.code)).size).toBe(1)
  return { code: said[0]?.code ?? -1, said: said.map(one => one.said).join(' | ') }
}

bad(33, async input => {
  const yaml = 'version: 1\nsource:\n  url: ./corpus\nlimits:\n  max_reject: 1%\n'
  expectSaid(input, await given(['run', ...places, ...nowhere], { yaml }))
})

bad(34, async input => {
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }), maxClientBatchSize: 16 })
  expectSaid(input, await given(['endpoint', 'bench', '--endpoint', tei.url, '--texts', '17']))
})

bad(35, async input => {
  const run = (value: string): Promise<Said> => given(['run', ...places, ...nowhere, '--concurrency', value])
  expectSaid(input, all(await run('0'), await run('NaN')))
})

bad(36, async input => {
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  expectSaid(input, await given(['run', ...places, '--endpoint', tei.url, '--dimensions', '9']))
})

bad(37, async input => {
  const env = { REEMBED_ENDPOINT_TOKEN: 'very-secret' }
  const made = await given(['run', ...places, '--endpoint', 'http://tei.example:8080'], { env })
  expect(made.said).not.toContain('very-secret')
  expectSaid(input, made)
})

bad(38, async input => {
  const made = await given(['run', '--source', '$/corpus', '--output', 's3://bucket/x', ...nowhere], {
    env: { AWS_REGION: 'us-east-1' },
  })
  expectSaid(input, made)
})

const scheduled = (...schedules: string[]): string =>
  `version: 1\nsource: { uri: ./corpus }\noutput: { uri: ./vectors }\nschedules:\n${schedules.map(one => `  - { ${one} }\n`).join('')}`

bad(39, async input => {
  const ls = (schedule: string): Promise<Said> => given(['schedule', 'ls'], { yaml: scheduled(schedule) })
  expectSaid(
    input,
    all(
      await ls('name: nightly, cron: "61 3 * * *"'),
      await ls('name: nightly, cron: "0 3 * * *", timezone: Europe/Berlinn'),
    ),
  )
})

bad(40, async input => {
  const yaml = scheduled('name: nightly, cron: "0 3 * * *"', 'name: nightly, cron: "0 4 * * *"')
  expectSaid(input, await given(['schedule', 'ls'], { yaml }))
})

bad(41, async input => {
  expectSaid(input, await given(['run', '--source', '$/corpus', '--output', '$/corpus/out', ...nowhere]))
})

bad(42, async input => {
  const yaml = 'version: 1\nqueue: { lock_seconds: 1 }\n'
  expectSaid(input, await given(['run', ...places, ...nowhere], { yaml }))
})
