// Memory outside the heap of JavaScript.

/**
 * Frees the memory of a view at once; its buffer is empty afterwards. Without it the garbage
 * collector does, and each 64 MiB of such memory cause a full collection, which costs more than
 * filling it. The caller must be the only user of the buffer. A part of a larger buffer is kept.
 */
export function release({ buffer, byteLength }: ArrayBufferView): void {
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) buffer.transfer(0)
}
