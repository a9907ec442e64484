// Which vector store holds which run of an output, by the records of its loads.

import { contentOfTarget, type LoadRecord, readLoadRecords } from '@reembed/protocol'
import type { Store } from '@reembed/store'

/** A target that holds a run. */
export interface StoreTarget {
  readonly address: string
  readonly name: string
  readonly target: string
  readonly run: string
  readonly rows: number
  readonly refused: number
  readonly loadedMs: number | undefined
  readonly isUsed: boolean
  /** Since when searches use it. */
  readonly usedMs: number | undefined
}

/** The newest records that are read: one object each. */
const MAX_RECORDS = 1_000

/** The number of the newest record, as its key: other records never change. */
export async function newestLoadRecord(store: Store): Promise<string | undefined> {
  for await (const { key } of store.list('loads/')) return key
  return undefined
}

/** Reads the targets of every vector store of an output; those that searches use come first. */
export async function readStoreTargets(store: Store): Promise<readonly StoreTarget[]> {
  const names = new Map<string, LoadRecord[]>()
  let read = 0
  for await (const record of readLoadRecords(store, 8)) {
    const key = `${record.address} ${record.name}`
    const records = names.get(key) ?? []
    names.set(key, records)
    records.push(record)
    read += 1
    if (read === MAX_RECORDS) break
  }
  const targets = Array.from(names.values(), targetsOf).flat()
  return targets.sort((a, b) => Number(b.isUsed) - Number(a.isUsed))
}

const timeOf = (at: string | undefined): number | undefined => (at === undefined ? undefined : Date.parse(at))

/** @param records of one name at one address, newest first */
function targetsOf(records: readonly LoadRecord[]): StoreTarget[] {
  const used = records.find(({ action }) => action === 'switch')
  return [...new Set(records.map(({ target }) => target))].flatMap(target => {
    const content = contentOfTarget(records, target)
    if (content?.action !== 'load' || content.proof === undefined) return []
    const { address, name, run, at, proof } = content
    const isUsed = used?.target === target
    const times = { loadedMs: timeOf(at), usedMs: isUsed ? timeOf(used.at) : undefined }
    return [{ address, name, target, run, rows: proof.rows, refused: proof.refused, isUsed, ...times }]
  })
}
