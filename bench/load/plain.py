"""Loads the shards of a run with the plainest loop of the store's own client for Python.

    python plain.py lancedb <folder of the database> <folder of the shards>
    python plain.py milvus <http://host:port> <folder of the shards>
    python plain.py postgres <postgres://host:port/database> <folder of the shards>

The loop for PostgreSQL is that of pgvector's example of bulk loading: psycopg, COPY in binary with
`set_types` and `write_row` (pgvector-python, examples/loading).

Prints the rows, and the seconds from the connection, with the new table, to the last acknowledged
write. Builds no index.
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

    started = time.perf_counter()
    database = client.connect(url)
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

    started = time.perf_counter()
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


def postgres():
    import psycopg
    from pgvector import Vector
    from pgvector.psycopg import register_vector

    types = {pa.string(): "text", pa.int32(): "int4", pa.int64(): "int8", pa.float64(): "float8", pa.bool_(): "bool"}
    started = time.perf_counter()
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(connection)
    first, width = read(files[0])
    names = [field.name for field in first.schema]
    of = ["vector" if name == VECTOR else types[first.schema.field(name).type] for name in names]
    columns = ", ".join(f"{name} {type}" + (f"({width})" if type == "vector" else "") for name, type in zip(names, of))
    connection.execute("DROP TABLE IF EXISTS plain")
    connection.execute(f"CREATE TABLE plain ({columns})")
    for file in files:
        table, _ = read(file)
        vectors = table.column(VECTOR).combine_chunks().flatten().to_numpy().reshape(-1, width)
        values = [map(Vector, vectors) if name == VECTOR else table.column(name).to_pylist() for name in names]
        with connection.cursor().copy(f"COPY plain ({', '.join(names)}) FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(of)
            for row in zip(*values):
                copy.write_row(row)
    seconds = time.perf_counter() - started
    rows = connection.execute("SELECT count(*) FROM plain").fetchone()[0]
    connection.execute("DROP TABLE plain")
    return seconds, rows


seconds, rows = {"postgres": postgres, "lancedb": lancedb, "milvus": milvus}[kind]()
print(rows, seconds)
