// The three dashboards: Run (progress and cost of runs), Fleet (load of the workers) and TEI (load
// of the endpoint). `pnpm --filter @reembed/infra dashboards` writes them into the chart; a test
// compares the files with this source.

import { type Dashboard, toGrafana } from './grafana.ts'

const RATE = '[$__rate_interval]'
const run: Dashboard = {
  uid: 'reembed-run',
  title: 'reembed / Run',
  description: 'Progress, rejected documents and cost of runs.',
  numbers: { price_per_replica_hour: 1, replicas: 1 },
  panels: [
    {
      title: 'Completed shards',
      description: 'Share of the shards of a run that are in the store.',
      unit: 'percentunit',
      kind: 'stat',
      queries: [['reembed_run_shards_done / reembed_run_shards', '{{run}}']],
    },
    {
      title: 'Estimated time remaining',
      description: 'At the speed of the last 30 minutes. Very large: no shard was completed in that time.',
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
      description: 'Number of the published version that readers use.',
      unit: 'none',
      kind: 'stat',
      queries: [['reembed_current_version', '{{output}}']],
    },
    {
      title: 'Documents',
      description: 'Documents in completed shards, and documents that the plan expects.',
      unit: 'short',
      queries: [
        ['reembed_run_documents_done', 'completed {{run}}'],
        ['reembed_run_documents', 'planned {{run}}'],
      ],
    },
    {
      title: 'Texts and tokens per second',
      description: 'Throughput of all workers.',
      unit: 'ops',
      queries: [
        [`sum(rate(reembed_texts_total${RATE}))`, 'texts'],
        [`sum(rate(reembed_tokens_total${RATE}))`, 'tokens'],
      ],
    },
    {
      title: 'Cost per million tokens',
      description:
        'At the current speed, from the price per replica hour and the number of replicas set above.',
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
        'Documents that cannot be embedded. Above the limit of the plan, the run is not published.',
      unit: 'short',
      queries: [
        ['reembed_run_rejects', '{{run}}'],
        ['sum by (reason) (reembed_rejects_total)', '{{reason}}'],
      ],
    },
    {
      title: 'Queue',
      description:
        'Jobs by state. Delayed jobs wait for an endpoint that is overloaded, unavailable or starting.',
      unit: 'short',
      queries: [['max by (state) (reembed_queue_jobs)', '{{state}}']],
    },
    {
      title: 'Oldest waiting job and longest overdue job',
      description:
        'A growing wait means too few workers. An overdue delayed job means that no worker is running.',
      unit: 's',
      queries: [
        ['max(reembed_queue_oldest_waiting_seconds)', 'oldest waiting'],
        ['max(reembed_queue_overdue_seconds)', 'longest overdue'],
      ],
    },
  ],
}

const fleet: Dashboard = {
  uid: 'reembed-fleet',
  title: 'reembed / Fleet',
  description: 'Load of the workers and the resource that limits them.',
  panels: [
    {
      title: 'Workers',
      description: 'Workers that are connected to Redis, and workers that Prometheus scrapes.',
      unit: 'short',
      queries: [
        ['max(reembed_workers)', 'connected'],
        ['count(reembed_jobs_concurrency)', 'scraped'],
      ],
    },
    {
      title: 'Active jobs',
      description: 'Active jobs below capacity: too few jobs for the number of workers.',
      unit: 'short',
      queries: [
        ['sum(reembed_jobs_active)', 'active'],
        ['sum(reembed_jobs_concurrency)', 'capacity'],
      ],
    },
    {
      title: 'Jobs by outcome',
      description:
        'Delayed: the endpoint was overloaded or unavailable. Requeued: a worker shut down. Stalled: a worker was lost. Failed: see ReembedJobsFailed in the runbook.',
      unit: 'ops',
      queries: [[`sum by (outcome) (rate(reembed_jobs_total${RATE}))`, '{{outcome}}']],
    },
    {
      title: 'Job duration',
      description:
        'From start of the job to its shard in the store. Aim for one minute or less: a lost worker loses this much work per job.',
      unit: 's',
      queries: [
        [`histogram_quantile(0.5, sum by (le) (rate(reembed_job_duration_seconds_bucket${RATE})))`, 'median'],
        [`histogram_quantile(0.99, sum by (le) (rate(reembed_job_duration_seconds_bucket${RATE})))`, 'p99'],
      ],
    },
    {
      title: 'Failed attempts by error code',
      description: 'Job attempts that failed or were delayed.',
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
      description:
        'Shards written (put), and shards that another worker had written before (already_done) or after (already_exists) embedding. Many already_exists: jobs run twice.',
      unit: 'ops',
      queries: [
        [`sum by (outcome) (rate(reembed_shards_total${RATE}))`, '{{outcome}}'],
        [`sum(rate(reembed_documents_total${RATE}))`, 'documents'],
      ],
    },
    {
      title: 'Bytes written',
      description: 'Bytes of shards written to the store per second.',
      unit: 'bytes',
      queries: [[`sum(rate(reembed_shard_bytes_total${RATE}))`, 'per second']],
    },
    {
      title: 'Transient store errors',
      description:
        'Store calls that failed and are retried. Throttled: use larger shards, or wait until S3 splits the prefix.',
      unit: 'ops',
      queries: [[`sum by (reason) (rate(reembed_store_transient_errors_total${RATE}))`, '{{reason}}']],
    },
    {
      title: 'Redis memory',
      description: 'Used memory and maxmemory. At the limit, adding jobs fails and the producer waits.',
      unit: 'bytes',
      queries: [
        ['max(reembed_redis_memory_used_bytes)', 'used'],
        ['max(reembed_redis_memory_max_bytes)', 'maxmemory'],
      ],
    },
    {
      title: 'Worker memory',
      description: 'Resident memory. Each active job buffers one shard of at most 64 MiB.',
      unit: 'bytes',
      queries: [['process_resident_memory_bytes{job="reembed-worker"}', '{{instance}}']],
    },
    {
      title: 'Event loop lag',
      description: 'Above 0.1 s, a worker needs more CPU.',
      unit: 's',
      queries: [
        [
          'max by (instance) (reembed_event_loop_lag_seconds{stat="p99",job="reembed-worker"})',
          '{{instance}}',
        ],
      ],
    },
    {
      title: 'Worker CPU',
      description: 'A worker uses one core. Near 100 %, add workers instead of raising worker.concurrency.',
      unit: 'percentunit',
      queries: [[`rate(process_cpu_seconds_total{job="reembed-worker"}${RATE})`, '{{instance}}']],
    },
  ],
}

