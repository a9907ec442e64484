// Records whose text is spread over several fields, with fields that become columns of the shards.
// One process does everything: it enqueues, works and waits.
//
//   {"sku": "A-1", "title": "Kettle", "body": "Boils water.", "shop": {"lang": "en"}, "year": 2019}
//
//   SOURCE=./products OUTPUT=./vectors REDIS_URL=redis://127.0.0.1:6379 ENDPOINT=http://127.0.0.1:8080 node field-mapping.ts

import { createReembed } from 'reembed'

const { SOURCE = './products', OUTPUT = './vectors', REDIS_URL, ENDPOINT } = process.env

await using reembed = createReembed({ output: OUTPUT, redis: REDIS_URL, endpoint: ENDPOINT })
const { run } = await reembed.enqueue(SOURCE, {
  fields: {
    id: 'sku',
    template: '{{ title }}\n\n{{ body }}',
    carry: ['shop.lang', 'year:int32'],
  },
  vectors: { includeText: true },
  maxRejects: '0',
  onNotice: notice => console.error(notice.kind),
})

await using worker = await reembed.startWorker()
const outcome = await reembed.wait(run, {
  onProgress: ({ shardsDone, shards }) =>
    console.error(`${shardsDone} of ${shards} shards, ${worker.endpointState}`),
})
if (outcome.status === 'held') throw new Error(`not published: ${outcome.reason}`)

for await (const { ids, extra } of reembed.read({ extra: true })) {
  for (const [row, id] of ids.entries()) {
    const columns = [...extra].map(([name, values]) => `${name}=${JSON.stringify(values[row])}`)
    console.log(id, columns.join(' '))
  }
}
