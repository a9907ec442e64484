// The three dashboards. Run: is it on time, what does it cost. Fleet: what do the workers do. TEI: is it the endpoint.
// `pnpm --filter @reembed/infra dashboards` writes them into the chart; a test holds the files to this source.

import { type Dashboard, toGrafana } from './grafana.ts'

const RATE = '[$__rate_interval]'
const run: Dashboard = {
  uid: 'reembed-run',
  title: 'reembed / Run',
  description: 'Is the run on time, what was left out, what does it cost.',
  numbers: { price_per_replica_hour: 1, replicas: 1 },
  panels: [
    {
      title: 'Done',
      description: 'Share of the shards that the store holds. The store is the truth.',
      unit: 'percentunit',
      kind: 'stat',
      queries: [['reembed_run_shards_done / reembed_run_shards', '{{run}}']],
    },
    {
      title: 'Time to the end',
      description: 'At the speed of the last half hour. Endless: nothing was finished in it.',
      unit: 's',
      kind: 'stat',
      queries: [
        [
          '(reembed_run_shards - reembed_run_shards_done) / clamp_min(deriv(reembed_run_shards_done[30m]), 1e-9) and reembed_run_finished == 0 or 0 * reembed_run_shards',
          '{{run}}',
        ],
      ],
    },
    {
      title: 'Current version',
      description: 'The published version that readers use.',
      unit: 'none',
      kind: 'stat',
      queries: [['reembed_current_version', '{{output}}']],
    },
    {
      title: 'Documents',
      description: 'Documents in finished and open shards, against what the plan expects.',
      unit: 'short',
      queries: [
        ['reembed_run_documents_done', 'done {{run}}'],
        ['reembed_run_documents', 'planned {{run}}'],
      ],
    },
    {
      title: 'Texts and tokens a second',
      description: 'What the fleet gets out of the endpoint.',
      unit: 'ops',
      queries: [
        [`sum(rate(reembed_texts_total${RATE}))`, 'texts'],
        [`sum(rate(reembed_tokens_total${RATE}))`, 'tokens'],
      ],
    },
    {
      title: 'Cost of a million tokens',
      description: 'From the price and the number of replicas above, at the present speed.',
      unit: 'currencyUSD',
      queries: [
        [
          `$price_per_replica_hour * $replicas * 1e6 / (3600 * clamp_min(sum(rate(reembed_tokens_total${RATE})), 1e-9))`,
          'per 1M tokens',
        ],
      ],
    },
    {
      title: 'Rejects',
      description:
        'Documents that can not be embedded. Over the limit of the plan, the run is not published.',
      unit: 'short',
      queries: [
        ['reembed_run_rejects', '{{run}}'],
        ['sum by (reason) (reembed_rejects_total)', '{{reason}}'],
      ],
    },
    {
      title: 'Queue',
      description: 'Jobs by state. Delayed jobs wait for an endpoint that is overloaded or waking.',
      unit: 'short',
      queries: [['max by (state) (reembed_queue_jobs)', '{{state}}']],
    },
    {
      title: 'Oldest waiting job, most overdue job',
      description: 'Waiting grows while there are too few workers; overdue means that no worker lives.',
      unit: 's',
      queries: [
        ['max(reembed_queue_oldest_waiting_seconds)', 'oldest waiting'],
        ['max(reembed_queue_overdue_seconds)', 'most overdue'],
      ],
    },
  ],
}

const fleet: Dashboard = {
  uid: 'reembed-fleet',
  title: 'reembed / Fleet',
  description: 'What the workers do, and what they run short of.',
  panels: [
    {
      title: 'Workers',
      description: 'Alive by their own word, and those that Prometheus reaches.',
      unit: 'short',
      queries: [
        ['max(reembed_workers)', 'alive'],
        ['count(reembed_jobs_concurrency)', 'scraped'],
      ],
    },
    {
      title: 'Jobs under way',
      description: 'Below the room there is: too few jobs, or a fleet that is too large.',
      unit: 'short',
      queries: [
        ['sum(reembed_jobs_active)', 'active'],
        ['sum(reembed_jobs_concurrency)', 'room'],
      ],
    },
    {
      title: 'Jobs by outcome',
      description: 'Postponed: the endpoint was overloaded. Stalled: a worker vanished. Failed needs a look.',
      unit: 'ops',
      queries: [[`sum by (outcome) (rate(reembed_jobs_total${RATE}))`, '{{outcome}}']],
    },
    {
      title: 'Time of a job',
      description:
        'From taking it to its shard in the store. Aim at a minute or less: that is what a lost worker costs.',
      unit: 's',
      queries: [
        [`histogram_quantile(0.5, sum by (le) (rate(reembed_job_duration_seconds_bucket${RATE})))`, 'half'],
        [`histogram_quantile(0.99, sum by (le) (rate(reembed_job_duration_seconds_bucket${RATE})))`, '99 %'],
      ],
    },
    {
      title: 'Failures by code',
      description: 'Attempts that failed or were delayed.',
      unit: 'ops',
      queries: [
        [
          `sum by (code) (rate(reembed_job_failures_total${RATE})) > 0 or sum(rate(reembed_job_failures_total${RATE}))`,
          '{{code}}',
        ],
      ],
    },
    {
      title: 'Shards',
      description: 'Put, or found put by another. Many found after embedding: jobs are done twice.',
      unit: 'ops',
      queries: [
        [`sum by (outcome) (rate(reembed_shards_total${RATE}))`, '{{outcome}}'],
        [`sum(rate(reembed_documents_total${RATE}))`, 'documents'],
      ],
    },
    {
      title: 'Bytes put',
      description: 'Shards put into the store.',
      unit: 'bytes',
      queries: [[`sum(rate(reembed_shard_bytes_total${RATE}))`, 'a second']],
    },
    {
      title: 'Faults of the store',
      description:
        'Passing ones, tried again. Throttled: fewer, larger shards, or wait for the prefix to be split.',
      unit: 'ops',
      queries: [[`sum by (reason) (rate(reembed_store_transient_errors_total${RATE}))`, '{{reason}}']],
    },
    {
      title: 'Redis memory',
      description: 'Used, and allowed. At the limit, adding jobs fails and the producer waits.',
      unit: 'bytes',
      queries: [
        ['max(reembed_redis_memory_used_bytes)', 'used'],
        ['max(reembed_redis_memory_max_bytes)', 'allowed'],
      ],
    },
    {
      title: 'Memory of a worker',
      description: 'Resident. A shard in the making for each job, 64 MiB at most.',
      unit: 'bytes',
      queries: [['process_resident_memory_bytes{job="reembed-worker"}', '{{instance}}']],
    },
    {
      title: 'Event loop lag',
      description: 'Over a tenth of a second, a worker is short of CPU.',
      unit: 's',
      queries: [
        [
          'max by (instance) (reembed_event_loop_lag_seconds{stat="p99",job="reembed-worker"})',
          '{{instance}}',
        ],
      ],
    },
    {
      title: 'CPU of a worker',
      description: 'A worker uses one core; near 1, more workers help more than more jobs at once.',
      unit: 'percentunit',
      queries: [[`rate(process_cpu_seconds_total{job="reembed-worker"}${RATE})`, '{{instance}}']],
    },
  ],
}

