// Each alert fires and stays quiet as intended, evaluated by promtool; each has a section in the
// runbook.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { testUnless } from '../parts/needs.ts'
import { type Manifest, repository } from './parts/chart.ts'
import { noPromtool, promtool } from './parts/promtool.ts'
import { tool } from './parts/tools.ts'

const path = join(repository, 'infra/helm/reembed/files/rules.yaml')
const rules: Manifest[] = parse(await readFile(path, 'utf8')).groups.flatMap((group: Manifest) => group.rules)

/** Series in the notation of promtool: a first value, then steps of one minute. */
type Series = Readonly<Record<string, string>>

interface Case {
  /** Minutes after the start at which the alert is evaluated. */
  readonly at: number
  /** Labels of the alert beside its severity. */
  readonly labels?: Readonly<Record<string, string>>
  readonly fires: Series
  readonly quiet: Series
}

const hours = 120
const RUN = { output: 'o', run: 'a' }
const runState = (state: string, reason = 'none'): string =>
  `reembed_run_state{output="o",run="a",state="${state}",reason="${reason}"}`
const queue = (state: string): string => `reembed_queue_jobs{state="${state}"}`

const cases: Readonly<Record<string, Case>> = {
  ReembedQueueStalled: {
    at: 40,
    fires: {
      [queue('wait')]: `5x${hours}`,
      'reembed_jobs_total{outcome="done"}': `9x${hours}`,
      reembed_queue_paused: `0x${hours}`,
    },
    quiet: {
      [queue('wait')]: `5x${hours}`,
      'reembed_jobs_total{outcome="done"}': `0+1x${hours}`,
      reembed_queue_paused: `0x${hours}`,
    },
  },
  ReembedDelayedOverdue: {
    at: 10,
    fires: { reembed_queue_overdue_seconds: `0+60x${hours}` },
    quiet: { reembed_queue_overdue_seconds: `30x${hours}` },
  },
  ReembedRunBehind: {
    at: 90,
    labels: { run: 'a' },
    fires: {
      'reembed_run_shards{run="a"}': `10000x${hours}`,
      'reembed_run_shards_done{run="a"}': `0+1x${hours}`,
      'reembed_run_finished{run="a"}': `0x${hours}`,
    },
    quiet: {
      'reembed_run_shards{run="a"}': `10000x${hours}`,
      'reembed_run_shards_done{run="a"}': `0+60x${hours}`,
      'reembed_run_finished{run="a"}': `0x${hours}`,
    },
  },
  ReembedRunHeld: {
    at: 10,
    labels: RUN,
    fires: { [runState('held', 'gates')]: `1x${hours}` },
    quiet: { [runState('finishing', 'judging')]: `1x${hours}` },
  },
  ReembedRunFailed: {
    at: 10,
    labels: RUN,
    fires: { [runState('failed', 'duplicate_ids')]: `1x${hours}` },
    quiet: { [runState('running', 'none')]: `1x${hours}` },
  },
  ReembedRunPausedByBudget: {
    at: 10,
    labels: RUN,
    fires: { [runState('paused', 'budget')]: `1x${hours}` },
    quiet: { [runState('paused', 'person')]: `1x${hours}` },
  },
  ReembedRunWithoutWorker: {
    at: 20,
    labels: RUN,
    fires: { [runState('waiting', 'no_worker')]: `1x${hours}` },
    quiet: { [runState('waiting', 'endpoint')]: `1x${hours}` },
  },
  ReembedRunWaiting: {
    at: 40,
    labels: RUN,
    fires: { [runState('waiting', 'endpoint')]: `1x${hours}` },
    quiet: { [runState('waiting', 'no_worker')]: `1x${hours}` },
  },
  ReembedRunStalled: {
    at: 90,
    labels: RUN,
    fires: {
      [runState('running')]: `1x${hours}`,
      'reembed_run_last_progress_timestamp_seconds{output="o",run="a"}': `0x${hours}`,
    },
    quiet: {
      [runState('running')]: `1x${hours}`,
      'reembed_run_last_progress_timestamp_seconds{output="o",run="a"}': `0+60x${hours}`,
    },
  },
  ReembedRunAbandoned: {
    at: 90,
    labels: RUN,
    fires: { [runState('abandoned', 'none')]: `1x${hours}` },
    quiet: { [runState('waiting', 'no_worker')]: `1x${hours}` },
  },
  ReembedJobsFailed: {
    at: 20,
    fires: { [queue('failed')]: `2x10 5x${hours}` },
    quiet: { [queue('failed')]: `2x${hours}` },
  },
  ReembedEndpointOverloaded: {
    at: 30,
    fires: {
      'reembed_requests_total{outcome="overload"}': `0+30x${hours}`,
      'reembed_requests_total{outcome="ok"}': `0+70x${hours}`,
    },
    quiet: {
      'reembed_requests_total{outcome="overload"}': `0+10x${hours}`,
      'reembed_requests_total{outcome="ok"}': `0+90x${hours}`,
    },
  },
  ReembedModelMismatch: {
    at: 20,
    fires: { 'reembed_job_failures_total{code="MODEL_MISMATCH"}': `0x10 1x${hours}` },
    quiet: {
      'reembed_job_failures_total{code="MODEL_MISMATCH"}': `0x${hours}`,
      'reembed_job_failures_total{code="REPLY_INVALID"}': `0+1x${hours}`,
    },
  },
  ReembedBacklogGrowing: {
    at: 100,
    fires: {
      reembed_queue_oldest_waiting_seconds: `4000x${hours}`,
      reembed_workers: `8x${hours}`,
      [queue('wait')]: `0+5x${hours}`,
    },
    quiet: {
      reembed_queue_oldest_waiting_seconds: `4000x${hours}`,
      reembed_workers: `8x${hours}`,
      [queue('wait')]: `1000-5x${hours}`,
    },
  },
  ReembedRedisDown: {
    at: 5,
    fires: { reembed_redis_up: `0x${hours}` },
    quiet: { reembed_redis_up: `1x${hours}` },
  },
  ReembedRedisMemory: {
    at: 10,
    fires: { reembed_redis_memory_used_bytes: `90x${hours}`, reembed_redis_memory_max_bytes: `100x${hours}` },
    // Without maxmemory there is no share to alert on.
    quiet: { reembed_redis_memory_used_bytes: `90x${hours}`, reembed_redis_memory_max_bytes: `0x${hours}` },
  },
  ReembedRedisMayEvict: {
    at: 2,
    fires: { reembed_redis_noeviction: `0x${hours}` },
    quiet: { reembed_redis_noeviction: `1x${hours}` },
  },
  ReembedJobsStalled: {
    at: 30,
    fires: { 'reembed_jobs_total{outcome="stalled"}': `0+1x${hours}` },
    quiet: { 'reembed_jobs_total{outcome="stalled"}': `0x10 2x${hours}` },
  },
  ReembedStoreThrottled: {
    at: 40,
    fires: { 'reembed_store_transient_errors_total{reason="throttled"}': `0+120x${hours}` },
    quiet: { 'reembed_store_transient_errors_total{reason="throttled"}': `0+6x${hours}` },
  },
  ReembedExporterAbsent: {
    at: 10,
    fires: { up: `1x${hours}` },
    quiet: { reembed_redis_up: `1x${hours}` },
  },
}

