// Every command that has a dependency, with the dependencies that it cannot do without.

import { join } from 'node:path'
import { flags } from '../parts/cli.ts'

export type Dependency = 'Redis' | 'S3' | 'endpoint' | 'Hub' | 'management API' | 'vector store'

/** Addresses of the dependencies; a cell replaces one of them with a faulty one. */
export interface Places {
  readonly redis: string
  readonly s3: string
  readonly endpoint: string
  readonly hub: string
  readonly api: string
  /** A vector store, as an HTTP URL. */
  readonly vectors: string
  readonly source: string
  /** A finished run, one that waits for its jobs, and an output without runs. */
  readonly finished: { readonly output: string; readonly runs: readonly [string, string] }
  readonly queued: { readonly output: string; readonly run: string }
  readonly fresh: string
  readonly folder: string
}

export interface Command {
  readonly name: string
  readonly uses: readonly Dependency[]
  readonly args: (places: Places) => readonly string[]
  /** Stays up: only the time to its first line and that of a signal are measured. */
  readonly staysUp?: boolean
  /** An optional client: without it, the command is not measured. */
  readonly client?: string
  /** Continues without the dependency after its deadline, and ends with exit code 0. */
  readonly continues?: boolean
}

const vectorUrl = (kind: 'elasticsearch' | 'milvus' | 'qdrant' | 'postgres', url: string): string => {
  if (kind !== 'postgres') return `${kind}+${url}`
  const { protocol, host } = new URL(url)
  return `postgres://${host}/search${protocol === 'https:' ? '?sslmode=require' : ''}`
}

const planning = ({ source, endpoint, fresh }: Places): string[] => flags({ source, endpoint, output: fresh })

