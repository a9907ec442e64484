// Loads into a real OpenSearch with the k-NN plugin: REEMBED_TEST_OPENSEARCH is its address, for
// example that of `test/opensearch/start.sh`. The indexes of these tests are deleted there.

import { proveLoads } from './conformance.ts'
import { elasticServer, OPENSEARCH } from './elastic-server.ts'

const url = process.env.REEMBED_TEST_OPENSEARCH

proveLoads(
  'OpenSearch',
  url === undefined
    ? 'REEMBED_TEST_OPENSEARCH is not set; test/opensearch/start.sh starts a server'
    : undefined,
  () => elasticServer(url ?? '', OPENSEARCH),
  // JSON.parse of the test rounds integers above 2^53.
  { bits: true, compared: 'cosine', lossyColumns: ['bytes'] },
)
