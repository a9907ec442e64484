// Deletes objects in S3.

import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { deadlines } from '@reembed/shared'
import { createClient, requestPayer, sending } from './s3.ts'
import { callS3, DEFAULT_TRIES } from './s3-calls.ts'
import type { S3Options } from './s3-options.ts'
import { parseS3Url } from './s3-url.ts'
import type { ObjectDeleter } from './store.ts'

/** Opens the deleter of 's3://bucket/prefix'. Keys are relative to the prefix, as in its store. */
export async function openS3Deleter(url: string, options: S3Options = {}): Promise<ObjectDeleter> {
  const { bucket, root } = parseS3Url(url)
  const limits = deadlines().store
  const { client, storeName } = createClient(options, limits)
  const { tries = DEFAULT_TRIES } = options
  const payer = requestPayer(options)
  return {
    async delete(key, { signal } = {}) {
      const call = {
        action: 's3:DeleteObject',
        bucket,
        url: `s3://${bucket}/${root}${key}`,
        storeName,
      } as const
      await callS3(call, { tries, limits, signal }, signal =>
        client.send(new DeleteObjectCommand({ Bucket: bucket, Key: root + key, ...payer }), sending(signal)),
      )
    },
    async [Symbol.asyncDispose]() {
      client.destroy()
    },
  }
}
