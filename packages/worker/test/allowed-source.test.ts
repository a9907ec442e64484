import { expect, test } from 'vitest'
import { requireAllowedSource } from '../src/allowed-source.ts'

const S3 = 's3://vectors/wiki'

test.each<[source: string, output: string, sources: string[] | undefined]>([
  ['s3://corpora/wiki/', S3, undefined],
  ['hf://datasets/a/b@c0ffee', S3, undefined],
  ['/srv/corpus', '/srv/vectors', undefined],
  ['/srv/corpus', 'file:///srv/vectors', undefined],
  ['/srv/corpus', S3, ['/srv/corpus']],
  ['/srv/corpus/deep', S3, ['/srv/corpus/']],
  ['/srv/corpus', S3, ['/srv/corpus/a.jsonl']],
  ['/srv/corpus', S3, ['/srv/corpus/**/*.jsonl']],
  ['/srv/corpus', S3, ['file:///srv/corpus']],
  ['s3://corpora/wiki/', S3, ['s3://corpora//wiki']],
  ['s3://corpora/wiki/', S3, ['s3://other/x', 's3://corpora/']],
  ['s3://corpora/wiki/', S3, ['s3://corpora/wiki/a.jsonl']],
  ['hf://datasets/a/b@c0ffee/data', S3, ['hf://datasets/a/b']],
])('a worker reads %s for %s with the sources %j', (source, output, sources) => {
  requireAllowedSource(source, output, sources)
})

test.each<[source: string, output: string, sources: string[] | undefined]>([
  ['/etc', S3, undefined],
  ['file:///etc', S3, undefined],
  ['relative', S3, undefined],
  ['/srv/corpus-private', S3, ['/srv/corpus']],
  ['/srv', S3, ['/srv/corpus/deep']],
  ['s3://private/wiki/', S3, ['s3://corpora/wiki']],
  ['s3://corpora/wiki2', S3, ['s3://corpora/wiki']],
  ['hf://datasets/a/private', S3, ['hf://datasets/a/b']],
  ['/srv/corpus', '/srv/vectors', ['/srv/other']],
  ['/srv/corpus', S3, []],
  ['FILE:///etc', S3, undefined],
  ['file:/etc', S3, undefined],
  ['\\\\host\\share', S3, ['/srv/corpus']],
  ['/srv/corpu\u0455', S3, ['/srv/corpus']],
])('a worker does not read %s for %s with the sources %j', (source, output, sources) => {
  expect(() => requireAllowedSource(source, output, sources)).toThrow(
    expect.objectContaining({ code: 'JOB_INVALID', retry: 'requeue', option: 'worker.sources' }),
  )
})

test.each<[source: string, output: string, sources: string[] | undefined]>([
  ['/srv/corpus/../../etc', S3, ['/srv/corpus']],
  ['s3://corpora/wiki/../private', S3, ['s3://corpora/wiki']],
  ['s3://corpora/wiki/%2e%2E/private', S3, ['s3://corpora/wiki']],
  ['hf://datasets/a/b/../../c/private', S3, ['hf://datasets/a/b']],
  [`${S3}/tables/../../private`, S3, undefined],
  ['s3://corpora/wiki/.', S3, undefined],
  ['file:///srv/corpus/%2e%2e/%2e%2e/etc', S3, ['/srv/corpus']],
  ['file:///srv/corpus/..%2f..%2fetc', S3, ['/srv/corpus']],
  ['file://other/srv/corpus', S3, ['/srv/corpus']],
  ['/srv/corpus\u0000/../../etc', S3, ['/srv/corpus']],
])('no worker reads %s for %s with the sources %j: its job fails', (source, output, sources) => {
  expect(() => requireAllowedSource(source, output, sources)).toThrow(
    expect.objectContaining({
      code: 'JOB_INVALID',
      retry: 'never',
      message: expect.stringContaining('Plan again with the plain path'),
    }),
  )
})
