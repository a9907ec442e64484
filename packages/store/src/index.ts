// The public surface of @reembed/store; every other file is private to the package.

export { checkStore, raceStore, STORE_CHECK_KEY } from './check.ts'
export { openDeleter as openEraser } from './erase.ts'
export {
  onTransientStoreError as onStoreFault,
  TRANSIENT_STORE_ERRORS as STORE_FAULTS,
  type TransientStoreError as StoreFault,
} from './faults.ts'
export { getJson, getRows, putJson, putRows } from './json.ts'
export { compareKeys } from './keys.ts'
export { ObjectNotFound as ObjectMissing } from './missing.ts'
export { type OpenStoreOptions, openStore } from './open.ts'
export type { S3Options } from './s3.ts'
export {
  type ConfirmedPutOptions as PutParts,
  createConfirmedPut as createSettledPut,
  type PutOutcome,
} from './settle.ts'
export type {
  ListedObject,
  ListOptions,
  ObjectDeleter as Eraser,
  ObjectInfo,
  PutOptions,
  ReadOptions,
  Store,
} from './store.ts'
