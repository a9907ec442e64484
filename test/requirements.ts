// What reembed promises about faults, as data. A test proves a promise by carrying its id in its name; a promise
// without a test fails requirements.test.ts, and so does an id in a test that is no promise.

export interface Requirement {
  readonly id: string
  readonly promise: string
}

export const REQUIREMENTS: readonly Requirement[] = [
  { id: 'I1', promise: 'A key is written at most once.' },
  {
    id: 'I2',
    promise: 'A document of the plan is in exactly one shard, once, as a row or as a reject with its reason.',
  },
  { id: 'I3', promise: 'A manifest means that all shards are there, as it names them.' },
  { id: 'I4', promise: 'A version means that its manifest is there.' },
  {
    id: 'I5',
    promise: 'Versions have no gap, and their places in the order of runs grow, rollbacks included.',
  },
  { id: 'I6', promise: 'All vectors of a run are of the model that was planned.' },
  { id: 'I7', promise: 'Whoever reads from versions/ never sees a part of a run.' },
  { id: 'I8', promise: 'What can be reached without Redis is enough to go on.' },
  {
    id: 'P-ROLLBACK',
    promise: 'A rollback is a version of its own and stays until something newer is planned.',
  },
  { id: 'P-HOLD', promise: 'Too many rejects hold a run back until a person allows them.' },
  { id: 'P-PAUSE', promise: 'Of a paused or cancelled run no job is begun; resumed, it ends complete.' },
  {
    id: 'P-HANDBACK',
    promise: 'A worker that must go hands its jobs to others at once, without stall or attempt.',
  },
  {
    id: 'P-END',
    promise:
      'A run whose shards are all there is ended by one worker at a time, and calls for one until it is ended.',
  },
  {
    id: 'P-TURN',
    promise: 'Whoever waits for a turn at an endpoint gets one, or is sent back to the queue.',
  },
  {
    id: 'P-WATCHDOG',
    promise:
      'A lock that cannot be renewed, a fetch that never returns and a job that stands still are noticed.',
  },
  {
    id: 'P-REDIS-PRIVATE',
    promise: 'A Redis that anybody could write to is refused unless a person insists.',
  },
  {
    id: 'P-STORE-FAULTS',
    promise: 'Errors of the store and lost replies leave nothing out and nothing twice.',
  },
  {
    id: 'P-CHAOS',
    promise:
      'Killed, frozen and told to go, workers lose nothing; emptied, restarted or full, Redis costs time and no document.',
  },
  { id: 'P-SECRETS', promise: 'No secret stands in any output, log, error, metric, object or key.' },
  { id: 'P-NO-METADATA', promise: 'Link-local addresses, where clouds keep credentials, are no endpoints.' },
  {
    id: 'P-BOUNDED',
    promise: 'No reader holds more than its bound, and no step holds what grows with the run.',
  },
  {
    id: 'P-LIMITS',
    promise: 'A run with limits stops within them and one request per worker, also when Redis is emptied.',
  },
  {
    id: 'P-GATE',
    promise: 'A run that fails a gate is held back, with both figures, until a person insists.',
  },
  {
    id: 'P-PREVIEW',
    promise:
      'A new model is compared with the current version on a sample, with its price, and nothing is written.',
  },
  {
    id: 'P-GC',
    promise:
      'Nothing is deleted but by command, nothing that is current, kept or under way, and in an order that may be stopped anywhere.',
  },
  {
    id: 'P-FUZZED',
    promise: 'Whatever bytes come from outside are read as they should be, or refused in one line.',
  },
  { id: 'P-VERIFY', promise: 'Each kind of damage to a run is found and told apart.' },
  {
    id: 'P-REUSE',
    promise:
      'What did not change keeps its vectors to the bit, and nothing but the rest is embedded; never across recipes.',
  },
  {
    id: 'P-RETRY',
    promise: 'A retry embeds what the model refused and nothing else.',
  },
]
