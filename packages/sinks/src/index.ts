// The public surface of @reembed/sinks; every other file is private to the package.

export { type DroppedOld, dropOldTargets, dropTarget } from './load/drop.ts'
export { type FollowEvent, type FollowedStore, type FollowOptions, followVersions } from './load/follow.ts'
export { loadRun } from './load/load.ts'
export { createShardLoader, type ShardLoader } from './load/loader.ts'
export { openVectorStore } from './load/open.ts'
export type { LoadOptions, LoadOutcome, LoadProgress } from './load/options.ts'
export { type SwitchOptions, type SwitchOutcome, switchStore } from './load/switch.ts'
export type { ShardWrite, Target, VectorStore } from './load/vector-store.ts'
export { openIndex } from './stores/open-index.ts'
