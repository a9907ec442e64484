import { ReembedError } from '../errors.ts'
import type { Store } from './store.ts'

export interface S3Options {
  /** Another server than AWS; also taken from AWS_ENDPOINT_URL_S3. */
  readonly endpoint?: string | undefined
}

/** Opens 's3://bucket/prefix'. */
export async function openS3(url: string, _options: S3Options = {}): Promise<Store> {
  throw new ReembedError('INTERNAL', `Cannot open ${url} yet`)
}
