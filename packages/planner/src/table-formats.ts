// Recognises folders of table formats, whose data files alone are not the table: some of them were
// deleted or replaced, and only the table's own log states which.

import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ReembedError } from '@reembed/shared'
import { type OpenStoreOptions, openStore } from '@reembed/store'
import { localPath } from './overlap.ts'

interface TableFormat {
  readonly name: 'Delta Lake' | 'Iceberg' | 'Hudi'
  /** The folder of the log, and which names in it prove that it is one. */
  readonly folder: string
  readonly file: RegExp
}

const TABLE_FORMATS: readonly TableFormat[] = [
  { name: 'Delta Lake', folder: '_delta_log', file: /^[^/]+\.(?:json|crc|checkpoint[^/]*\.parquet)$/ },
  { name: 'Iceberg', folder: 'metadata', file: /^[^/]+\.metadata\.json(?:\.gz)?$/ },
  { name: 'Hudi', folder: '.hoodie', file: /^/ },
]

/** A source may be a partition of a table, or a folder of its data files. */
const LEVELS_ABOVE = 3

/** A folder that a table format wrote. */
export interface FoundTable {
  readonly format: TableFormat['name']
  readonly url: string
  /** Whether the source is the whole table, not a folder in it. */
  readonly isSource: boolean
}

/** @throws ReembedError SOURCE_FORMAT if an object of the listing belongs to the log of a table */
export function refuseLogOfTable(url: string, key: string): void {
  const steps = key.split('/')
  for (const { name, folder, file } of TABLE_FORMATS) {
    const at = steps.indexOf(folder)
    if (at === -1 || !file.test(steps.slice(at + 1).join('/'))) continue
    throw tableError({ format: name, url: [url, ...steps.slice(0, at)].join('/') })
  }
}

/**
 * Searches for the log of a table at the root of a source and above it, where the listing of the
 * source does not reach. Places that cannot be read are passed over.
 */
export async function findTable(root: string, s3: OpenStoreOptions['s3']): Promise<FoundTable | undefined> {
  const isRemote = /^(s3|hf):\/\//.test(root)
  // openStore reports schemes that it does not know.
  if (!isRemote && !root.startsWith('file://') && /^[a-z][a-z0-9+.-]*:/i.test(root)) return undefined
  let place = isRemote ? root.replace(/\/+$/, '') : localPath(root)
  for (let level = 0; level <= LEVELS_ABOVE; level++) {
    const listed = await Promise.all(
      TABLE_FORMATS.map(({ folder }) =>
        isRemote ? remoteNames(`${place}/${folder}`, s3) : readdir(join(place, folder)).catch(() => []),
      ),
    )
    if (listed.includes(undefined)) return undefined
    const found = TABLE_FORMATS.find(({ file }, i) => listed[i]?.some(name => file.test(name)))
    if (found) return { format: found.name, url: place, isSource: level === 0 }
    if (isRemote && WHOLE_STORE.test(place)) return undefined
    const above = isRemote ? place.replace(/\/[^/]+$/, '') : dirname(place)
    if (above === place) return undefined
    place = above
  }
  return undefined
}

/** A bucket, or a dataset of the Hub: nothing is above it. */
const WHOLE_STORE = /^(?:s3:\/\/[^/]+|hf:\/\/[^/]+\/[^/]+\/[^/]+)$/

/** Some names in a remote folder; undefined if it cannot be listed at the first try. */
async function remoteNames(url: string, s3: OpenStoreOptions['s3']): Promise<string[] | undefined> {
  const names: string[] = []
  try {
    await using store = await openStore(url, { s3: { ...s3, tries: 1 } })
    for await (const { key } of store.list('')) {
      names.push(key)
      if (names.length === 100) break
    }
    return names
  } catch {
    // Credentials may not cover places above the source; what is wrong with the source itself, its
    // listing reports.
    return undefined
  }
}

export const tableError = ({ format, url }: Pick<FoundTable, 'format' | 'url'>): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `${url} is a table of ${format}: its folder also holds files of rows that were deleted or replaced. ` +
      (format === 'Delta Lake'
        ? 'Give the folder of the whole table as the source: its log states which files are current'
        : 'Write the current rows as Parquet to another folder and embed that folder'),
    { option: 'source' },
  )
