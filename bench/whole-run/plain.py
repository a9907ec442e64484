"""What a person writes first: all records in memory, many requests at a time, one Parquet file.

No queue, no resumption, no proof, no check of ids or of the model. Needs aiohttp, orjson, numpy and
pyarrow. Arguments: the corpus (JSONL), the output (Parquet), the URL of the endpoint.
"""

import asyncio
import base64
import sys

import aiohttp
import numpy
import orjson
import pyarrow
import pyarrow.parquet

BATCH = 32
CONCURRENCY = 16


async def embed(source: str, output: str, endpoint: str) -> None:
    with open(source, "rb") as lines:
        records = [orjson.loads(line) for line in lines]
    batches = [records[i : i + BATCH] for i in range(0, len(records), BATCH)]
    vectors: list[numpy.ndarray] = [numpy.empty(0)] * len(batches)
    waiting = iter(enumerate(batches))

    async def send(session: aiohttp.ClientSession) -> None:
        for number, batch in waiting:
            body = orjson.dumps({"input": [one["text"] for one in batch], "model": "bench", "encoding_format": "base64"})
            headers = {"content-type": "application/json"}
            async with session.post(f"{endpoint}/v1/embeddings", data=body, headers=headers) as reply:
                reply.raise_for_status()
                data = orjson.loads(await reply.read())["data"]
            raw = b"".join(base64.b64decode(one["embedding"]) for one in data)
            vectors[number] = numpy.frombuffer(raw, dtype=numpy.float32).reshape(len(batch), -1)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(send(session) for _ in range(CONCURRENCY)))
    joined = numpy.concatenate(vectors)
    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(joined.reshape(-1)), joined.shape[1])
    ids = pyarrow.array([one["id"] for one in records])
    pyarrow.parquet.write_table(pyarrow.table({"id": ids, "embedding": column}), output)


asyncio.run(embed(*sys.argv[1:4]))
