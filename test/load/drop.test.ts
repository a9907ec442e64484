// Which old targets `drop --keep` deletes, against a stand-in of Elasticsearch. What each vector
// store does is in conformance.ts.

import { columnsOf, columnsUnder } from '@reembed/export'
import { type Manifest, putLoadRecord, putVersion } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import { dropOldTargets, loadRun, openVectorStore, switchStore, type VectorStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { expect, test } from 'vitest'
import { makeRun } from '../export/run.ts'
import { temporaryFolder } from '../parts/cli.ts'
import { startElasticsearch } from '../parts/elasticsearch.ts'

const name = 'wiki'
const targetOf = (letter: string): string => `${name}_${letter.repeat(12)}`

/** A vector store whose searches have used runs of these letters, one after another. */
async function used(letters: string) {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startElasticsearch('9.3.0'))
  const vectors = stack.use(await openVectorStore(`elasticsearch+${server.url}`))
  const folder = stack.use(await temporaryFolder())
  const output = stack.use(await openStore(folder.path))
  const manifests: Record<string, Manifest> = {}
  let version = 0
  const publish = (letter: string) => {
    version += 1
    return putVersion(output, { version, run: letter.repeat(26), seq: version, manifestSha256: '' })
  }
  const manifestOf = (letter: string): Manifest => {
    const manifest = manifests[letter]
    if (manifest) return manifest
    throw new Error(`no run ${letter}`)
  }
  const load = (letter: string) => loadRun(output, manifestOf(letter), vectors, { name })
  for (const letter of letters) {
    const { manifest } = await makeRun(output, { run: letter.repeat(26), shards: 1, rows: 4 })
    manifests[letter] = manifest
    await publish(letter)
    await load(letter)
    await switchStore(output, vectors, { name })
  }
  const drop = async (keep: number, by: VectorStore = vectors) => {
    const { dropped, refused, ...rest } = await dropOldTargets(output, by, keep, { name })
    return { ...rest, dropped: dropped.map(({ target }) => target), refused }
  }
  const held = stack.move()
  return {
    ...{ server, vectors, output, publish, manifestOf, load, drop },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

const broken = (vectors: VectorStore, drop: VectorStore['drop']): VectorStore =>
  Object.assign(Object.create(vectors), { drop })

test('after a rollback the target of the current version stays, and one that was loaded again', async () => {
  await using made = await used('abcd')
  await made.publish('a')
  await made.load('b')
  const again = await made.load('b')
  expect(await made.load('b')).toMatchObject({ record: { number: again.record.number } })
  expect(await made.drop(0)).toMatchObject({ dropped: [targetOf('c')], kept: [] })
  await switchStore(made.output, made.vectors, { name })
  expect(await made.vectors.current(name)).toBe(targetOf('a'))
})

test('an old target that a load or an update writes stays, and counts for none of the kept ones', async () => {
  await using made = await used('abcde')
  const [address, manifest] = [made.vectors.address, made.manifestOf('b')]
  // A program deleted the index, and a load of the run has begun to write it again.
  made.server.indices.delete(targetOf('b'))
  const extra = columnsUnder(columnsOf(manifest, { identifiers: true }))
  await made.vectors.prepare({ name, target: targetOf('b'), manifest, extra })
  const at = { address, name, target: targetOf('d'), run: 'e'.repeat(26) }
  await putLoadRecord(made.output, { ...at, action: 'update' })
  await putLoadRecord(made.output, { ...at, action: 'switch', target: targetOf('e') })
  expect(await made.drop(1)).toMatchObject({
    written: [targetOf('d'), targetOf('b')],
    kept: [targetOf('c')],
    dropped: [targetOf('a')],
  })
  expect([...made.server.indices.keys()].sort()).toEqual(['b', 'c', 'd', 'e'].map(targetOf))
})

test('without the name that searches use, no target is old', async () => {
  await using made = await used('abc')
  await fetch(`${made.server.url}/_aliases`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ actions: [{ remove: { index: targetOf('c'), alias: name } }] }),
  })
  expect(await made.drop(0)).toMatchObject({ current: undefined, dropped: [], kept: [], written: [] })
  expect(made.server.indices.size).toBe(3)
})

test('a target that searches are switched to between the check and its deletion stays', async () => {
  await using made = await used('abc')
  const raced = broken(made.vectors, async target => {
    await made.vectors.switchTo(name, target)
    await made.vectors.drop(target)
  })
  expect(await made.drop(0, raced)).toMatchObject({
    dropped: [],
    refused: [{ target: targetOf('a'), reason: expect.stringContaining('is in use (alias wiki)') }],
  })
  expect(await made.vectors.current(name)).toBe(targetOf('a'))
  expect(await made.vectors.count(targetOf('a'))).toBe(4)
})

test('a target that the vector store refuses to delete delays no other', async () => {
  await using made = await used('abcd')
  const codes = new Map([
    [targetOf('a'), 'USAGE'],
    [targetOf('b'), 'STORE_ACCESS_DENIED'],
  ] as const)
  const refusing = broken(made.vectors, async target => {
    const code = codes.get(target)
    if (code) throw new ReembedError(code, `no: ${code}`)
    await made.vectors.drop(target)
  })
  expect(await made.drop(0, refusing)).toMatchObject({
    dropped: [targetOf('c')],
    kept: [],
    refused: [
      { target: targetOf('a'), run: 'a'.repeat(26), reason: 'no: USAGE' },
      { target: targetOf('b'), run: 'b'.repeat(26), reason: 'no: STORE_ACCESS_DENIED' },
    ],
  })
})