export const COMMANDS: readonly Command[] = [
  {
    name: 'run',
    uses: ['Redis', 'S3', 'endpoint'],
    args: places => ['run', ...planning(places), ...flags({ redis: places.redis })],
  },
  {
    name: 'enqueue',
    uses: ['Redis', 'S3', 'endpoint'],
    args: places => ['enqueue', ...planning(places), ...flags({ redis: places.redis })],
  },
  { name: 'plan', uses: ['S3', 'endpoint'], args: places => ['plan', ...planning(places)] },
  {
    name: 'plan hf://',
    uses: ['Hub'],
    args: ({ endpoint }) => ['plan', ...flags({ source: 'hf://datasets/org/name', endpoint })],
  },
  {
    name: 'plan --chunk-tokens',
    uses: ['Hub'],
    args: ({ source, endpoint }) => ['plan', ...flags({ source, endpoint, 'chunk-tokens': '16' })],
    // The endpoint tells what texts cost.
    continues: true,
  },
  {
    name: 'preview',
    uses: ['S3', 'endpoint'],
    args: ({ source, endpoint, finished: { output } }) => ['preview', ...flags({ source, endpoint, output })],
  },
  {
    name: 'preview --record',
    uses: ['S3', 'endpoint'],
    args: ({ source, endpoint, finished: { output } }) => [
      ...['preview', '--record'],
      ...flags({ source, endpoint, output }),
    ],
  },
  {
    name: 'worker',
    uses: ['Redis'],
    args: ({ redis, endpoint, queued: { output }, folder }) => [
      'worker',
      ...flags({ redis, endpoint, output, sources: folder }),
    ],
  },
  {
    name: 'worker (up)',
    uses: ['S3', 'endpoint'],
    staysUp: true,
    args: ({ redis, endpoint, queued: { output }, folder }) => [
      'worker',
      // A job each, so that each worker that waits at the same time meets its dependency.
      ...flags({ redis, endpoint, output, sources: folder, concurrency: '1', 'drain-seconds': '1' }),
    ],
  },
  {
    name: 'producer',
    uses: ['Redis', 'S3'],
    args: ({ redis, source, endpoint, fresh, folder }) => [
      'producer',
      ...flags({ redis, source, endpoint, output: fresh, config: join(folder, 'reembed.yaml') }),
    ],
  },
  {
    name: 'schedule ls',
    uses: ['S3'],
    args: ({ finished: { output }, folder }) => [
      ...['schedule', 'ls'],
      ...flags({ output, config: join(folder, 'reembed.yaml') }),
    ],
  },
  {
    name: 'schedule tick',
    uses: ['Redis', 'S3'],
    args: ({ redis, source, endpoint, fresh, folder }) => [
      ...['schedule', 'tick'],
      ...flags({ redis, source, endpoint, output: fresh, config: join(folder, 'reembed.yaml') }),
    ],
  },
  {
    name: 'exporter (up)',
    uses: ['Redis', 'S3'],
    staysUp: true,
    args: ({ redis, finished: { output } }) => ['exporter', ...flags({ redis, output, metrics: '0' })],
  },
  {
    name: 'console (up)',
    uses: ['Redis', 'S3'],
    staysUp: true,
    args: ({ redis, finished: { output } }) => ['console', ...flags({ redis, output, listen: '0' })],
  },
  {
    name: 'status',
    uses: ['Redis', 'S3'],
    args: ({ redis, queued: { output } }) => ['status', ...flags({ redis, output })],
  },
  {
    name: 'ls',
    uses: ['Redis', 'S3'],
    args: ({ redis, queued: { output } }) => ['ls', ...flags({ redis, output })],
  },
  {
    name: 'resume',
    uses: ['Redis', 'S3'],
    args: ({ redis, queued: { output, run } }) => ['resume', run, ...flags({ redis, output })],
  },
  ...(['pause', 'cancel'] as const).map(name => ({
    name,
    uses: ['S3'] as const,
    args: ({ queued: { output, run } }: Places) => [name, run, ...flags({ output })],
  })),
  ...(['versions', 'verify', 'rejects', 'current', 'recall', 'gc', 'rollback'] as const).map(name => ({
    name,
    uses: ['S3'] as const,
    args: ({ finished: { output } }: Places) => [name, ...flags({ output })],
  })),
  {
    name: 'gc --delete',
    uses: ['S3'],
    args: ({ finished: { output } }) => ['gc', '--delete', ...flags({ output, keep: '1' })],
  },
  {
    name: 'publish',
    uses: ['S3'],
    args: ({ finished: { output, runs } }) => ['publish', runs[0], '--force', ...flags({ output })],
  },
  {
    name: 'diff',
    uses: ['S3'],
    args: ({ finished: { output, runs } }) => ['diff', ...runs, ...flags({ output })],
  },
  {
    name: 'report',
    uses: ['S3'],
    args: ({ finished: { output, runs } }) => ['report', ...runs, ...flags({ output })],
  },
  {
    name: 'export',
    uses: ['S3'],
    args: ({ finished: { output }, folder }) => [
      'export',
      ...flags({ output, layout: 'npy', to: join(folder, 'exported') }),
    ],
  },
  {
    name: 'search',
    uses: ['S3', 'endpoint'],
    args: ({ finished: { output }, endpoint }) => ['search', 'words', ...flags({ output, endpoint })],
  },
  {
    name: 'evaluate',
    uses: ['S3', 'endpoint'],
    args: ({ finished: { output }, endpoint, folder }) => [
      'evaluate',
      ...flags({ output, endpoint }),
      ...flags({ 'gate-queries': join(folder, 'queries.jsonl'), 'gate-qrels': join(folder, 'qrels.tsv') }),
    ],
  },
  {
    name: 'retry',
    uses: ['S3'],
    args: ({ finished: { output, runs }, endpoint, redis }) => [
      ...['retry', runs[1], '--rejects'],
      ...flags({ output, endpoint, redis }),
    ],
  },
  { name: 'embed', uses: ['endpoint'], args: ({ endpoint }) => ['embed', 'words', ...flags({ endpoint })] },
  {
    name: 'doctor',
    uses: ['Redis', 'S3', 'endpoint'],
    args: ({ source, finished: { output }, endpoint, redis }) => [
      'doctor',
      ...flags({ source, output, endpoint, redis }),
    ],
  },
  ...(['qdrant', 'postgres'] as const).map(kind => ({
    name: `doctor --store (${kind})`,
    uses: ['vector store'] as const,
    args: ({ vectors }: Places) => {
      const url = vectorUrl(kind, vectors)
      const name = kind === 'postgres' ? 'table' : 'collection'
      return ['doctor', ...flags({ store: `${url}${url.includes('?') ? '&' : '?'}${name}=docs` })]
    },
  })),
  {
    name: 'load --update (qdrant)',
    uses: ['vector store'],
    args: ({ vectors, finished: { output } }) => [
      ...['load', '--update'],
      ...flags({ output, to: vectorUrl('qdrant', vectors) }),
    ],
  },
  {
    name: 'load --redis (qdrant)',
    uses: ['Redis'],
    args: ({ vectors, redis, finished: { output } }) => [
      'load',
      ...flags({ output, redis, to: vectorUrl('qdrant', vectors) }),
    ],
  },
  {
    name: 'endpoint bench',
    uses: ['endpoint'],
    args: ({ endpoint }) => ['endpoint', 'bench', ...flags({ endpoint, seconds: '1' })],
  },
  {
    name: 'init',
    uses: ['Hub'],
    args: ({ folder }) => [
      'init',
      ...flags({ source: 'hf://datasets/org/name', config: join(folder, 'new.yaml') }),
    ],
  },
  ...(['status', 'wait', 'pause', 'resume', 'delete'] as const).map(name => ({
    name: `endpoint ${name}`,
    uses: ['management API'] as const,
    args: () => ['endpoint', name, 'hf:acme/bge'],
  })),
  {
    name: 'endpoint scale',
    uses: ['management API'],
    args: () => ['endpoint', 'scale', 'hf:acme/bge', ...flags({ min: '0', max: '1' })],
  },
  {
    name: 'endpoint deploy',
    uses: ['management API'],
    args: () => [
      ...['endpoint', 'deploy', 'acme/model'],
      ...flags({ as: 'hf:acme/bge', instance: 'nvidia-a10g-x1', revision: 'a'.repeat(40) }),
    ],
  },
  {
    name: 'endpoint deploy (revision)',
    uses: ['Hub'],
    args: () => [
      ...['endpoint', 'deploy', 'acme/model'],
      ...flags({ as: 'hf:acme/bge', instance: 'nvidia-a10g-x1' }),
    ],
  },
  { name: 'endpoint price', uses: ['management API'], args: () => ['endpoint', 'price', 'acme'] },
  ...(['load', 'switch', 'drop'] as const).flatMap(name =>
    (['elasticsearch', 'milvus', 'qdrant', 'postgres'] as const).map(kind => ({
      name: `${name} (${kind})`,
      ...(kind === 'milvus' && { client: '@zilliz/milvus2-sdk-node' }),
      // Each reads the output before it opens the vector store.
      uses: kind === 'postgres' ? (['S3', 'vector store'] as const) : (['vector store'] as const),
      args: ({ vectors, finished: { output, runs } }: Places) => [
        ...[name, ...(name === 'drop' ? [runs[0]] : [])],
        ...flags({ output, to: vectorUrl(kind, vectors) }),
      ],
    })),
  ),
]
