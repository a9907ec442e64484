"""Makes tables of Delta Lake with random histories, and writes their current rows by delta-rs's reader.

    delta_tables.py FOLDER TABLES SEED
"""

import json
import os
import random
import sys

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

folder, tables, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
LANGS = ["de", "São Paulo", "a/b=c%", None, "x y"]
next_id = 0


def rows(count):
    global next_id
    ids = [f"d{next_id + i}" for i in range(count)]
    next_id += count
    return pa.table(
        {
            "id": ids,
            "text": [f"text of {i}" for i in ids],
            "lang": pa.array([rng.choice(LANGS) for _ in ids], pa.string()),
            "n": pa.array([rng.randrange(10) for _ in ids], pa.int64()),
        }
    )


def step(path, partitions):
    table = DeltaTable(path)
    action = rng.choice(["append", "append", "overwrite", "delete", "update", "compact", "vacuum", "checkpoint", "checkpoint"])
    if action in ("append", "overwrite"):
        write_deltalake(path, rows(rng.randrange(1, 8)), mode=action, partition_by=partitions)
    elif action == "delete":
        table.delete(f"n = {rng.randrange(10)}")
    elif action == "update":
        table.update(predicate=f"n = {rng.randrange(10)}", updates={"text": "'updated'"})
    elif action == "compact":
        table.optimize.compact()
    elif action == "vacuum":
        table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    else:
        table.create_checkpoint()
        version = table.version()
        if rng.random() < 0.5:
            for old in range(version):
                commit = f"{path}/_delta_log/{old:020d}.json"
                if os.path.exists(commit):
                    os.remove(commit)


expected = []
for number in range(tables):
    name = f"table{number}"
    path = os.path.join(folder, name)
    partitions = rng.choice([None, ["lang"], ["lang", "n"]])
    write_deltalake(path, rows(5), partition_by=partitions)
    for _ in range(rng.randrange(2, 12)):
        step(path, partitions)
    write_deltalake(path, rows(2), mode="append", partition_by=partitions)
    table = DeltaTable(path)
    found = table.to_pyarrow_table().to_pylist()
    expected.append(
        {
            "table": name,
            "version": table.version(),
            "rows": sorted(
                ([r["id"], r["text"], r["lang"], r["n"]] for r in found), key=lambda row: ",".join(map(str, row))
            ),
        }
    )
with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as out:
    json.dump(expected, out)
