// What the tests of bad inputs have in common: `bad(17, ...)` is the test of input 17, and the
// message is compared with the table, paths and ports taken out.

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { LocatedReject } from '@reembed/evaluate'
import type { Totals } from '@reembed/protocol'
import { readEmbeddings } from '@reembed/shard'
import { openStore, type Store } from '@reembed/store'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'
import { BAD_INPUTS, type BadInput } from './table.ts'

/** The test of one bad input; it fails unless the test compared an output with the table. */
export function bad(number: number, prove: (input: BadInput) => Promise<void> | void): void {
  const input = BAD_INPUTS.find(one => one.number === number)
  if (input === undefined) throw new Error(`no bad input has the number ${number}`)
  test(`B${number}: ${input.what}`, async () => {
    await prove(input)
    expect.hasAssertions()
  })
}

export interface Embedded {
  readonly code: number
  /** The last line on stderr, and places in it by their names. */
  readonly said: string
  readonly stderr: string
  /** What `--json` printed. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields that it expects
  readonly result: any
  readonly rejects: readonly LocatedReject[]
  /** Of all rows. */
  readonly ids: readonly string[]
}

export interface Rig {
  readonly tei: string
  readonly redis: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly output?: string
  /** Called with the corpus folder before the command starts. */
  readonly prepare?: (source: string) => Promise<void>
}

/** `reembed run` over a folder with these files, from beginning to end. Counts always balance. */
export async function embedFiles(
  files: Readonly<Record<string, string | Uint8Array>>,
  { tei, redis, args = [], env = {}, output: given, prepare }: Rig,
): Promise<Embedded> {
  await using folder = await temporaryFolder()
  const source = join(folder.path, 'corpus')
  await mkdir(source)
  for (const [name, body] of Object.entries(files)) {
    await mkdir(dirname(join(source, name)), { recursive: true })
    await writeFile(join(source, name), body)
  }
  await prepare?.(source)
  const output = given ?? join(folder.path, 'vectors')
  const places = ['--source', source, '--output', output, '--endpoint', tei, '--redis', redis]
  const { code, stdout, stderr } = await inProcess(['run', ...places, '--json', ...args], env)
  const result = stdout === '' ? undefined : JSON.parse(stdout)
  if (result) expect(result.totals.documents).toBe(result.totals.rows + result.totals.rejects)
  const named = (text: string): string =>
    text
      .replaceAll(source, '<source>')
      .replaceAll(output, '<output>')
      .replaceAll(folder.path, '<folder>')
      .replaceAll(tei, '<endpoint>')
      .replaceAll(redis, '<redis>')
      .replaceAll(redis.replace(/\/\/.*@/, '//'), '<redis>')
  return {
    code,
    said: saidIn(named(stderr)),
    stderr,
    result,
    ...(result && !output.startsWith('s3://') ? await writtenIn(output, result) : { rejects: [], ids: [] }),
  }
}

/** What the store holds of a run, as many as the command says. */
async function writtenIn(
  output: string,
  { run, totals }: { readonly run: string; readonly totals: Totals },
): Promise<Pick<Embedded, 'rejects' | 'ids'>> {
  await using store = await openStore(output)
  const ids: string[] = []
  for await (const batch of readEmbeddings(output, { run })) ids.push(...batch.ids)
  const rejects = await rejectsIn(store, run)
  expect([ids.length, rejects.length]).toEqual([totals.rows, totals.rejects])
  return { ids, rejects }
}

/** The last line, without the name of the command and with ids by their name. */
export const saidIn = (stderr: string): string =>
  (stderr.trimEnd().split('\n').at(-1) ?? '')
    .replace(/^reembed: /, '')
    .replace(/\b[a-z2-7]{26}\b/g, '<run>')
    .replace(/127\.0\.0\.1:\d+/g, '<address>')

async function rejectsIn(store: Store, run: string): Promise<LocatedReject[]> {
  const listed = Buffer.from(await store.get(`runs/${run}/rejects.jsonl`)).toString()
  return listed
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line))
}

export const jsonl = (...records: unknown[]): string =>
  records.map(record => `${JSON.stringify(record)}\n`).join('')

/** Valid documents beside the bad ones. */
export const good = (count = 3): { id: string; text: string }[] =>
  Array.from({ length: count }, (_, i) => ({ id: `good${i}`, text: `a good text, number ${i}` }))

/** Compares the message and the exit code with the table. */
export function expectSaid(
  { says, exit }: BadInput,
  said: { readonly said: unknown; readonly code: unknown },
): void {
  expect({ code: said.code, said: said.said }).toEqual({ code: exit, said: says })
}

/** A reject as the table has it. */
export const told = (reject: LocatedReject | undefined): string | undefined =>
  reject && `${reject.reason}: ${reject.message}`

/** Holds an error to the table. */
export async function expectThrown(input: BadInput, work: Promise<unknown>): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  const { message, exitCode } = Object(error)
  expectSaid(input, { code: exitCode, said: typeof message === 'string' ? saidIn(message) : error })
}
