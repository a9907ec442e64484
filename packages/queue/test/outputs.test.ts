import { describe, expect, test } from 'vitest'
import { isDirectOutput, parseJob } from '../src/job.ts'
import { normalOutput, outputId } from '../src/names.ts'
import { servesOutput } from '../src/progress.ts'

const job = (output: unknown, shard: unknown = 7) => ({ output, run: 'q'.repeat(26), shard })

describe('the output of a job', () => {
  test.each([
    '/srv/vectors/../../etc',
    '/srv/vectors/./x',
    '/srv/vectors/..',
    's3://bucket/vectors/../other',
    's3://bucket/vectors/.',
    'file:///srv/vectors/%2e%2E/etc',
    'file:///srv/vectors/.%2e',
    'hf://buckets/a/b/../c',
    's3://bucket/vectors/%2E/x',
    '/srv/vectors/.%2E/etc',
    'file:///srv/vectors/%2e/x',
    'C:\\vectors\\..\\etc',
    '/srv/\u0000',
    '/srv/\u0085',
    's3:/bucket/vectors',
    'relative/vectors',
    '../vectors',
    '',
    '/srv/line\nbreak',
    '/srv/\u001b[31m',
    `/srv/${'a'.repeat(5_000)}`,
  ])('%j is refused', output => {
    expect(isDirectOutput(output)).toBe(false)
    expect(() => parseJob(job(output))).toThrow(/invalid job/)
  })

  test.each([
    '/srv/vectors',
    '/srv/..vectors/a..b/...',
    's3://bucket/vectors/',
    's3://bucket//deep//a',
    'hf://buckets/a/b/c',
    'file:///srv/vectors',
  ])('%j is taken', output => {
    expect(parseJob(job(output))).toMatchObject({ output })
  })

  test('a shard number beyond the limit of a plan is refused', () => {
    expect(parseJob(job('/out', 9_999_999)).shard).toBe(9_999_999)
    for (const shard of [10_000_000, -1, 0.5, '1', null]) expect(() => parseJob(job('/out', shard))).toThrow()
  })

  test('outputs are compared after normalisation: slashes at the end and after the bucket do not count', () => {
    expect(servesOutput(['s3://b//x/'], 's3://b/x')).toBe(true)
    expect(servesOutput(['s3://b/x'], 's3://b///x/y/')).toBe(true)
    expect(servesOutput(['s3://b/x'], 's3://b/xy')).toBe(false)
    expect(servesOutput(['/out/'], '/out//')).toBe(true)
    expect(outputId('s3://b//x/')).toBe(outputId('s3://b/x'))
    expect(normalOutput('file:///srv/x/')).toBe('file:///srv/x')
  })
})
