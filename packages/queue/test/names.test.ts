import { expect, test } from 'vitest'
import { parseJob } from '../src/job.ts'
import { jobId, outputId } from '../src/names.ts'

const RUN = 'a'.repeat(26)

test('parseJob accepts a pointer and refuses any other value', () => {
  const job = { output: 's3://vectors/wiki', run: RUN, shard: 3 }
  expect(parseJob(job)).toEqual(job)
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

test('a job id contains the output, so that two outputs with the same run share no job', () => {
  const ids = ['s3://vectors/dev', 's3://vectors/prod', 's3://other/dev', '/srv/dev'].map(output =>
    jobId({ output, run: RUN, shard: 3 }),
  )
  expect(new Set(ids).size).toBe(4)
  expect(ids[0]).toMatch(new RegExp(`^dev-[a-z2-7]{12}\\.${RUN}\\.0000003$`))
  expect(jobId({ output: 's3://vectors/dev/', run: RUN, shard: 3 })).toBe(ids[0])
})

test('an output id holds neither a colon nor a dot, whatever the URL', () => {
  for (const url of ['s3://b/Ünïcode.d/', 's3://b', '/', 'C:\\x:y', `s3://b/${'long'.repeat(99)}`])
    expect(outputId(url)).toMatch(/^[a-z0-9-]{1,24}-[a-z2-7]{12}$/)
})