/** Evaluates one alert over these series with promtool. Returns null if it fires as expected. */
async function tell(alert: string, series: Series, at: number, firing: boolean): Promise<string | null> {
  const place = await mkdtemp(join(tmpdir(), 'reembed-test-'))
  // Compares whether the alert fires and with which labels, not its texts.
  const bare = rules.map(({ annotations: _, ...rule }) => rule)
  await writeFile(join(place, 'rules.yaml'), stringify({ groups: [{ name: 'reembed', rules: bare }] }))
  const { labels } = rules.find(rule => rule.alert === alert)
  const tests = {
    rule_files: ['rules.yaml'],
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        alert_rule_test: [
          {
            eval_time: `${at}m`,
            alertname: alert,
            exp_alerts: firing ? [{ exp_labels: { ...labels, ...cases[alert]?.labels } }] : [],
          },
        ],
      },
    ],
  }
  await writeFile(join(place, 'test.yaml'), stringify(tests))
  const { status, stdout, stderr } = tool(promtool ?? '', ['test', 'rules', 'test.yaml'], { cwd: place })
  await rm(place, { recursive: true })
  return status === 0 ? null : `${stdout}${stderr}`
}

test('each alert has a test case, a severity, and a section in the runbook', async () => {
  expect(rules.map(({ alert }) => alert)).toEqual(Object.keys(cases))
  const runbook = await readFile(join(repository, 'infra/RUNBOOK.md'), 'utf8')
  const anchors = new Set(
    Array.from(runbook.matchAll(/^#+ (.+)$/gm), ([, title]) =>
      (title ?? '').toLowerCase().replace(/[^\w]+/g, '-'),
    ),
  )
  for (const { alert, labels, annotations } of rules) {
    expect(['critical', 'warning']).toContain(labels.severity)
    expect(annotations.runbook_url).toBe(`infra/RUNBOOK.md#${alert.toLowerCase()}`)
    expect([...anchors]).toContain(alert.toLowerCase())
  }
})

for (const [alert, { at, fires, quiet }] of Object.entries(cases)) {
  testUnless(noPromtool, `${alert} fires and stays quiet as intended`, async () => {
    expect(await tell(alert, fires, at, true)).toBeNull()
    expect(await tell(alert, quiet, at, false)).toBeNull()
  })
}

testUnless(noPromtool, 'promtool reports an expectation that is not met', async () => {
  expect(await tell('ReembedRedisDown', { reembed_redis_up: '1x20' }, 10, true)).toMatch(/FAILED/)
})
