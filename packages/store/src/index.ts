// The public surface of @reembed/store; every other file is private to the package.

export { checkStore, raceStore, STORE_CHECK_KEY } from './check.ts'
export { openEraser } from './erase.ts'
export { onStoreFault, STORE_FAULTS, type StoreFault } from './faults.ts'
export { getJson, getRows, putJson, putRows } from './json.ts'
export { compareKeys } from './keys.ts'
export { ObjectMissing } from './missing.ts'
export { type OpenStoreOptions, openStore } from './open.ts'
export type { S3Options } from './s3.ts'
export { createSettledPut, type PutOutcome, type PutParts } from './settle.ts'
export type {
  Eraser,
  ListedObject,
  ListOptions,
  ObjectInfo,
  PutOptions,
  ReadOptions,
  Store,
} from './store.ts'
