// The log of a Delta Lake table, action by action. test/source has tables that delta-rs wrote.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readDeltaSnapshot } from '../src/tables/delta-log.ts'

let folder: string
let tables = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-delta-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** The current files of a table with these commits, by name. */
async function filesOf(commits: Readonly<Record<string, readonly object[]>>): Promise<string[]> {
  const table = join(folder, String(tables++))
  await mkdir(join(table, '_delta_log'), { recursive: true })
  for (const [name, actions] of Object.entries(commits)) {
    const path = join(table, '_delta_log', /^\d+$/.test(name) ? `${name.padStart(20, '0')}.json` : name)
    await writeFile(path, actions.map(action => `${JSON.stringify(action)}\n`).join(''))
  }
  await using store = await openStore(table)
  return [...(await readDeltaSnapshot(store)).files.keys()]
}

const protocol = { protocol: { minReaderVersion: 1, minWriterVersion: 2 } }
const add = (path: string, more: object = {}) => ({ add: { path, size: 10, partitionValues: {}, ...more } })
const remove = (path: string, more: object = {}) => ({ remove: { path, ...more } })
const vector = { storageType: 'u', pathOrInlineDv: 'ab^-aqEH.-t@S}K{vb[*k^', offset: 1, sizeInBytes: 36 }

test('a removed file is not current, and is again when it is added again', async () => {
  expect(await filesOf({ 0: [protocol, add('a'), add('b')], 1: [remove('a')] })).toEqual(['b'])
  expect(await filesOf({ 0: [protocol, add('a')], 1: [remove('a')], 2: [add('a')] })).toEqual(['a'])
})

test('paths are URLs, and files are in the order of their keys', async () => {
  expect(await filesOf({ 0: [add('l=b%2520c/x'), add('a%20b')] }).catch(String)).toEqual(['a b', 'l=b%20c/x'])
})

test('a file is removed by a path that another writer encoded in another way', async () => {
  expect(await filesOf({ 0: [add('a%20b'), add('c')], 1: [remove('a b')] })).toEqual(['c'])
})

test('a file whose deletion vector was removed is current, in either order of the actions', async () => {
  const commits = { 0: [add('a')], 1: [remove('a'), add('a', { deletionVector: vector })] }
  for (const last of [
    [add('a'), remove('a', { deletionVector: vector })],
    [remove('a', { deletionVector: vector }), add('a')],
  ])
    expect(await filesOf({ ...commits, 2: last })).toEqual(['a'])
})

test.each<[string, Record<string, object[]>, RegExp]>([
  [
    'deletion vectors',
    { 0: [add('a'), add('b')], 1: [add('b', { deletionVector: vector }), remove('b')] },
    /marks deleted rows of 1 of its 2 files by deletion vectors, such as "b"/,
  ],
  [
    'column mapping',
    { 0: [{ metaData: { configuration: { 'delta.columnMapping.mode': 'name' } } }, add('a')] },
    /maps its columns to other names \(column mapping by name\)/,
  ],
  [
    'a feature that we do not know',
    { 0: [{ protocol: { minReaderVersion: 3, readerFeatures: ['timestampNtz', 'variantType'] } }] },
    /uses the features variantType,/,
  ],
  ['a later protocol', { 0: [{ protocol: { minReaderVersion: 4 } }] }, /needs a reader of version 4/],
  ['a shallow clone', { 0: [add('s3://elsewhere/a')] }, /names a file outside of its folder/],
  ['a path that leaves the table', { 0: [add('a/%2E%2E/../b')] }, /names a file outside of its folder/],
  ['an escaped path that leaves it', { 0: [add('%2E%2E/b')] }, /names a file outside of its folder/],
  ['an invalid URL', { 0: [add('a%')] }, /names a file by the invalid URL "a%"/],
  [
    'partition values that its folders do not have',
    { 0: [add('x/a', { partitionValues: { lang: 'de' } })] },
    /states the partition column "lang" of "x\/a" in its log alone/,
  ],
  ['a missing commit', { 0: [add('a')], 2: [add('b')] }, /has no commit of version 1 in its log, up to/],
  [
    'a checkpoint of version 2',
    { 7: [add('b')], '00000000000000000006.checkpoint.80a083e8.json': [] },
    /has a checkpoint of version 2, and version 0 is not in its log/,
  ],
  ['a damaged commit', { 0: [add('a')], '00000000000000000001.json': [['x'] as object] }, /cannot be read/],
])('a table is refused with the reason: %s', async (_, commits, message) => {
  await expect(filesOf(commits)).rejects.toMatchObject({
    code: 'SOURCE_FORMAT',
    message: expect.stringMatching(message),
  })
})

test('of a checkpoint in several parts an unfinished one is not read', async () => {
  const parts = { '00000000000000000001.checkpoint.0000000001.0000000002.parquet': [{}] }
  expect(await filesOf({ 0: [add('a')], 1: [add('b')], ...parts })).toEqual(['a', 'b'])
})
