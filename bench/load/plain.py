"""Loads the shards of a run with the plainest loop of the store's own client for Python.

    python plain.py lancedb <folder of the database> <folder of the shards>
    python plain.py milvus <http://host:port> <folder of the shards>

Prints the rows, and the seconds from opened files to the last acknowledged write. Builds no index.
"""

import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

kind, url, folder = sys.argv[1:]
files = sorted(Path(folder).glob("*.parquet"))
VECTOR = "embedding"


def read(file):
    """The columns of a shard that a load writes, with vectors of a fixed size."""
    table = pq.read_table(file)
    table = table.drop_columns([name for name in table.column_names if pa.types.is_binary(table.schema.field(name).type) or pa.types.is_fixed_size_binary(table.schema.field(name).type)])
    vectors = table.column(VECTOR).combine_chunks()
    width = len(vectors[0])
    fixed = pa.FixedSizeListArray.from_arrays(vectors.flatten().cast(pa.float32()), width)
    return table.set_column(table.column_names.index(VECTOR), VECTOR, fixed), width


def lancedb():
    import lancedb as client

    database = client.connect(url)
    started = time.perf_counter()
    target = None
    for file in files:
        table, _ = read(file)
        if target is None:
            target = database.create_table("plain", table)
        else:
            target.add(table)
    return time.perf_counter() - started, target.count_rows()


def milvus():
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(uri=url)
    _, width = read(files[0])
    types = {pa.string(): DataType.VARCHAR, pa.int32(): DataType.INT32, pa.int64(): DataType.INT64, pa.float64(): DataType.DOUBLE, pa.bool_(): DataType.BOOL}
    schema = client.create_schema()
    for field in pq.read_schema(files[0]):
        if field.name == VECTOR:
            schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=width)
        elif field.type in types:
            size = {"max_length": 65535} if field.type == pa.string() else {}
            schema.add_field(field.name, types[field.type], is_primary=field.name == "id", nullable=field.name != "id", **size)
    client.create_collection("plain", schema=schema)
    started = time.perf_counter()
    size = max(1, 8 * 2**20 // (4 * width + 1024))
    rows = 0
    for file in files:
        table, _ = read(file)
        for start in range(0, table.num_rows, size):
            part = table.slice(start, size)
            data = part.drop_columns([VECTOR]).to_pylist()
            vectors = part.column(VECTOR).combine_chunks().flatten().to_numpy().reshape(-1, width)
            for row, vector in zip(data, vectors):
                row[VECTOR] = vector
            rows += client.upsert("plain", data)["upsert_count"]
    seconds = time.perf_counter() - started
    client.drop_collection("plain")
    return seconds, rows


seconds, rows = {"lancedb": lancedb, "milvus": milvus}[kind]()
print(rows, seconds)
