// npm run cluster -- build           builds the programs of the cluster, once
// npm run cluster -- test [file...]  runs all tests of the cluster, or those of these files;
//                                    -t PATTERN selects tests by name
// npm run cluster -- up              starts a cluster and keeps it until Ctrl-C

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { repository } from '../infra/parts/chart.ts'
import { binaries, build, noCluster, noKeda } from './binaries.ts'
import { startCluster } from './cluster.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { testNamePattern: { type: 'string', short: 't' } },
})
const [command, ...files] = positionals
const report = (line: string): boolean => process.stdout.write(`${line}\n`)

if (command === 'build') await build(report)
else if (command === 'test') {
  // The reporter shows the names of skipped tests, which hold the reason, only on request.
  if (noCluster !== undefined) report(`the tests of the cluster are skipped: ${noCluster}`)
  else if (noKeda !== undefined) report(`the tests of scaling are skipped: ${noKeda}`)
  const vitest = join(repository, 'node_modules/.bin/vitest')
  const filters = files.map(file => `test/cluster/${file}`)
  const named = values.testNamePattern === undefined ? [] : ['-t', values.testNamePattern]
  const args = ['run', '--project', 'cluster', '--maxWorkers=1', ...named, ...filters]
  process.exitCode = spawnSync(vitest, args, { cwd: repository, stdio: 'inherit' }).status ?? 1
} else if (command === 'up') {
  if (noCluster !== undefined) throw new Error(noCluster)
  await using cluster = await startCluster({ keda: noKeda === undefined })
  report(`export KUBECONFIG=${cluster.kubeconfig}`)
  report(`kubectl: ${binaries.kube} kubectl ...`)
  report(`helm: ${binaries.helm} ...`)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
} else {
  process.stderr.write('usage: npm run cluster -- build | test [file...] [-t pattern] | up\n')
  process.exitCode = 2
}
