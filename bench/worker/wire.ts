// What the processes of the worker bench agree on.

import { DIMENSIONS } from '../client/wire.ts'

/** What the vectors of the fake TEI are made of. */
export const FAKE = { model: 'bench', sha: 'r1', dimensions: DIMENSIONS as number }
