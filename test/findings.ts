// What an attack on the product found, and what siblings of it found since, as data: each with the
// test that fails without its fix, tests of siblings of the same kind, and the edit that takes the
// fix out. findings.test.ts fails if a test that is cited here no longer exists, or if an edit no
// longer fits; `npm run findings` applies each edit and requires its test to fail.

import type { CitedTest } from './parts/cited-test.ts'

export interface Finding {
  /** The kind: see POINTS. */
  readonly point: keyof typeof POINTS
  readonly seen: string
  readonly test: CitedTest
  /** Rows of the test that show it, if its name has a placeholder: the name of one. */
  readonly only?: string
  /** The file that vitest runs, where another one declares the test. */
  readonly run?: string
  /** Takes the fix out. `find` occurs exactly once in the file. */
  readonly without: { readonly file: string; readonly find: string; readonly replace: string }
}

export const POINTS = {
  waits: 'Every wait ends, and states what it waits for.',
  records: 'What cannot be read back is not written.',
  tokens: 'Tokens are sent to their host.',
  paths: 'Jobs and plans cannot lead outside, and everything has a size.',
  vectors: 'Vectors that cannot be right are refused.',
  hooks: 'Hooks are bounded, authenticated and accepted once.',
  output: 'A terminal, a shell, SQL and JSON get what they can show.',
  small: 'Small faults of gc, readers and messages.',
  model: 'The threat model has a test for each line.',
} as const

const silent = (name: string): CitedTest => ['test/silent.test.ts', name]
const hub = (name: string): CitedTest => ['packages/store/test/hub-client.test.ts', name]
const s3 = (name: string): CitedTest => ['packages/store/test/store-deadlines.test.ts', name]
const deadlines = (name: string): CitedTest => ['packages/shared/test/deadlines.test.ts', name]
const sources = (name: string): CitedTest => ['packages/queue/test/reply-sources.test.ts', name]
const records = (name: string): CitedTest => ['packages/protocol/test/records.test.ts', name]
const endpoint = (name: string): CitedTest => ['packages/endpoint/test/endpoint.test.ts', name]
const tokens = (name: string): CitedTest => ['test/tokens.test.ts', name]
const outputs = (name: string): CitedTest => ['packages/queue/test/outputs.test.ts', name]
const allowed = (name: string): CitedTest => ['packages/worker/test/allowed-source.test.ts', name]
const stores = (name: string): CitedTest => ['packages/store/test/store-conformance.ts', name]
const folders = (name: string): CitedTest => ['packages/store/test/store-folder.test.ts', name]
const bounds = (name: string): CitedTest => ['test/bounds.test.ts', name]
const values = (name: string): CitedTest => ['test/foreign-redis-values.test.ts', name]
const collapsed = (name: string): CitedTest => ['packages/shared/test/collapsed.test.ts', name]
const canary = (name: string): CitedTest => ['packages/worker/test/canary.test.ts', name]
const nonsense = (name: string): CitedTest => ['test/nonsense.test.ts', name]
const hooks = (name: string): CitedTest => ['packages/producer/test/hooks.test.ts', name]
const printable = (name: string): CitedTest => ['packages/shared/test/printable.test.ts', name]
const terminal = (name: string): CitedTest => ['test/hostile-terminal.test.ts', name]
const names = (name: string): CitedTest => ['test/export/hostile-names.test.ts', name]
const chunks = (name: string): CitedTest => ['packages/corpus/test/chunk.test.ts', name]
const done = (name: string): CitedTest => ['packages/producer/test/documents-done.test.ts', name]
const full = (name: string): CitedTest => ['test/full-disk.test.ts', name]
const load = (name: string): CitedTest => ['test/load/silent.test.ts', name]
const config = (name: string): CitedTest => ['packages/reembed/test/config.test.ts', name]
const MEMORY = 'P-BOUNDED: memory stays within its bound for a smaller form of: %s'

