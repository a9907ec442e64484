import { expect, test } from 'vitest'
import { withDeadlines } from '../src/deadlines.ts'
import { resolveHost } from '../src/resolve-host.ts'

test('a resolver that never answers is an error in time, and its wait is reported', async () => {
  const waits: string[] = []
  const options = {
    timeoutMs: 600,
    onWait: ({ dependency, state }: { dependency: string; state: string }) =>
      waits.push(`${dependency}: ${state}`),
  }
  const asked = withDeadlines(options, () => resolveHost('tei', () => new Promise(() => {})))
  await expect(asked).rejects.toThrow('no reply of the resolver within 0.6 s')
  expect(waits).toContain('the resolver of names, for tei: silent')
})

test('a name has all its addresses', async () => {
  expect(await resolveHost('localhost')).toContain('127.0.0.1')
  expect(await resolveHost('a', async () => [{ address: '10.0.0.1' }, { address: '10.0.0.2' }])).toEqual([
    '10.0.0.1',
    '10.0.0.2',
  ])
})
