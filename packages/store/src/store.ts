// The one interface to object storage. There is a single way to write: put-if-absent. Nothing is ever
// overwritten, so two writers of one key can only lose a race against a valid twin.

export interface ObjectInfo {
  /** Relative to the store's root, '/' between folders, never starting with '/'. */
  readonly key: string
  readonly size: number
  /** Changes when the content changes. Opaque. */
  readonly etag: string
}

export interface ListedObject extends ObjectInfo {
  /** When it was written, in milliseconds of this machine's clock, within four minutes; missing where the store does not say. */
  readonly modifiedMs?: number | undefined
}

export interface ReadOptions {
  /** First byte, inclusive. */
  readonly start?: number | undefined
  /** Last byte, exclusive. Beyond the end of the object is cut to it. */
  readonly end?: number | undefined
  /** Fail with SOURCE_CHANGED unless the object still has this etag. */
  readonly ifMatch?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface ListOptions {
  /** Only keys greater than this one. */
  readonly startAfter?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface PutOptions {
  readonly contentType?: string | undefined
  /** A SHA-256 (hex) that only this body has, where the caller has one anyway: saves hashing the body once more. */
  readonly sha256?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Store extends AsyncDisposable {
  /** What was opened, as the user would write it; holds no secret. */
  readonly url: string

  /** Objects whose key starts with `prefix`, in the order of their UTF-8 bytes. A prefix without objects yields none. */
  list(prefix: string, options?: ListOptions): AsyncGenerator<ListedObject, void, undefined>

  /** The object, or undefined if there is none. */
  head(key: string, options?: { signal?: AbortSignal | undefined }): Promise<ObjectInfo | undefined>

  /** The bytes of an object or of a range of it. Fails with ObjectMissing if there is none, SOURCE_CHANGED if `ifMatch` fails. */
  get(key: string, options?: ReadOptions): Promise<Uint8Array>

  /** Like `get`, in pieces; at most a few hundred KiB are held. Ending the iteration early closes the source. */
  stream(key: string, options?: ReadOptions): AsyncGenerator<Uint8Array, void, undefined>

  /**
   * Writes the object if the key is free, atomically: readers see all of it or nothing.
   * 'exists' means that another object holds the key; it was left as it is.
   * After an unknown outcome (reply lost) this looks for itself: an object of the same bytes counts as 'created'.
   */
  putIfAbsent(key: string, body: Uint8Array, options?: PutOptions): Promise<'created' | 'exists'>
}

export interface ObjectDeleter extends AsyncDisposable {
  /** Deletes the object; one that is not there is no fault. */
  delete(key: string, options?: { signal?: AbortSignal | undefined }): Promise<void>
}
