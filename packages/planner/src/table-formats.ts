// Recognises folders of table formats, whose data files alone are not the table: some of them were
// deleted or replaced, and only the table's own log states which.

import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ReembedError } from '@reembed/shared'
import { type OpenStoreOptions, openStore } from '@reembed/store'
import { localPath } from './overlap.ts'

const TABLE_FORMATS = [
  { name: 'Delta Lake', folder: '_delta_log', file: /^[^/]+\.(?:json|crc|checkpoint[^/]*\.parquet)$/ },
  { name: 'Iceberg', folder: 'metadata', file: /^[^/]+\.metadata\.json(?:\.gz)?$/ },
  { name: 'Hudi', folder: '.hoodie', file: /^/ },
] as const

/** A source may be a partition of a table, or a folder of its data files. */
const LEVELS_ABOVE = 3

/** @throws ReembedError SOURCE_FORMAT if an object of the listing belongs to the log of a table */
export function refuseLogOfTable(url: string, key: string): void {
  const steps = key.split('/')
  for (const { name, folder, file } of TABLE_FORMATS) {
    const at = steps.indexOf(folder)
    if (at === -1 || !file.test(steps.slice(at + 1).join('/'))) continue
    throw tableError(name, [url, ...steps.slice(0, at)].join('/'))
  }
}

/**
 * Searches for the log of a table at the root of a source and above it, where the listing of the
 * source does not reach. Places that cannot be read are passed over.
 * @throws ReembedError SOURCE_FORMAT if the source is a table or lies in one
 */
export async function refuseTableAbove(root: string, s3: OpenStoreOptions['s3']): Promise<void> {
  // The listing of a dataset of the Hub is one request for all of it.
  if (root.startsWith('hf://datasets/')) return
  const isRemote = /^(s3|hf):\/\//.test(root)
  let place = isRemote ? root.replace(/\/+$/, '') : localPath(root)
  for (let level = 0; level <= LEVELS_ABOVE; level++) {
    for (const { name, folder, file } of TABLE_FORMATS) {
      const names = await (isRemote
        ? remoteNames(place, folder, s3)
        : readdir(join(place, folder)).catch(() => []))
      if (names === undefined) return
      if (names.some(each => file.test(each))) throw tableError(name, place)
    }
    const above = isRemote ? place.replace(/\/[^/]+$/, '') : dirname(place)
    if (above === place || (isRemote && !/^s3:\/\/[^/]+/.test(above))) return
    place = above
  }
}

/** Some names below a folder of a bucket; undefined if it cannot be listed at the first try. */
async function remoteNames(
  url: string,
  folder: string,
  s3: OpenStoreOptions['s3'],
): Promise<string[] | undefined> {
  const names: string[] = []
  try {
    await using store = await openStore(url, { s3: { ...s3, tries: 1 } })
    for await (const { key } of store.list(`${folder}/`)) {
      names.push(key.slice(folder.length + 1))
      if (names.length === 100) break
    }
    return names
  } catch {
    // Credentials may not cover places above the source; what is wrong with the source itself, its
    // listing reports.
    return undefined
  }
}

const tableError = (name: string, url: string): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `${url} is a table of ${name}: its folder also holds files of rows that were deleted or replaced. ` +
      'Write the current rows as Parquet to another folder and embed that folder',
    { option: 'source' },
  )
