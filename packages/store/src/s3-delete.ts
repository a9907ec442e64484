// Deletes objects in S3.

import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { createBackoff } from './backoff.ts'
import { createClient, requestPayer, sending } from './s3.ts'
import { s3Error } from './s3-errors.ts'
import type { S3Options } from './s3-options.ts'
import { parseS3Url } from './s3-url.ts'
import type { ObjectDeleter } from './store.ts'

const TRIES = 6

/** Opens the deleter of 's3://bucket/prefix'. Keys are relative to the prefix, as in its store. */
export async function openS3Deleter(url: string, options: S3Options = {}): Promise<ObjectDeleter> {
  const { bucket, root } = parseS3Url(url)
  const { client, storeName } = createClient(options)
  const payer = requestPayer(options)
  return {
    async delete(key, { signal } = {}) {
      const call = {
        action: 's3:DeleteObject',
        bucket,
        url: `s3://${bucket}/${root}${key}`,
        storeName,
      } as const
      const retry = createBackoff({ tries: TRIES, signal })
      while (true) {
        try {
          await client.send(
            new DeleteObjectCommand({ Bucket: bucket, Key: root + key, ...payer }),
            sending(signal),
          )
          return
        } catch (error) {
          await retry.wait(s3Error(error, call))
        }
      }
    },
    async [Symbol.asyncDispose]() {
      client.destroy()
    },
  }
}
