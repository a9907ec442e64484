// The public API of @reembed/store; every other file is private to the package.

export { storeBelow } from './below.ts'
export { checkStore, raceStore, requireWritable } from './check.ts'
export { type ConfirmedPutOptions, createConfirmedPut, type PutOutcome } from './confirmed-put.ts'
export { openDeleter } from './delete.ts'
export {
  createHubClient,
  escapeHubPath,
  type HubClient,
  type HubClientOptions,
  type HubRequest,
} from './hub-client.ts'
export { type ResolveCommitOptions, resolveCommit } from './hub-commit.ts'
export { getAtMost, getJson, putJson, putRows } from './json.ts'
export { compareKeys } from './keys.ts'
export { ObjectNotFound } from './not-found.ts'
export { type ObjectKind, objectKind, type RowsKind, rowsKind } from './object-kind.ts'
export { type OpenStoreOptions, openStore } from './open.ts'
export type { S3Options } from './s3-options.ts'
export type {
  ListedObject,
  ListOptions,
  ObjectDeleter,
  ObjectInfo,
  PutOptions,
  ReadOptions,
  Store,
} from './store.ts'
export {
  onTransientStoreError,
  TRANSIENT_STORE_ERRORS,
  type TransientStoreError,
} from './transient-errors.ts'
