import { expect, test } from 'vitest'
import { parseJob } from '../src/job.ts'
import { jobId } from '../src/names.ts'

const RUN = 'a'.repeat(26)

test('parseJob accepts a pointer and refuses any other value', () => {
  const job = { output: 's3://vectors/wiki', run: RUN, shard: 3 }
  expect(parseJob(job)).toEqual(job)
  expect(jobId(RUN, 3)).toBe(`${RUN}-3`)
  for (const bad of [
    null,
    'x',
    [],
    {},
    { ...job, shard: -1 },
    { ...job, shard: '3' },
    { ...job, run: '../etc' },
    { ...job, endpoint: 'http://evil' },
    JSON.parse(`{"output":"x","run":"${RUN}","shard":1,"__proto__":{"x":1}}`),
  ]) {
    expect(() => parseJob(bad)).toThrow(/invalid job/)
  }
})
