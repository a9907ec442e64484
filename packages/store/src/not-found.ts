// That an object is not there: damage to who needs it, an answer to who only looks.

import { ReembedError } from '@reembed/shared'

/** There is no object where one was to be read. */
export class ObjectNotFound extends ReembedError {
  constructor(what: string) {
    super('CORRUPT', `${what} is missing`)
  }
}