export const FINDINGS: readonly Finding[] = [
  {
    point: 'waits',
    seen: 'A Redis that accepts connections and stays silent hangs every command for minutes.',
    test: silent('a command whose dependency is silent says so and ends in time: $what'),
    only: 'a command whose dependency is silent says so and ends in time: ls, Redis',
    without: {
      file: 'packages/queue/src/redis.ts',
      find: 'if (Date.now() + wait >= deadline) throw unreachable',
      replace: '',
    },
  },
  {
    point: 'waits',
    seen: 'run, worker and producer ignore SIGTERM while a dependency is silent.',
    test: silent('SIGTERM ends %s, whatever it waits for'),
    without: {
      file: 'packages/reembed/src/interrupt.ts',
      find: 'const handle = (name: NodeJS.Signals): void => {',
      replace: 'const handle = (name: NodeJS.Signals): void => {\n    if (name) return',
    },
  },
  {
    point: 'waits',
    seen: 'A silent Hub takes 1,516 s.',
    test: hub('all attempts at a silent Hub take no longer than the time of one call'),
    without: {
      file: 'packages/store/src/hub-client.ts',
      find: 'const limits = deadlines().hub',
      replace: 'const limits = { ...deadlines().hub, callMs: 1e9 }',
    },
  },
  {
    point: 'waits',
    seen: 'A silent S3 takes 201 to 205 s for each command.',
    test: s3(
      'every call to an S3 that answers in none of the right ways ends within its time, as unreachable',
    ),
    without: {
      file: 'packages/store/src/s3-calls.ts',
      find: 'limit.begin(Math.max(1, Math.min(attemptMs, endMs - performance.now())))',
      replace: '',
    },
  },
  {
    point: 'waits',
    seen: '/ready states ready while S3 is silent.',
    test: silent('a worker whose S3 is silent is unready, and takes its jobs again when S3 answers'),
    without: {
      file: 'packages/worker/src/worker.ts',
      find: 'if (ms > limits.unreadyMs)',
      replace: 'if (ms > Infinity)',
    },
  },
  {
    point: 'waits',
    seen: 'A run whose plan.json was removed stays at 97 % without end.',
    test: silent('a run ends with an error when its %s is removed meanwhile'),
    only: 'a run ends with an error when its plan is removed meanwhile',
    without: {
      file: 'packages/producer/src/follow.ts',
      find: 'if ((await readPlan(store, run)) === undefined) throw planMissingError(store, run)',
      replace: '',
    },
  },
  {
    point: 'waits',
    seen: 'Texts are embedded again and again when the folder of the output was removed.',
    test: silent('a run ends with an error when its %s is removed meanwhile'),
    only: 'a run ends with an error when its output is removed meanwhile',
    without: {
      file: 'packages/store/src/folder-path.ts',
      find: 'if (await stat(root).catch(undefinedIfNotFound)) return',
      replace: 'return',
    },
  },
  {
    point: 'waits',
    seen: 'A byte every few seconds counts as life.',
    test: hub('a body that comes byte by byte is broken off, however often its sender sends'),
    without: {
      file: 'packages/shared/src/deadlines.ts',
      find: 'callMs * (1 + bytes / MIB)',
      replace: 'callMs * (1 + 1e6 * bytes)',
    },
  },
  {
    point: 'waits',
    seen: 'Nothing is printed while a command waits.',
    test: deadlines('a long wait is reported with growing intervals, and once for concurrent waits'),
    without: {
      file: 'packages/shared/src/deadlines.ts',
      find: "scope.options.onWait?.({ dependency, state: 'silent', ms })",
      replace: '',
    },
  },
  {
    point: 'waits',
    seen: 'A silent Sentinel hides the next one (sibling).',
    test: sources('a Sentinel that accepts a connection without a reply does not hide the next one'),
    without: {
      file: 'packages/queue/src/redis-client.ts',
      find: 'sentinelCommandTimeout: deadlines().redis.replyMs,',
      replace: '',
    },
  },
  {
    point: 'waits',
    seen: 'A resolver of names that never answers has no limit but its own (sibling).',
    test: [
      'packages/shared/test/resolve-host.test.ts',
      'a resolver that never answers is an error in time, and its wait is reported',
    ],
    without: {
      file: 'packages/shared/src/resolve-host.ts',
      find: 'await within(callMs, look(hostname)',
      replace: 'await within(1e9, look(hostname)',
    },
  },
  {
    point: 'records',
    seen: 'x-compute-tokens: 12.5 puts a shard whose receipt no reader accepts.',
    test: records('a receipt with half a token is refused before its shard is put'),
    without: {
      file: 'packages/protocol/src/receipt.ts',
      find: "const wrong = receiptShape(receipt, '')",
      replace: 'const wrong = undefined',
    },
  },
  {
    point: 'records',
    seen: 'Numbers of servers are taken as they are: halves, negative ones, 1e400.',
    test: endpoint('x-compute-tokens: %s gives the token count %s'),
    without: {
      file: 'packages/endpoint/src/client/endpoint.ts',
      find: "tokenCount(number(reply, 'x-compute-tokens'))",
      replace: "number(reply, 'x-compute-tokens')",
    },
  },
  {
    point: 'records',
    seen: 'publish --force and gc refuse what another command wrote.',
    test: records('%s with %j is refused by its own writer, and nothing is written'),
    without: {
      file: 'packages/store/src/object-kind.ts',
      find: 'requireReadable(refuse(written, key), key, noun)',
      replace: '',
    },
  },
  {
    point: 'tokens',
    seen: 'HF_TOKEN is sent to every endpoint.',
    test: tokens('HF_TOKEN is not sent to an endpoint of another host, also if no other token is set'),
    without: {
      file: 'packages/shared/src/hugging-face.ts',
      find: 'return (isOfHuggingFace && tokens.huggingFace) || undefined',
      replace: 'return tokens.huggingFace',
    },
  },
  {
    point: 'tokens',
    seen: 'HF_TOKEN is sent instead of the token that was given for the endpoint.',
    test: tokens('$client sends $sees alone, and nothing to where a redirect leads'),
    without: {
      file: 'packages/shared/src/hugging-face.ts',
      find: 'if (tokens.endpoint) return tokens.endpoint',
      replace:
        'if (tokens.huggingFace) return tokens.huggingFace\n  if (tokens.endpoint) return tokens.endpoint',
    },
  },
  {
    point: 'tokens',
    seen: 'A token is sent over plain HTTP to another machine.',
    test: tokens('no token is sent over plain HTTP to %s'),
    without: {
      file: 'packages/endpoint/src/client/url.ts',
      find: '!allowInsecure && !isLoopback(hostname)',
      replace: '!allowInsecure && false',
    },
  },
  {
    point: 'tokens',
    seen: 'An IPv4-mapped address of another machine counts as loopback.',
    test: tokens('no token is sent over plain HTTP to %s'),
    only: 'no token is sent over plain HTTP to http://\\[::ffff',
    without: {
      file: 'packages/shared/src/listen.ts',
      find: "host === 'localhost' ||",
      replace: "host === 'localhost' || host.startsWith('[::ffff:') ||",
    },
  },
  {
    point: 'tokens',
    seen: 'A redirect carries the token.',
    test: hub('a redirect to another host is followed without the token'),
    without: { file: 'packages/store/src/follow-redirects.ts', find: 'sent = others', replace: '' },
  },
  {
    point: 'tokens',
    seen: 'A chain of redirects that returns to the first host gets the token again (sibling).',
    test: hub('a chain of redirects that leaves the host and returns to it carries no token'),
    without: {
      file: 'packages/store/src/follow-redirects.ts',
      find: 'fetch(at.href, { headers: sent,',
      replace: 'fetch(at.href, { headers: at.origin === new URL(url).origin ? headers : sent,',
    },
  },
  {
    point: 'tokens',
    seen: 'The Hub may redirect to the metadata service of a cloud (sibling).',
    test: hub('P-NO-METADATA: a redirect of the Hub to %s is not followed'),
    without: {
      file: 'packages/store/src/follow-redirects.ts',
      find: 'if (isLinkLocal(next.hostname))',
      replace: 'if (next === at)',
    },
  },
  {
    point: 'tokens',
    seen: 'The key of a vector store is sent over plain HTTP (sibling).',
    test: tokens('no token is sent over plain HTTP to %s'),
    without: {
      file: 'packages/shared/src/json-client.ts',
      find: "if (username !== '' || Object.keys(headers).length > 0) requireEncrypted(url, option)",
      replace: '',
    },
  },
  {
    point: 'tokens',
    seen: 'A vector store may redirect a request with its key.',
    test: tokens('$client sends $sees alone, and nothing to where a redirect leads'),
    only: 'the client of Qdrant sends',
    without: {
      file: 'packages/shared/src/json-client.ts',
      find: "redirect: 'error',",
      replace: '',
    },
  },
  {
    point: 'tokens',
    seen: 'The metadata service of a cloud has other names and addresses (sibling).',
    test: [
      'packages/endpoint/test/endpoint-url.test.ts',
      'P-NO-METADATA: %s is refused, however it is written',
    ],
    without: {
      file: 'packages/shared/src/link-local.ts',
      find: '|100\\.100\\.100\\.200',
      replace: '',
    },
  },
  {
    point: 'paths',
    seen: 'The output of a job leads out of the served one by dots.',
    test: outputs('%j is refused'),
    without: {
      file: 'packages/queue/src/job.ts',
      find: '&& !/\\/(?:\\.|%2e){1,2}(?:\\/|$)/i.test(output)',
      replace: '',
    },
  },
  {
    point: 'paths',
    seen: 'A key with dots reaches objects outside the prefix in S3.',
    test: stores("no key leads out of the store: '.' and '..' between slashes are refused"),
    run: 'packages/store/test/store-s3.test.ts',
    without: {
      file: 'packages/store/src/keys.ts',
      find: 'if (!DOTS.test(key)) return key',
      replace: 'return key',
    },
  },
  {
    point: 'paths',
    seen: 'A plan names any source of the machine of a worker.',
    test: allowed('a worker does not read %s for %s with the sources %j'),
    without: {
      file: 'packages/worker/src/allowed-source.ts',
      find: 'sources.some(one => allows(one, source))',
      replace: 'true',
    },
  },
  {
    point: 'paths',
    seen: 'The source of a plan leads out of an allowed one by dots or escapes (sibling).',
    test: allowed('no worker reads %s for %s with the sources %j: its job fails'),
    without: {
      file: 'packages/worker/src/allowed-source.ts',
      find: 'if (!isDirectSource(source)) {',
      replace: 'if (!source) {',
    },
  },
  {
    point: 'paths',
    seen: 'A versions/….json of 3 GB takes 8.3 GB of memory.',
    test: bounds(MEMORY),
    only: 'a version of 3 GB in an output',
    without: {
      file: 'packages/store/src/json.ts',
      find: 'if (bytes > most) throw tooLarge(key, store, most)',
      replace: '',
    },
  },
  {
    point: 'paths',
    seen: 'A plan of 300,000,000 shards puts 91,000 jobs in 12 s.',
    test: bounds(MEMORY),
    only: 'a plan that states 300,000,000 shards',
    without: {
      file: 'packages/protocol/src/plan.ts',
      find: 'Number(value) >= 0 && Number(value) <= LIMITS.shards',
      replace: 'Number(value) >= 0',
    },
  },
  {
    point: 'paths',
    seen: '60,000 sequence numbers cost 19 s, and any number is read.',
    test: bounds(MEMORY),
    only: 'an output with 10,000,000 sequence numbers',
    without: {
      file: 'packages/protocol/src/history.ts',
      find: 'if (++count > LIMITS.sequenceNumbers)',
      replace: 'if (++count > Infinity)',
    },
  },
  {
    point: 'paths',
    seen: 'JSON of an output nests without end.',
    test: bounds(MEMORY),
    only: 'a version of 10,000,000 nested arrays',
    without: {
      file: 'packages/store/src/json.ts',
      find: 'if (depthOf(body) > LIMITS.jsonDepth) throw corrupt(key, store)',
      replace: '',
    },
  },
  {
    point: 'paths',
    seen: 'A job names any shard.',
    test: outputs('a shard number beyond the limit of a plan is refused'),
    without: {
      file: 'packages/queue/src/job.ts',
      find: 'Number(value) >= 0 && Number(value) < LIMITS.shards',
      replace: 'Number(value) >= 0',
    },
  },
  {
    point: 'paths',
    seen: 'A line of the log has any length.',
    test: [
      'packages/telemetry/test/log.test.ts',
      'P-BOUNDED: a message and each field of a line have a length, whatever another party wrote',
    ],
    without: {
      file: 'packages/telemetry/src/log.ts',
      find: 'log: bounded }',
      replace: '}',
    },
  },
  {
    point: 'paths',
    seen: 'Each user of the machine may use the private Redis of `run`.',
    test: [
      'packages/local/test/redis.test.ts',
      'refuses clients without its password, which no command line shows',
    ],
    without: { file: 'packages/local/src/redis.ts', find: 'requirepass $PASSWORD\n', replace: '' },
  },
  {
    point: 'paths',
    seen: 'A worker two hours ahead parks 21 jobs for two hours.',
    test: [
      'test/skewed-clock.test.ts',
      'a job that a worker two hours ahead delays is taken by another worker when the delay ends',
    ],
    without: {
      file: 'packages/queue/src/fair-worker.ts',
      find: 'moveToDelayed.call(backend, id, clock.now(), ...rest)',
      replace: 'moveToDelayed.call(backend, id, _localMs, ...rest)',
    },
  },
  {
    point: 'paths',
    seen: 'A reply of Redis of any size is held.',
    test: values('a reply beyond the limit fails its command with the key, and the connection opens again'),
    without: {
      file: 'packages/queue/src/reply-limit.ts',
      find: 'const accepted = chunk === null ? 0 : accept(chunk)',
      replace: 'const accepted = chunk === null ? 0 : chunk.length',
    },
  },
  {
    point: 'paths',
    seen: 'A reply of a Sentinel has no limit (sibling).',
    test: sources('P-BOUNDED: a Sentinel whose reply does not end is left, and the next one is asked'),
    without: {
      file: 'packages/queue/src/reply-limit.ts',
      find: "if (hasSentinels) boundResults(connector, 'connectToSentinel', shown)",
      replace: '',
    },
  },
  {
    point: 'paths',
    seen: 'The slots of a Cluster have no limit (sibling).',
    test: sources('P-BOUNDED: the slots of a Cluster are a reply with a limit'),
    without: {
      file: 'packages/queue/src/reply-limit.ts',
      find: "cluster.on('+node', (node: Redis) => boundReplies(node, shown))",
      replace: "cluster.on('+node', (node: Redis) => boundStream(node, shown))",
    },
  },
  {
    point: 'vectors',
    seen: 'One vector for all texts passes where a canary rides.',
    test: collapsed('finds one vector for all texts, also where that of the canary is right'),
    without: {
      file: 'packages/shared/src/collapsed.ts',
      find: 'if (!isMajority(alike)) return 0',
      replace: 'return 0',
    },
  },
  {
    point: 'vectors',
    seen: 'Such a reply is written: 5,803 of 6,000 vectors wrong, published, verify exit 0.',
    test: nonsense('one vector for all documents of a request is not published, in requests of %d'),
    without: {
      file: 'packages/worker/src/build-shard.ts',
      find: 'if (isWhole && isMostlyRepeated(repeated, writer.rows, truncation.truncated))',
      replace: 'if (isWhole && repeated === undefined)',
    },
  },
  {
    point: 'vectors',
    seen: 'Swapped rows pass, since the canary is always last.',
    test: canary('and a reply of which all rows but the last are in another order is refused'),
    without: {
      file: 'packages/endpoint/src/canary.ts',
      find: 'Math.min(texts.length, Math.floor(random() * (texts.length + 1)))',
      replace: 'texts.length',
    },
  },
  {
    point: 'vectors',
    seen: 'verify mentions repeated vectors and does not fail.',
    test: nonsense(
      'verify fails for a run of which a fifth of the texts have one vector, and a part of it states their number',
    ),
    without: {
      file: 'packages/evaluate/src/verify/verify.ts',
      find: 'if (repeated < MIN_REPEATED || repeated <= MAX_REPEATED * rows) return',
      replace: 'return',
    },
  },
  {
    point: 'hooks',
    seen: 'Hooks that never cease delay the check without end.',
    test: hooks('hooks that never cease trigger a call all the same'),
    without: {
      file: 'packages/producer/src/hooks.ts',
      find: 'Math.max(0, Math.min(debounceMs, leftMs))',
      replace: 'debounceMs',
    },
  },
  {
    point: 'hooks',
    seen: 'The body is read before the secret of a header is compared.',
    test: hooks('a hook without its secret is refused before its body is read'),
    without: {
      file: 'packages/producer/src/hooks.ts',
      find: 'if (!mayBeSigned(kind, request, secret, now())) return UNSIGNED',
      replace: '',
    },
  },
  {
    point: 'hooks',
    seen: '1,500 connections take 1.7 GB without the secret.',
    test: hooks('connections and bodies that do not end are bounded in number'),
    without: {
      file: 'packages/producer/src/hooks.ts',
      find: 'if (bodies >= MAX_BODIES)',
      replace: 'if (bodies >= Infinity)',
    },
  },
  {
    point: 'hooks',
    seen: 'A signed hook can be sent again.',
    test: hooks('a signed hook that is sent again triggers nothing'),
    without: {
      file: 'packages/producer/src/hooks.ts',
      find: "if (outcome === 'known') return [202, 'already received']",
      replace: '',
    },
  },
  {
    point: 'hooks',
    seen: 'Pages of the console that stay open take every connection (sibling).',
    test: [
      'packages/console/test/serve.test.ts',
      'more pages that are kept up to date than other connections are open leave room for a request',
    ],
    without: {
      file: 'packages/shared/src/listen.ts',
      find: 'server.maxConnections = MAX_CONNECTIONS + held',
      replace: 'server.maxConnections = MAX_CONNECTIONS',
    },
  },
  {
    point: 'output',
    seen: 'An id, a file name or a reason controls the terminal.',
    test: terminal('no command prints a control character or a line that an id, a name or a message forged'),
    without: {
      file: 'packages/shared/src/printable.ts',
      find: '(LINE_ENDS.test(character) ? character : escaped(character))',
      replace: 'character',
    },
  },
  {
    point: 'output',
    seen: 'A line break in an id forges a line.',
    test: terminal('no command prints a control character or a line that an id, a name or a message forged'),
    without: {
      file: 'packages/shared/src/printable.ts',
      find: '(text: string): string => text.replace(UNPRINTABLE, escaped)',
      replace: '(text: string): string => printableLines(text)',
    },
  },
  {
    point: 'output',
    seen: 'Names that differ in a character without width are shown alike (sibling).',
    test: printable('shows characters that have no width, so that two names are not shown alike'),
    without: {
      file: 'packages/shared/src/printable.ts',
      find: '\\u180e\\u200b\\u200e',
      replace: '\\u200e',
    },
  },
  {
    point: 'output',
    seen: 'Commands of LOAD.md execute what a folder is named.',
    test: names('the commands of LOAD.md for %s give their programs whole arguments'),
    without: {
      file: 'packages/shared/src/printable.ts',
      find: '/^[\\w@%+=:,./-]+$/.test(text) ? text',
      replace: 'true ? text',
    },
  },
  {
    point: 'output',
    seen: 'SQL of an export executes what a table or a column is named.',
    test: names('PostgreSQL gets tables and columns with exactly the hostile names, and nothing else'),
    without: {
      file: 'packages/export/src/pg-copy.ts',
      find: "name.replaceAll('\"', '\"\"')",
      replace: 'name',
    },
  },
  {
    point: 'small',
    seen: 'gc --delete below a symbolic link frees nothing, and blocks rollback.',
    test: folders(
      'the deleter of a folder below a symbolic link deletes objects, and leaves what the link hides',
    ),
    without: {
      file: 'packages/store/src/delete.ts',
      find: '(await realpath(path).catch(undefinedIfNotFound)) ?? path',
      replace: 'path',
    },
  },
  {
    point: 'small',
    seen: 'gc on a full disk cannot write its marks.',
    test: full('gc deletes runs on a full disk, and verify still holds for the rest'),
    without: {
      file: 'packages/producer/src/gc.ts',
      find: 'if (await deleter.makeRoom?.(error)) return write()',
      replace: '',
    },
  },
  {
    point: 'small',
    seen: 'A bad heartbeat ends status, and the exporter reports Redis as down.',
    test: values('heartbeats that another program wrote are no workers, and Redis counts as reachable'),
    without: {
      file: 'packages/queue/src/progress.ts',
      find: "[requireShape<WorkerState>(workerShape, JSON.parse(json), 'invalid heartbeat')]",
      replace: '[JSON.parse(json)]',
    },
  },
  {
    point: 'small',
    seen: 'A regular expression of a tokenizer.json backtracks without end.',
    test: chunks('refuse a tokenizer.json whose regular expression backtracks without end, in time'),
    without: {
      file: 'packages/corpus/src/chunk/tokenizer.ts',
      find: 'return interruptAfter(ms, work, () => tooSlow(sourceName, text, ms))',
      replace: 'return work()',
    },
  },
  {
    point: 'small',
    seen: 'The pattern of a source backtracks for the name of an object (sibling).',
    test: [
      'packages/planner/test/hostile-globs.test.ts',
      'a source whose pattern %s backtracks is refused in time, with the object',
    ],
    without: {
      file: 'packages/planner/src/open-corpus.ts',
      find: 'interruptAfter(MATCH_MS, work, late)',
      replace: 'work()',
    },
  },
  {
    point: 'small',
    seen: '--tokenizer /dev/zero hangs.',
    test: [
      'packages/planner/test/tokenizer-file.test.ts',
      'a tokenizer that is a device, which never ends, is refused before it is read',
    ],
    without: {
      file: 'packages/planner/src/tokenizer.ts',
      find: "if (!stats.isFile()) throw new Error('it is not a regular file')",
      replace: "if (!stats.isFile()) throw new Error('it is a device')",
    },
  },
  {
    point: 'small',
    seen: 'A read-only file system is reported as ENOENT.',
    test: full('a read-only file system is named as such, also where folders are missing'),
    without: {
      file: 'packages/store/src/folder-path.ts',
      find: "if (codeOf(error) !== 'ENOENT') throw error",
      replace: 'throw error',
    },
  },
  {
    point: 'small',
    seen: 'EMFILE is reported as a fault of the endpoint.',
    test: ['test/open-files.test.ts', 'the limit of open files is named, and no dependency is blamed'],
    without: {
      file: 'packages/shared/src/errors.ts',
      find: 'return reason ?? (cause === undefined ? undefined : openFilesReason(cause))',
      replace: 'return undefined',
    },
  },
  {
    point: 'small',
    seen: '79,109 of ~81,709 documents are shown for 60,000.',
    test: done('a shard that two workers made counts once'),
    without: {
      file: 'packages/producer/src/documents-done.ts',
      find: 'return Math.round(known * counted + (done - known) * mean + open)',
      replace: 'return progress.documents + progress.openDocuments',
    },
  },
  {
    point: 'model',
    seen: 'A line of the threat model has no test that exists.',
    test: [
      'test/threat-model.test.ts',
      'each line of the threat model has a test, in the file and with the name that it states',
    ],
    without: { file: 'SECURITY.md', find: ': P-VERIFY: verify reports', replace: ': P-GONE: verify reports' },
  },
]

