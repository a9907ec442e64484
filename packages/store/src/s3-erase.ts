// Deleting in S3.

import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { createRetry } from './retry.ts'
import { createClient, type S3Options, sending } from './s3.ts'
import { s3Error } from './s3-errors.ts'
import { parseS3Url } from './s3-url.ts'
import type { Eraser } from './store.ts'

const TRIES = 6

/** Keys are relative to 's3://bucket/prefix', as in its store. */
export async function openS3Eraser(url: string, options: S3Options = {}): Promise<Eraser> {
  const { bucket, root } = parseS3Url(url)
  const { client, place } = createClient(options)
  return {
    async erase(key, { signal } = {}) {
      const call = { action: 's3:DeleteObject', bucket, url: `s3://${bucket}/${root}${key}`, place } as const
      const retry = createRetry({ tries: TRIES, signal })
      while (true) {
        try {
          await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: root + key }), sending(signal))
          return
        } catch (error) {
          await retry.after(s3Error(error, call))
        }
      }
    },
    async [Symbol.asyncDispose]() {
      client.destroy()
    },
  }
}
