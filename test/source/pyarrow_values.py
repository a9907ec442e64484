"""Writes random values of each type as Parquet and Arrow, and their text by pyarrow's own rendering."""

import json, random, struct, sys
from datetime import date
from decimal import Context, Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

folder, rows, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rnd = random.Random(seed)
exact = Context(prec=100)


def some(make):
    return [None if rnd.random() < 0.1 else make() for _ in range(rows)]


def integer(bits, signed=True):
    width = rnd.randint(0, bits - 1)
    value = rnd.getrandbits(width + 1) if not signed else rnd.getrandbits(width) if width else 0
    return -value if signed and rnd.random() < 0.5 else value


def decimal(precision, scale):
    digits = rnd.randint(0, precision)
    value = Decimal(rnd.randint(0, 10**digits - 1)).scaleb(-scale, exact)
    return exact.minus(value) if rnd.random() < 0.5 else exact.plus(value)


def float64():
    return struct.unpack("<d", struct.pack("<Q", rnd.getrandbits(64)))[0] if rnd.random() < 0.5 else round(rnd.uniform(-1e6, 1e6), rnd.randint(0, 9))


def float32():
    return struct.unpack("<f", struct.pack("<I", rnd.getrandbits(32)))[0]


def text():
    return "".join(rnd.choice('ab"\\,\n\täß東🦊 0') for _ in range(rnd.randint(0, 12)))


def stamp(unit):
    per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    low, high = (-9_223_372_036, 9_223_372_036) if unit == "ns" else (-62_135_596_800, 253_402_300_799)
    return rnd.randint(low, high) * per + (rnd.randint(0, per - 1) if rnd.random() < 0.8 else 0)


columns, expected = {}, {}


def add(name, array, texts=None):
    columns[name] = array
    expected[name] = pc.cast(array, pa.string()).to_pylist() if texts is None else texts


def fixed(array):
    return [None if v is None else f"{v:f}" for v in array.to_pylist()]


for width, precision in ((32, 9), (64, 18), (128, 38), (256, 76)):
    for scale in (0, 2, precision):
        kind = getattr(pa, f"decimal{width}")(precision, scale)
        array = pa.array(some(lambda: decimal(precision, scale)), kind)
        add(f"decimal{width}_{scale}", array, fixed(array))
for unit in ("s", "ms", "us", "ns"):
    naive = pa.array(some(lambda: stamp(unit)), pa.int64()).cast(pa.timestamp(unit))
    add(f"timestamp_{unit}", naive, pc.strftime(naive, format="%Y-%m-%dT%H:%M:%S").to_pylist())
    zoned = pc.cast(naive, pa.int64()).cast(pa.timestamp(unit, tz="UTC"))
    texts = pc.strftime(zoned, format="%Y-%m-%dT%H:%M:%S").to_pylist()
    add(f"zoned_{unit}", zoned, [None if v is None else v + "Z" for v in texts])
    counts = some(lambda: integer(63))
    places = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    durations = pa.array(counts, pa.int64()).cast(pa.duration(unit))
    def spelled(count):
        if count is None:
            return None
        whole, rest = divmod(abs(count), 10**places)
        return f"{'-' if count < 0 else ''}PT{whole}{f'.{rest:0{places}d}' if places else ''}S"
    add(f"duration_{unit}", durations, [spelled(v) for v in counts])
add("date32", pa.array(some(lambda: date.fromordinal(rnd.randint(1, 3652059)))))
for unit, kind in (("s", pa.time32), ("ms", pa.time32), ("us", pa.time64), ("ns", pa.time64)):
    per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    store = pa.int32() if kind is pa.time32 else pa.int64()
    add(f"time_{unit}", pa.array(some(lambda: rnd.randint(0, 86400 * per - 1)), store).cast(kind(unit)))
for bits in (8, 16, 32, 64):
    add(f"int{bits}", pa.array(some(lambda: integer(bits)), getattr(pa, f"int{bits}")()))
    add(f"uint{bits}", pa.array(some(lambda: integer(bits, False)), getattr(pa, f"uint{bits}")()))
add("float64", pa.array(some(float64), pa.float64()))
add("float32", pa.array(some(float32), pa.float32()))
add("bool", pa.array(some(lambda: rnd.random() < 0.5)))
add("string", pa.array(some(text)))
add("large_string", pa.array(some(text), pa.large_string()))
add("binary", pa.array(some(lambda: text().encode()), pa.binary()))
add("dictionary", pa.array(some(lambda: rnd.choice(["x", "y", ""]))).dictionary_encode())


def dumped(values):
    return [None if v is None else json.dumps(v, ensure_ascii=False, separators=(",", ":")) for v in values]


lists = some(lambda: [None if rnd.random() < 0.1 else integer(64) for _ in range(rnd.randint(0, 5))])
add("list_int64", pa.array(lists, pa.list_(pa.int64())), dumped(lists))
nested = some(lambda: [[text() for _ in range(rnd.randint(0, 3))] for _ in range(rnd.randint(0, 3))])
add("list_list", pa.array(nested, pa.list_(pa.list_(pa.string()))), dumped(nested))
structs = some(lambda: {"a": None if rnd.random() < 0.2 else integer(64), "b": {"c": [text()], "d": rnd.random() < 0.5}})
kind = pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.list_(pa.string())), ("d", pa.bool_())]))])
add("struct", pa.array(structs, kind), dumped(structs))
maps = some(lambda: {f"k{i}": integer(64) for i in range(rnd.randint(0, 4))})
pairs = [None if m is None else list(m.items()) for m in maps]
add("map", pa.array(pairs, pa.map_(pa.string(), pa.int64())), dumped(maps))

ids = pa.array([str(i) for i in range(rows)])
table = pa.table({"id": ids, "text": ids, **columns})
with ipc.new_file(f"{folder}/values.arrow", table.schema) as out:
    out.write_table(table, max_chunksize=5000)
# Parquet has neither durations nor times in seconds as a logical type: Arrow's are integers there.
plain = table.drop_columns([name for name in columns if name.startswith("duration_") or name in ("time_s", "timestamp_s", "zoned_s")])
pq.write_table(plain, f"{folder}/values.parquet", row_group_size=7000, data_page_size=4096)
old = plain.drop_columns([name for name in columns if name.startswith("decimal256")])
pq.write_table(old, f"{folder}/v2.parquet", data_page_version="2.0", compression="gzip", use_dictionary=False)
stamps = table.select(["id", "text", "timestamp_us"])
pq.write_table(stamps, f"{folder}/int96.parquet", use_deprecated_int96_timestamps=True)
with open(f"{folder}/expected.jsonl", "w") as out:
    for name, texts in expected.items():
        out.write(json.dumps({"name": name, "texts": texts}) + "\n")