const tei: Dashboard = {
  uid: 'reembed-tei',
  title: 'reembed / TEI',
  description: 'Is it the endpoint: as the workers see it, and as TEI says itself.',
  panels: [
    {
      title: 'Texts in flight',
      description: 'In flight against the limit: at the limit, the endpoint is what the run waits for.',
      unit: 'short',
      queries: [
        ['sum(reembed_limiter_inflight_inputs)', 'in flight'],
        ['sum(reembed_limiter_limit_inputs)', 'limit'],
      ],
    },
    {
      title: 'Requests by outcome',
      description: 'Overload: refused for want of permits. Cold: waking up.',
      unit: 'ops',
      queries: [
        [
          `sum by (outcome) (rate(reembed_requests_total${RATE})) > 0 or sum(rate(reembed_requests_total${RATE}))`,
          '{{outcome}}',
        ],
      ],
    },
    {
      title: 'Share of requests refused',
      description: 'Over a fifth for ten minutes: other clients, or a limit that does not hold.',
      unit: 'percentunit',
      queries: [
        [
          `sum(rate(reembed_requests_total{outcome="overload"}${RATE})) / clamp_min(sum(rate(reembed_requests_total${RATE})), 1e-9)`,
          'refused',
        ],
      ],
    },
    {
      title: 'Time of a request',
      description: 'As the workers see it, and the part spent in the queue of the endpoint.',
      unit: 's',
      queries: [
        [
          `histogram_quantile(0.5, sum by (le) (rate(reembed_request_duration_seconds_bucket${RATE})))`,
          'half',
        ],
        [
          `histogram_quantile(0.99, sum by (le) (rate(reembed_request_duration_seconds_bucket${RATE})))`,
          '99 %',
        ],
        [
          `histogram_quantile(0.5, sum by (le) (rate(reembed_endpoint_queue_seconds_bucket${RATE})))`,
          'half, queued',
        ],
      ],
    },
    {
      title: 'Queue of TEI',
      description: 'Texts, not requests. The limiter keeps it short but never empty.',
      unit: 'short',
      queries: [['sum(te_queue_size)', 'texts']],
    },
    {
      title: 'Tokens in a batch of the model',
      description: 'Full batches are what a GPU is paid for.',
      unit: 'short',
      queries: [
        [
          `sum(rate(te_batch_next_tokens_sum${RATE})) / clamp_min(sum(rate(te_batch_next_tokens_count${RATE})), 1e-9)`,
          'mean',
        ],
      ],
    },
    {
      title: 'Inference',
      description: 'Time of a text in the model, by TEI.',
      unit: 's',
      queries: [
        [`histogram_quantile(0.5, sum by (le) (rate(te_embed_inference_duration_bucket${RATE})))`, 'half'],
        [`histogram_quantile(0.99, sum by (le) (rate(te_embed_inference_duration_bucket${RATE})))`, '99 %'],
      ],
    },
    {
      title: 'Requests that TEI counts',
      description: 'All, and those answered: the rest was refused or given up.',
      unit: 'ops',
      queries: [
        [`sum(rate(te_request_count${RATE}))`, 'all'],
        [`sum(rate(te_request_success${RATE}))`, 'answered'],
      ],
    },
  ],
}

/** Each dashboard by its file name, as Grafana reads it. */
export const dashboards: Readonly<Record<string, object>> = {
  'run.json': toGrafana(run),
  'fleet.json': toGrafana(fleet),
  'tei.json': toGrafana(tei),
}
