// The interface to object storage. Put-if-absent is the only write, so nothing is overwritten: a
// writer that loses a race finds a valid object of a concurrent writer.

/** Key, size in bytes and etag of an object. */
export interface ObjectInfo {
  /** Relative to the store's root, with '/' between folders; never starts with '/'. */
  readonly key: string
  readonly size: number
  /** Changes when the content changes. Opaque. */
  readonly etag: string
}

export interface ListedObject extends ObjectInfo {
  /**
   * Time of the write in local Unix milliseconds, accurate to 4 minutes; undefined if the store
   * does not report it.
   */
  readonly modifiedMs?: number | undefined
}

export interface ReadOptions {
  /** First byte, inclusive. */
  readonly start?: number | undefined
  /** End of the range in bytes, exclusive. The object's size limits it. */
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
  /**
   * SHA-256 (hex) of the body or of a value unique to it. If given, the store does not hash the
   * body.
   */
  readonly sha256?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Store extends AsyncDisposable {
  /** The URL or path of the store. Contains no secret. */
  readonly url: string

  /** Yields the objects whose key starts with `prefix`, in the order of the keys' UTF-8 bytes. */
  list(prefix: string, options?: ListOptions): AsyncGenerator<ListedObject, void, undefined>

  /** Returns key, size and etag of the object, or undefined if there is none. */
  head(key: string, options?: { signal?: AbortSignal | undefined }): Promise<ObjectInfo | undefined>

  /**
   * Reads an object or a range of it. The bytes belong to the caller.
   * @throws ObjectNotFound if there is none; ReembedError SOURCE_CHANGED if `ifMatch` does not
   * match
   */
  get(key: string, options?: ReadOptions): Promise<Uint8Array>

  /**
   * Like `get`, in pieces of at most a few hundred KiB. Ending the iteration early closes the
   * source.
   */
  stream(key: string, options?: ReadOptions): AsyncGenerator<Uint8Array, void, undefined>

  /**
   * Writes the object if the key is free. The write is atomic: readers see the whole object or
   * none. Returns 'exists' if another object holds the key; that object is unchanged. After a lost
   * reply the store reads the object at the key: if its bytes are these, the outcome is 'created'.
   */
  putIfAbsent(key: string, body: Uint8Array, options?: PutOptions): Promise<'created' | 'exists'>

  /**
   * Makes the object `to` with the bytes of `from`, if the key is free; atomic, as `putIfAbsent`.
   * In a folder it is a hard link, on S3 the server copies. 'unsupported' where the store does
   * neither, so that the caller has to read the bytes and put them. 'exists' also if an earlier
   * call of the same copy has lost its reply.
   * @throws ObjectNotFound if there is no object `from`
   */
  copyIfAbsent(
    from: string,
    to: string,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<'created' | 'exists' | 'unsupported'>

  /**
   * Keeps space for the records of deletions, in a store that can be full. Idempotent; without
   * effect where the space is lacking already.
   */
  reserve?(): Promise<void>
}

/** The interface to delete objects; gc alone uses it. */
export interface ObjectDeleter extends AsyncDisposable {
  /** Deletes the object. Idempotent: a missing object is not an error. */
  delete(key: string, options?: { signal?: AbortSignal | undefined }): Promise<void>
  /**
   * Frees the space of `reserve` if a write failed because the store is full. True if the write may
   * succeed now.
   */
  makeRoom?(error: unknown): Promise<boolean>
}