const tei: Dashboard = {
  uid: 'reembed-tei',
  title: 'reembed / TEI',
  description: 'Load of the endpoint, measured by the workers and by TEI.',
  panels: [
    {
      title: 'Texts in flight',
      description: 'Texts in flight and the limit. At the limit, the endpoint limits the speed of the run.',
      unit: 'short',
      queries: [
        ['sum(reembed_limiter_inflight_inputs)', 'in flight'],
        ['sum(reembed_limiter_limit_inputs)', 'limit'],
      ],
    },
    {
      title: 'Requests by outcome',
      description:
        'overload: refused because the endpoint was full. cold_start: the endpoint is scaling up from zero.',
      unit: 'ops',
      queries: [
        [
          `sum by (outcome) (rate(reembed_requests_total${RATE})) > 0 or sum(rate(reembed_requests_total${RATE}))`,
          '{{outcome}}',
        ],
      ],
    },
    {
      title: 'Share of refused requests',
      description:
        'Above 20 % for 10 minutes: other clients use the endpoint, or replicas were removed faster than the limit adapted.',
      unit: 'percentunit',
      queries: [
        [
          `sum(rate(reembed_requests_total{outcome="overload"}${RATE})) / clamp_min(sum(rate(reembed_requests_total${RATE})), 1e-9)`,
          'refused',
        ],
      ],
    },
    {
      title: 'Request duration',
      description: 'Measured by the workers, and the part spent in the queue of the endpoint.',
      unit: 's',
      queries: [
        [
          `histogram_quantile(0.5, sum by (le) (rate(reembed_request_duration_seconds_bucket${RATE})))`,
          'median',
        ],
        [
          `histogram_quantile(0.99, sum by (le) (rate(reembed_request_duration_seconds_bucket${RATE})))`,
          'p99',
        ],
        [
          `histogram_quantile(0.5, sum by (le) (rate(reembed_endpoint_queue_seconds_bucket${RATE})))`,
          'median, queued',
        ],
      ],
    },
    {
      title: 'TEI queue',
      description: 'Texts, not requests. The limiter of the workers keeps the queue short but not empty.',
      unit: 'short',
      queries: [['sum(te_queue_size)', 'texts']],
    },
    {
      title: 'Tokens per model batch',
      description: 'Mean. Full batches use the GPU best; the maximum is --max-batch-tokens of TEI.',
      unit: 'short',
      queries: [
        [
          `sum(rate(te_batch_next_tokens_sum${RATE})) / clamp_min(sum(rate(te_batch_next_tokens_count${RATE})), 1e-9)`,
          'mean',
        ],
      ],
    },
    {
      title: 'Inference duration',
      description: 'Time of a text in the model, measured by TEI.',
      unit: 's',
      queries: [
        [`histogram_quantile(0.5, sum by (le) (rate(te_embed_inference_duration_bucket${RATE})))`, 'median'],
        [`histogram_quantile(0.99, sum by (le) (rate(te_embed_inference_duration_bucket${RATE})))`, 'p99'],
      ],
    },
    {
      title: 'TEI requests',
      description: 'All requests and answered requests. The difference was refused or aborted by the client.',
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
