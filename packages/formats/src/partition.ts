// Partition columns: folders named 'lang=de', as Hive, Spark and others write tables. Their values
// are strings; a carried column may convert them.

import type { Store } from '@reembed/store'

/** Values of the partition columns by name. */
export type Partition = Readonly<Record<string, string | null>>

/** Stands for a missing value in the name of a folder. */
const NULL_VALUE = '__HIVE_DEFAULT_PARTITION__'

/** The partition columns of an object, by the folders above it. */
export function partitionOf({ url }: Pick<Store, 'url'>, key: string): Partition {
  const folders = `${url}/${key}`.split('/').slice(0, -1)
  const values: [string, string | null][] = []
  for (const folder of folders) {
    const [, name, value = ''] = /^([^=]+)=(.*)$/.exec(folder) ?? []
    if (name !== undefined) values.push([unescaped(name), value === NULL_VALUE ? null : unescaped(value)])
  }
  return Object.fromEntries(values)
}

/** Writers escape characters that file systems refuse, as in URLs. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
