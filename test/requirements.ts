// The guarantees of reembed under faults, as data. A test proves a promise when it carries the id
// in its name and passes. A complete run fails if a promise has no passed test, or if a test
// carries an unknown id (promises.ts).

export interface Requirement {
  readonly id: string
  readonly promise: string
}

export const REQUIREMENTS: readonly Requirement[] = [
  { id: 'I1', promise: 'A key is written at most once.' },
  {
    id: 'I2',
    promise:
      'Each document of the plan is in exactly one shard, exactly once, as a row or as a reject with its reason.',
  },
  {
    id: 'I3',
    promise: 'A manifest exists only when every shard that it lists exists with the listed content.',
  },
  { id: 'I4', promise: 'A version exists only when its manifest exists.' },
  {
    id: 'I5',
    promise: 'Version numbers have no gap and their sequence numbers increase, rollbacks included.',
  },
  { id: 'I6', promise: 'Every vector of a run comes from the planned model.' },
  { id: 'I7', promise: 'A reader that starts at versions/ never sees an incomplete run.' },
  { id: 'I8', promise: 'The object store alone is enough to continue a run when Redis is lost.' },
  {
    id: 'P-ROLLBACK',
    promise: 'A rollback publishes a new version, which stays current until a newer run is planned.',
  },
  { id: 'P-HOLD', promise: 'A run with too many rejects is not published until an operator allows them.' },
  {
    id: 'P-PAUSE',
    promise: 'Workers start no job of a paused or cancelled run; after a resume the run completes.',
  },
  {
    id: 'P-HANDBACK',
    promise:
      'A worker that shuts down requeues its jobs at once, without a stall and without using an attempt.',
  },
  {
    id: 'P-END',
    promise:
      'One worker at a time finalizes a run whose shards are complete, and the queue requests a worker until then.',
  },
  {
    id: 'P-TURN',
    promise: 'A job that waits for a permit of an endpoint receives one, or is requeued.',
  },
  {
    id: 'P-KEEPS',
    promise:
      'A worker keeps its jobs in progress when Redis loses its data, so that no second worker embeds their texts again.',
  },
  {
    id: 'P-WATCHDOG',
    promise:
      'A worker detects a lock that cannot be renewed, a fetch that never returns and a job without progress.',
  },
  {
    id: 'P-REDIS-PRIVATE',
    promise:
      'A Redis without authentication or encryption is refused unless the operator overrides the check.',
  },
  {
    id: 'P-STORE-FAULTS',
    promise: 'Store errors and lost replies neither lose nor duplicate a document.',
  },
  {
    id: 'P-CHAOS',
    promise:
      'No document is lost when workers are killed, frozen or stopped, or when Redis is emptied, restarted or full.',
  },
  { id: 'P-SECRETS', promise: 'No output, log, error, metric, object or key contains a secret.' },
  {
    id: 'P-NO-METADATA',
    promise: 'Link-local addresses, which serve cloud credentials, are refused as endpoints.',
  },
  {
    id: 'P-BOUNDED',
    promise: 'Each reader stays within its memory bound, and no step needs memory in proportion to the run.',
  },
  {
    id: 'P-LIMITS',
    promise: 'A run exceeds its budget by at most one request per worker, also when Redis is emptied.',
  },
  {
    id: 'P-TRUNCATION',
    promise:
      'Text that the model does not read is counted, exactly or with an interval, shown, and may hold a run.',
  },
  {
    id: 'P-GATE',
    promise:
      'A run that fails a gate is not published, and both figures are shown, until an operator forces it.',
  },
  {
    id: 'P-PREVIEW',
    promise:
      'A preview compares a new model with the current version on a sample, shows the price and writes nothing.',
  },
  {
    id: 'P-GC',
    promise:
      'Only gc deletes; it keeps current, retained and unfinished runs, and may be interrupted after any object.',
  },
  {
    id: 'P-FUZZED',
    promise: 'Any input bytes are either read correctly or refused with a one-line error.',
  },
  { id: 'P-VERIFY', promise: 'Verification detects each kind of damage to a run and names it.' },
  {
    id: 'P-REUSE',
    promise:
      'Unchanged documents keep their vectors bit for bit and only the others are embedded; recipes are never mixed.',
  },
  {
    id: 'P-RETRY',
    promise: 'A retry embeds only the documents that the model refused.',
  },
]
