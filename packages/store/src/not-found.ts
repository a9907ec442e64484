// A missing object. A caller that requires the object reports corruption; a caller that only checks
// for it catches this error.

import { ReembedError } from '@reembed/shared'

/** The object to read does not exist. Its code is CORRUPT. */
export class ObjectNotFound extends ReembedError {
  constructor(what: string) {
    super('CORRUPT', `${what} is missing`)
  }
}