/** Other inputs of each kind that were tried as an attacker. */
export const SIBLINGS: Readonly<Record<keyof typeof POINTS, readonly CitedTest[]>> = {
  waits: [
    [
      'test/traces.test.ts',
      'a collector that is down, silent, or requires gRPC costs a log line, not the run',
    ],
    load('a vector store that falls silent during a load ends it in time, and the next load completes it'),
    s3('a deletion ends within its time'),
    ['test/proxy.test.ts', 'a proxy that accepts connections and stays silent is an error in time'],
    endpoint('a stalled body ends at the deadline, and its connection is not used again'),
  ],
  records: [
    endpoint('a reply with usage.prompt_tokens %s has no token count'),
    [
      'packages/endpoint/test/endpoint-classify.test.ts',
      'Retry-After is read as seconds and as a date against the reply’s own clock, and capped',
    ],
    records('with %j is CORRUPT, and the message names its key'),
    records('%s with the number %j is CORRUPT'),
  ],
  tokens: [
    hub('HF_TOKEN is sent to the host of HF_ENDPOINT and to no other host'),
    hub('a client for %s is refused'),
    [
      'packages/endpoint/test/token.test.ts',
      'the token of Hugging Face for %s is %s; a given token is sent instead',
    ],
    [
      'packages/store/test/store-gateways.test.ts',
      'are named by their own URL, and redirected reads carry no credentials',
    ],
  ],
  paths: [
    allowed('a worker does not read %s for %s with the sources %j'),
    outputs('%j is refused'),
    [
      'packages/protocol/test/hostile-records.test.ts',
      'the name %j of a run in a plan leads to no object outside its output',
    ],
    folders('a symbolic link inside the folder is followed; a link out of it or a cycle is refused by name'),
  ],
  vectors: [
    collapsed('finds one vector for most texts, wherever the others are'),
    canary('and a text without a vector is found by its own place, wherever the canary is'),
    canary('where every other replica is a step ahead, no vector of it is used'),
  ],
  hooks: [
    hooks(
      'a hook is refused without the secret, with a part of it, with another secret or with an old signature',
    ),
    hooks('an empty or short secret is refused before the port is opened'),
    [
      'packages/telemetry/test/metrics.test.ts',
      '/metrics requires the token, and /live and /ready do not, when a token is set',
    ],
  ],
  output: [
    printable('leaves no control character, line break or mark of direction, whatever the text'),
    [
      'packages/console/test/html.test.ts',
      'control characters and changes of direction are visible, lone surrogates are replaced',
    ],
    terminal('CSV of rejects is exact in a pipe'),
  ],
  small: [
    config('%s is reported with its line'),
    ['packages/planner/test/hostile-globs.test.ts', 'a source of the pattern %s has its object'],
    done('entries of shards whose workers were killed do not exceed the shards that are missing'),
    values('no value of another program keeps a reader from the others'),
  ],
  model: [
    tokens('$client sends $sees alone, and nothing to where a redirect leads'),
    [
      'test/secrets.test.ts',
      'P-SECRETS: no output, log, error, metric, stored object or Redis key contains a secret',
    ],
    [
      'test/chaos-report.test.ts',
      'a recovery beyond its limit is broken where no other fault happened within it',
    ],
  ],
}
