"""Writes files as people's writers and mistakes make them, and what a reader must make of each.

    hostile_files.py FOLDER

Each case has a folder and a line of expected.json: the exact rows, a number of rejects, or a pattern of the refusal.
"""

import bz2
import csv as C
import datetime as dt
import decimal
import gzip
import json
import lzma
import os
import random
import subprocess
import sys
import uuid

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

ROOT = sys.argv[1]
CASES = []


def case(name, files, expect=None, refuse=None, rejects=None, **opts):
    for file, content in files.items():
        path = os.path.join(ROOT, name, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if callable(content):
            content(path)
        else:
            open(path, "wb").write(content if isinstance(content, bytes) else content.encode())
    CASES.append(dict(name=name, expect=expect, refuse=refuse, rejects=rejects, options=opts))


R = [["a", "one"], ["b", "two"], ["c", "three"]]
J = "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in R)
# --- compressions
gz = lambda s: gzip.compress(s if isinstance(s, bytes) else s.encode())
case("jsonl-gz", {"a.jsonl.gz": gz(J)}, R)
lines = J.encode().splitlines(True)
case("jsonl-gz-multi", {"a.jsonl.gz": b"".join(gz(l) for l in lines)}, R)
case("jsonl-gz-cut-members", {"a.jsonl.gz": gz(J[:20]) + gz(J[20:40]) + gz(J[40:])}, R)
case("jsonl-gz-empty-member", {"a.jsonl.gz": gz("") + gz(J) + gz("")}, R)
case("jsonl-gz-zero-padding", {"a.jsonl.gz": gz(J) + b"\0" * 512}, R)
case("jsonl-gz-garbage", {"a.jsonl.gz": gz(J) + b"garbage"}, refuse="has other bytes behind")
case("jsonl-gz-cut", {"a.jsonl.gz": gz(J)[:-9]}, refuse="a.jsonl.gz")
z = lambda s, *a: subprocess.run(["zstd", "-q", "-c", *a], input=s, stdout=subprocess.PIPE, check=True).stdout
case("jsonl-zst", {"a.jsonl.zst": z(J.encode())}, R)
case("jsonl-zst-frames", {"a.jsonl.zst": z(lines[0]) + b"\x50\x2a\x4d\x18\x04\0\0\0skip" + z(lines[1] + lines[2])}, R)
case("jsonl-zst-long", {"a.jsonl.zst": z(J.encode(), "--long=31", "--ultra")}, refuse="window")
case("csv-zst", {"a.csv.zst": z(b'id,text\na,one\nb,"two"\n')}, [["a", "one"], ["b", "two"]])
case("tsv-gz", {"a.tsv.gz": gz('id\ttext\na\t"one\nb\ttwo\n')}, [["a", '"one'], ["b", "two"]])
for ext, c in (
    ("bz2", bz2.compress(J.encode())),
    ("xz", lzma.compress(J.encode())),
    ("lz4", subprocess.run(["lz4", "-q", "-c"], input=J.encode(), stdout=subprocess.PIPE).stdout),
    ("br", b"\x0b\x02\x80aa\x03"),
):
    case("jsonl-" + ext, {"a.jsonl." + ext: c}, refuse=".")
case("jsonl-bz2-beside", {"a.jsonl.bz2": bz2.compress(b'{"id":"x","text":"lost"}\n'), "b.jsonl": J}, R)
case("jsonl-gz-named-jsonl", {"a.jsonl": gz(J)}, refuse="gzip")
case("jsonl-bz2-named-jsonl", {"a.jsonl": bz2.compress(J.encode())}, refuse=".")
case("jsonl-xz-named-jsonl", {"a.jsonl": lzma.compress(J.encode())}, refuse=".")
case("parquet-named-jsonl", {"a.jsonl": lambda p: pq.write_table(pa.table({"id": ["a"], "text": ["x"]}), p)}, refuse="Parquet")
# --- encodings
case("utf16le-bom", {"a.jsonl": "\ufeff".encode("utf-16le") + J.encode("utf-16le")}, refuse="UTF-16")
case("utf16be-bom", {"a.csv": b"\xfe\xff" + "id,text\na,b\n".encode("utf-16be")}, refuse="UTF-16")
case("utf16le-nobom", {"a.jsonl": J.encode("utf-16le")}, refuse=".")
case("utf16le-nobom-csv", {"a.csv": "id,text\na,one\nb,two\n".encode("utf-16le")}, refuse=".")
case("utf16be-nobom-csv", {"a.csv": "id,text\na,one\nb,two\n".encode("utf-16be")}, refuse=".")
case("utf16-md", {"a.md": "# Title\n\nsome text".encode("utf-16")}, refuse=".")
case("utf16-nobom-txt", {"a.txt": "some text".encode("utf-16le")}, refuse=".")
case("latin1-jsonl", {"a.jsonl": b'{"id":"a","text":"caf\xe9"}\n{"id":"b","text":"ok"}\n'}, [["b", "ok"]], rejects=1)
case("latin1-csv", {"a.csv": b"id,text\na,caf\xe9\nb,ok\n"}, [["b", "ok"]], rejects=1)
case("latin1-csv-unread-col", {"a.csv": b"id,text,city\na,one,Z\xfcrich\nb,ok,x\n"}, [["a", "one"], ["b", "ok"]])
case("latin1-csv-carried", {"a.csv": b"id,text,city\na,one,Z\xfcrich\nb,ok,x\n"}, [["b", "ok", {"city": "x"}]], rejects=1, carry=["city!"])
case("cp1252-txt", {"a.txt": b"smart \x93quotes\x94", "b.txt": "ok"}, [["b.txt", "ok"]], rejects=1)
case("bom-jsonl", {"a.jsonl": "\ufeff" + J}, R)
case("bom-csv", {"a.csv": "\ufeffid,text\na,one\n"}, [["a", "one"]])
case("bom-tsv-quoted-header", {"a.csv": '\ufeff"id","text"\n"a","one"\n'}, [["a", "one"]])
case("bom-txt", {"a.txt": "\ufeffhello"}, [["a.txt", "hello"]])

# --- line ends
case("crlf-jsonl", {"a.jsonl": J.replace("\n", "\r\n")}, R)
case("crlf-csv", {"a.csv": 'id,text\r\na,one\r\nb,"two\r\nlines"\r\n'}, [["a", "one"], ["b", "two\r\nlines"]], csv=dict(quote='"'))
case("mixed-eol-csv", {"a.csv": "id,text\r\na,one\nb,two\r\nc,three"}, R)
case("cr-jsonl", {"a.jsonl": J.replace("\n", "\r")}, refuse=".")
case("cr-then-lf-csv", {"a.csv": "id,text\ra,one\rb,two\nc,three\n"}, refuse=".")
case("cr-in-csv-field", {"a.csv": "id,text\na,o\rne\nb,two\n"}, [["a", "o\rne"], ["b", "two"]])
case("cr-in-csv-many", {"a.csv": "id,text\n" + "a,one\rb,two\rc,three\n"}, [], rejects=1)
case("tsv-crlf", {"a.tsv": "id\ttext\r\na\tone\r\nb\ttwo\r\n"}, [["a", "one"], ["b", "two"]])
case(
    "nel-ls-ps",
    {"a.csv": "id,text\na,one\u2028x\u2029y\u0085z\nb,two\x0bq\x0cr\n"},
    [["a", "one\u2028x\u2029y\u0085z"], ["b", "two\x0bq\x0cr"]],
)
case(
    "nel-jsonl",
    {"a.jsonl": '{"id":"a","text":"one\u2028x\u2029y\u0085z"}\n{"id":"b","text":"two"}\n'},
    [["a", "one\u2028x\u2029y\u0085z"], ["b", "two"]],
)
case("blank-lines-jsonl", {"a.jsonl": "\n\n" + J.replace("\n", "\n\n  \n")}, R)
case("blank-lines-csv", {"a.csv": "id,text\n\na,one\n\n\nb,two\n\n"}, [["a", "one"], ["b", "two"]])
# --- CSV shapes
case("one-column-csv", {"a.csv": "text\none\ntwo\n"}, refuse=".")
case("one-column-csv-id", {"a.csv": "text\none\ntwo\n"}, [["one", "one"], ["two", "two"]], fields=dict(id="text", text="text"))
case("ragged-short", {"a.csv": "id,text,x\na,one,1\nb,two\nc,three,3\n"}, [["a", "one"], ["c", "three"]], rejects=1)
case("ragged-long", {"a.csv": "id,text\na,one\nb,two,extra\nc,three\n"}, [["a", "one"], ["c", "three"]], rejects=1)
case("trailing-sep", {"a.csv": "id,text,\na,one,\nb,two,\n"}, [["a", "one"], ["b", "two"]])
case("header-only", {"a.csv": "id,text\n", "b.csv": "id,text\na,one\n"}, [["a", "one"]])
case("empty-files", {"a.csv": "", "b.csv": "id,text\na,one\n", "c.jsonl": ""}, [["a", "one"]])
case("only-empty", {"a.csv": ""}, refuse=".")
case("dup-header-carry", {"a.csv": "id,text,x,x\na,one,1,2\n"}, refuse="two columns", carry=["x"])
case("dup-header-unused", {"a.csv": "id,text,x,x\na,one,1,2\n"}, [["a", "one"]])
case("space-header", {"a.csv": "id, text\na, one\n"}, [["a", " one"]], fields=dict(id="id", text=" text"))
case("quoted-header-sep", {"a.csv": '"id","te,xt"\na,one\n'}, [["a", "one"]], fields=dict(id="id", text="te,xt"))
case("semicolon-csv", {"a.csv": 'id;text\na;one, two\nb;"x;y"\n'}, [["a", "one, two"], ["b", "x;y"]])
case("pipe-csv", {"a.csv": "id|text\na|one\nb|two\n"}, [["a", "one"], ["b", "two"]])
case("excel-sep-line", {"a.csv": "sep=;\nid;text\na;one\n"}, refuse="has no id field")
case("single-quotes-csv", {"a.csv": "id,text\na,'one, two'\nb,'three'\n"}, [["b", "'three'"]], rejects=1)
case("comment-csv", {"a.csv": "# exported 2024\nid,text\na,one\nb,two\n"}, refuse=".")
rnd = random.Random(7)
big = [[f"r{i}", f'line one of {i}, with "quotes"\nline two, {i}\n' + "x" * rnd.randrange(50)] for i in range(6000)]
import csv as C


def wcsv(p, rows=big, **kw):
    with open(p, "w", newline="") as f:
        w = C.writer(f, **kw)
        w.writerow(["id", "text"])
        w.writerows(rows)


case("csv-slices", {"a.csv": lambda p: wcsv(p, quoting=C.QUOTE_ALL)}, sorted(big), slice=100)
case(
    "csv-slices-gz",
    {"a.csv.gz": lambda p: (wcsv(p + "x", quoting=C.QUOTE_ALL), open(p, "wb").write(gz(open(p + "x", "rb").read())), os.remove(p + "x"))},
    sorted(big),
    slice=100,
)
case(
    "csv-escape-backslash",
    {
        "a.csv": lambda p: wcsv(
            p, rows=[[i, t.replace("\\", "")] for i, t in big[:50]], quoting=C.QUOTE_ALL, doublequote=False, escapechar="\\"
        )
    },
    sorted(big[:50]),
)
case("csv-big-field", {"a.csv": 'id,text\na,"' + "y" * 3_000_000 + '"\nb,two\n'}, [["a", "y" * 3_000_000], ["b", "two"]])
case(
    "jsonl-long-line",
    {"a.jsonl": json.dumps({"id": "a", "text": "w " * 2_000_000}) + "\n" + lines[1].decode()},
    [["a", "w " * 2_000_000], ["b", "two"]],
)
case(
    "jsonl-100MB-line",
    {"a.jsonl": lines[0].decode() + json.dumps({"id": "x", "text": "w " * 50_000_000}) + "\n" + lines[1].decode()},
    [["a", "one"], ["b", "two"]],
    rejects=1,
)
# --- JSONL
case("json-trailing-comma", {"a.jsonl": '{"id":"a","text":"one",}\n' + lines[1].decode()}, [["b", "two"]], rejects=1)
case("json-array", {"a.jsonl": '[{"id":"a","text":"one"},\n{"id":"b","text":"two"}]\n'}, refuse=".")
case("json-array-1line", {"a.jsonl": '[{"id":"a","text":"one"},{"id":"b","text":"two"}]'}, refuse=".")
case("json-pretty", {"a.jsonl": '{\n "id": "a",\n "text": "one"\n}\n'}, refuse=".")
case("json-concat", {"a.jsonl": '{"id":"a","text":"one"}{"id":"b","text":"two"}\n'}, refuse=".")
case("json-nan-id", {"a.jsonl": '{"id":NaN,"text":"a"}\n{"id":"b","text":"two"}\n'}, [["b", "two"]], rejects=1)
case(
    "json-deep",
    {"a.jsonl": '{"id":"a","text":"one","x":' + "[" * 20000 + "]" * 20000 + '}\n{"id":"b","text":"two","x":[]}\n'},
    [["b", "two"]],
    rejects=1,
)
case("json-proto", {"a.jsonl": '{"id":"a","text":"one","__proto__":"p"}\n'}, refuse="named '__proto__'", carry=["__proto__"])
case("json-nul", {"a.jsonl": '{"id":"a\\u0000","text":"x\\u0000y"}\n'}, [["a\0", "x\0y"]])


# --- Parquet
def T(size=3, **cols):
    base = {"id": [f"d{i}" for i in range(size)], "text": [f"text {i}" for i in range(size)]}
    base.update(cols)
    return pa.table(base)


ids = lambda n: [[f"d{i}", f"text {i}"] for i in range(n)]
for comp in ("none", "snappy", "gzip", "zstd", "lz4", "brotli"):
    case("pq-" + comp, {"a.parquet": lambda p: pq.write_table(T(5000), p, compression=comp, row_group_size=700)}, sorted(ids(5000)))
case("pq-nostats", {"a.parquet": lambda p: pq.write_table(T(), p, write_statistics=False)}, ids(3))
case(
    "pq-v2",
    {"a.parquet": lambda p: pq.write_table(T(5000, n=list(range(5000))), p, data_page_version="2.0", data_page_size=512)},
    sorted([i, t, {"n": k}] for k, (i, t) in enumerate(ids(5000))),
    carry=["n"],
)
case("pq-v2-none", {"a.parquet": lambda p: pq.write_table(T(50), p, data_page_version="2.0", compression="none")}, sorted(ids(50)))
for enc, col in (
    ("DELTA_BINARY_PACKED", "n"),
    ("DELTA_LENGTH_BYTE_ARRAY", "text"),
    ("DELTA_BYTE_ARRAY", "text"),
    ("BYTE_STREAM_SPLIT", "f"),
    ("BYTE_STREAM_SPLIT", "n"),
    ("PLAIN", "text"),
):
    t = T(
        3000,
        n=pa.array([(-1) ** i * i * 123456789 for i in range(3000)], pa.int64()),
        f=pa.array([i / 7 for i in range(3000)], pa.float64()),
    )
    case(
        f"pq-{enc}-{col}",
        {"a.parquet": lambda p: pq.write_table(t, p, use_dictionary=False, column_encoding={col: enc})},
        sorted([i, x, {"n": (-1) ** k * k * 123456789, "f": k / 7}] for k, (i, x) in enumerate(ids(3000))),
        carry=["n", "f"],
    )


def fallback(p):
    pq.write_table(
        pa.table({"id": [f"d{i}" for i in range(20000)], "text": [f"text {i}" if i >= 100 else f"text {i}" for i in range(20000)]}),
        p,
        dictionary_pagesize_limit=4096,
    )


case("pq-dict-fallback", {"a.parquet": fallback}, sorted(ids(20000)))


def emptyrg(p):
    t = T(3)
    with pq.ParquetWriter(p, t.schema) as w:
        w.write_table(t.slice(0, 1))
        w.write_table(t.slice(0, 0))
        w.write_table(t.slice(1, 2))
        w.write_table(t.slice(0, 0))


case("pq-empty-rg", {"a.parquet": emptyrg}, ids(3))
case("pq-zero-rows", {"a.parquet": lambda p: pq.write_table(T(3).slice(0, 0), p), "b.parquet": lambda p: pq.write_table(T(3), p)}, ids(3))
case(
    "pq-int96",
    {
        "a.parquet": lambda p: pq.write_table(
            T(3, ts=pa.array([dt.datetime(2024, 1, 2, 3, 4, 5, 678901), None, dt.datetime(1901, 1, 1)], pa.timestamp("us"))),
            p,
            use_deprecated_int96_timestamps=True,
        )
    },
    [
        ["d0", "text 0", {"ts": "2024-01-02T03:04:05.678901000"}],
        ["d1", "text 1", {"ts": None}],
        ["d2", "text 2", {"ts": "1901-01-01T00:00:00.000000000"}],
    ],
    carry=["ts"],
)
case("pq-bloom", {"a.parquet": lambda p: pq.write_table(T(300), p, bloom_filter_options={"id": True})}, sorted(ids(300)))
case(
    "pq-pageindex-crc",
    {
        "a.parquet": lambda p: pq.write_table(
            T(300), p, write_page_index=True, write_page_checksum=True, sorting_columns=[pq.SortingColumn(0)]
        )
    },
    sorted(ids(300)),
)
case(
    "pq-large-string",
    {"a.parquet": lambda p: pq.write_table(T(3).cast(pa.schema([("id", pa.large_string()), ("text", pa.string_view())])), p)},
    ids(3),
)
case(
    "pq-binary-text",
    {"a.parquet": lambda p: pq.write_table(pa.table({"id": pa.array([b"a", b"b"]), "text": pa.array(["één".encode(), b"\xff\xfe"])}), p)},
    [["a", "één"]],
    rejects=1,
)
case(
    "pq-fixed-id",
    {"a.parquet": lambda p: pq.write_table(pa.table({"id": pa.array([b"abcd", b"efgh"], pa.binary(4)), "text": ["x", "y"]}), p)},
    [["abcd", "x"], ["efgh", "y"]],
)
case(
    "pq-dict-col",
    {
        "a.parquet": lambda p: pq.write_table(
            pa.table({"id": pa.array(["a", "b", "c"]).dictionary_encode(), "text": pa.array(["x", "y", "x"]).dictionary_encode()}), p
        )
    },
    [["a", "x"], ["b", "y"], ["c", "x"]],
)
case(
    "pq-nested-text",
    {
        "a.parquet": lambda p: pq.write_table(
            pa.table({"id": ["a", "b", "c"], "doc": pa.array([{"body": "one", "tags": ["x", None]}, {"body": None, "tags": None}, None])}),
            p,
        )
    },
    [["a", "one", {"doc.tags": '["x",null]'}]],
    rejects=2,
    fields=dict(id="id", text="doc.body"),
    carry=["doc.tags"],
)
case(
    "pq-list-of-list",
    {
        "a.parquet": lambda p: pq.write_table(
            T(3, x=[[[1], [], None], [], None], y=[[{"a": [{"b": 1}]}], [{"a": None}], [None]]), p, row_group_size=2
        )
    },
    [
        ["d0", "text 0", {"x": "[[1],[],null]", "y": '[{"a":[{"b":1}]}]'}],
        ["d1", "text 1", {"x": "[]", "y": '[{"a":null}]'}],
        ["d2", "text 2", {"x": None, "y": "[null]"}],
    ],
    carry=["x", "y"],
)
case(
    "pq-map-list",
    {"a.parquet": lambda p: pq.write_table(T(2, m=pa.array([[("k", [1, 2])], []], pa.map_(pa.string(), pa.list_(pa.int64())))), p)},
    [["d0", "text 0", {"m": '{"k":[1,2]}'}], ["d1", "text 1", {"m": "{}"}]],
    carry=["m"],
)
case(
    "pq-bigmap-intkey",
    {"a.parquet": lambda p: pq.write_table(T(1, m=pa.array([[(9007199254740993, "x")]], pa.map_(pa.int64(), pa.string()))), p)},
    [["d0", "text 0", {"m": '{"9007199254740993":"x"}'}]],
    carry=["m"],
)
case(
    "pq-dec256",
    {"a.parquet": lambda p: pq.write_table(T(2, d=pa.array([decimal.Decimal("-1.50"), None], pa.decimal256(60, 2))), p)},
    [["d0", "text 0", {"d": "-1.50"}], ["d1", "text 1", {"d": None}]],
    carry=["d"],
)
case(
    "pq-neg-scale-int",
    {
        "a.parquet": lambda p: pq.write_table(
            T(2, d=pa.array([decimal.Decimal("0.001"), decimal.Decimal("-0.001")], pa.decimal32(5, 3))), p, store_decimal_as_integer=True
        )
    },
    [["d0", "text 0", {"d": "0.001"}], ["d1", "text 1", {"d": "-0.001"}]],
    carry=["d"],
)
case(
    "pq-uuid",
    {
        "a.parquet": lambda p: pq.write_table(
            pa.table({"id": pa.array([uuid.UUID(int=5).bytes], pa.uuid()) if hasattr(pa, "uuid") else None, "text": ["x"]}), p
        )
    },
    [["00000000-0000-0000-0000-000000000005", "x"]],
)
case(
    "pq-json-ext",
    {"a.parquet": lambda p: pq.write_table(T(1, j=pa.array(['{"a": 1}'], pa.json_())), p)},
    [["d0", "text 0", {"j": '{"a": 1}'}]],
    carry=["j"],
)
case("pq-null-type-text", {"a.parquet": lambda p: pq.write_table(pa.table({"id": ["a"], "text": pa.nulls(1)}), p)}, [], rejects=1)
case(
    "pq-time-ns-utc",
    {
        "a.parquet": lambda p: pq.write_table(
            T(
                1,
                t=pa.array([3723000000001], pa.time64("ns")),
                ts=pa.array([1], pa.timestamp("ms", tz="Europe/Berlin")),
                d64=pa.array([86400000], pa.date64()),
            ),
            p,
        )
    },
    [["d0", "text 0", {"t": "01:02:03.000000001", "ts": "1970-01-01T00:00:00.001Z", "d64": "1970-01-02"}]],
    carry=["t", "ts", "d64"],
)
case(
    "pq-dup-cols",
    {
        "a.parquet": lambda p: pq.write_table(
            pa.Table.from_arrays([pa.array(["a"]), pa.array(["x"]), pa.array(["y"])], names=["id", "text", "text"]), p
        )
    },
    refuse="two columns named",
)
case(
    "pq-case-cols",
    {"a.parquet": lambda p: pq.write_table(pa.table({"id": ["a"], "text": ["x"], "Text": ["y"]}), p)},
    [["a", "x", {"Text": "y"}]],
    carry=["Text"],
)
case(
    "pq-dotted-col",
    {"a.parquet": lambda p: pq.write_table(pa.table({"id": ["a"], "text": ["x"], "m.n": ["flat"]}), p)},
    [["a", "x", {"m.n": "flat"}]],
    carry=["m.n"],
)
import pyarrow.parquet.encryption as pe


class K(pe.KmsClient):
    def __init__(s, c):
        super().__init__()

    def wrap_key(s, k, m):
        import base64

        return base64.b64encode(k)

    def unwrap_key(s, w, m):
        import base64

        return base64.b64decode(w)


def enc(p, plain):
    cf = pe.CryptoFactory(lambda c: K(c))
    pr = cf.file_encryption_properties(
        pe.KmsConnectionConfig(), pe.EncryptionConfiguration(footer_key="k", column_keys={"c": ["text"]}, plaintext_footer=plain)
    )
    with pq.ParquetWriter(p, T(3).schema, encryption_properties=pr) as w:
        w.write_table(T(3))


case("pq-enc-footer", {"a.parquet": lambda p: enc(p, False)}, refuse="encrypt")
case("pq-enc-plain-footer", {"a.parquet": lambda p: enc(p, True)}, refuse="encrypt")


def enc2(p):
    cf = pe.CryptoFactory(lambda c: K(c))
    t = T(3, secret=["x", "y", "z"])
    pr = cf.file_encryption_properties(
        pe.KmsConnectionConfig(), pe.EncryptionConfiguration(footer_key="k", column_keys={"c": ["secret"]}, plaintext_footer=True)
    )
    with pq.ParquetWriter(p, t.schema, encryption_properties=pr) as w:
        w.write_table(t)


# --- Arrow
def W(p, t, new=ipc.new_file, chunk=None, **o):
    with new(p, t.schema, options=ipc.IpcWriteOptions(**o)) as w:
        w.write_table(t, max_chunksize=chunk)


case("ar-file-chunks", {"a.arrow": lambda p: W(p, T(1000), chunk=7)}, sorted(ids(1000)))
case("ar-stream", {"a.arrow": lambda p: W(p, T(1000), ipc.new_stream, 7)}, sorted(ids(1000)))
for comp in ("lz4", "zstd"):
    case("ar-file-" + comp, {"a.arrow": lambda p: W(p, T(1000), chunk=100, compression=comp)}, sorted(ids(1000)))
    case("ar-stream-" + comp, {"a.arrow": lambda p: W(p, T(1000), ipc.new_stream, 100, compression=comp)}, sorted(ids(1000)))
case("ar-legacy-v4", {"a.arrow": lambda p: W(p, T(10), metadata_version=ipc.MetadataVersion.V4)}, ids(10))
case("ar-legacy-prefix", {"a.arrow": lambda p: W(p, T(10), ipc.new_stream, use_legacy_format=True)}, ids(10))
case("ar-feather2", {"a.feather": lambda p: feather.write_feather(T(10), p)}, ids(10))
case("ar-feather2-none", {"a.feather": lambda p: feather.write_feather(T(10), p, compression="uncompressed")}, ids(10))
big2 = T(4).cast(pa.schema([("id", pa.large_string()), ("text", pa.large_string())]))
case("ar-large-utf8", {"a.arrow": lambda p: W(p, big2)}, ids(4))
case(
    "ar-view",
    {
        "a.arrow": lambda p: W(
            p,
            pa.table(
                {
                    "id": pa.array(["a", "b"], pa.string_view()),
                    "text": pa.array(["short", "a text of more than twelve bytes"], pa.string_view()),
                }
            ),
        )
    },
    [["a", "short"], ["b", "a text of more than twelve bytes"]],
)
case(
    "ar-view-stream",
    {
        "a.arrow": lambda p: W(
            p,
            pa.table(
                {
                    "id": pa.array(["a", "b", None], pa.string_view()),
                    "text": pa.array(["short", None, "a text of more than twelve bytes"], pa.string_view()),
                }
            ),
            ipc.new_stream,
        )
    },
    [["a", "short"]],
    rejects=2,
)
case(
    "ar-binview-carry",
    {"a.arrow": lambda p: W(p, T(2, x=pa.array([b"abc", "ünd so weiter und so fort".encode()], pa.binary_view())))},
    [["d0", "text 0", {"x": "abc"}], ["d1", "text 1", {"x": "ünd so weiter und so fort"}]],
    carry=["x"],
)
case(
    "ar-view-sliced",
    {
        "a.arrow": lambda p: W(
            p,
            pa.table(
                {
                    "id": pa.array([f"d{i}" for i in range(10)], pa.string_view()),
                    "text": pa.array([f"a rather long text number {i}" for i in range(10)], pa.string_view()),
                }
            ).slice(3, 4),
        )
    },
    [[f"d{i}", f"a rather long text number {i}"] for i in range(3, 7)],
)
case("ar-listview", {"a.arrow": lambda p: W(p, T(2, x=pa.array([[1], [2, 3]], pa.list_view(pa.int64()))))}, refuse="list view", carry=["x"])
case("ar-listview-unread", {"a.arrow": lambda p: W(p, T(2, x=pa.array([[1], [2, 3]], pa.list_view(pa.int64()))))}, refuse="list view")


def delta(p, new=ipc.new_stream):
    d1 = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["x", "y"]))
    d2 = pa.DictionaryArray.from_arrays(pa.array([2, 0]), pa.array(["x", "y", "z"]))
    s = pa.schema([("id", pa.string()), ("text", d1.type)])
    with new(p, s, options=ipc.IpcWriteOptions(emit_dictionary_deltas=True)) as w:
        w.write_batch(pa.record_batch([pa.array(["a", "b"]), d1], schema=s))
        w.write_batch(pa.record_batch([pa.array(["c", "d"]), d2], schema=s))


dexp = [["a", "x"], ["b", "y"], ["c", "z"], ["d", "x"]]
case("ar-dict-delta-stream", {"a.arrow": lambda p: delta(p)}, refuse="changes its dictionaries")
case("ar-dict-delta-file", {"a.arrow": lambda p: delta(p, ipc.new_file)}, dexp)


def repl(p):
    d1 = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["x", "y"]))
    d2 = pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array(["p", "q"]))
    s = pa.schema([("id", pa.string()), ("text", d1.type)])
    with ipc.new_stream(p, s) as w:
        w.write_batch(pa.record_batch([pa.array(["a", "b"]), d1], schema=s))
        w.write_batch(pa.record_batch([pa.array(["c", "d"]), d2], schema=s))


case("ar-dict-replaced", {"a.arrow": repl}, refuse="changes its dictionaries")
case(
    "ar-dict-nulls",
    {"a.arrow": lambda p: W(p, T(3, x=pa.DictionaryArray.from_arrays(pa.array([0, None, 1]), pa.array(["v", None]))))},
    [["d0", "text 0", {"x": "v"}], ["d1", "text 1", {"x": None}], ["d2", "text 2", {"x": None}]],
    carry=["x"],
)
case(
    "ar-nested-dict",
    {"a.arrow": lambda p: W(p, T(2, x=pa.array([["u", "v"], []], pa.list_(pa.dictionary(pa.int8(), pa.string())))))},
    [["d0", "text 0", {"x": '["u","v"]'}], ["d1", "text 1", {"x": "[]"}]],
    carry=["x"],
)
case(
    "ar-sliced-nulls",
    {"a.arrow": lambda p: W(p, T(20, n=[i if i % 3 else None for i in range(20)]).slice(5, 9))},
    [[f"d{i}", f"text {i}", {"n": i if i % 3 else None}] for i in range(5, 14)],
    carry=["n"],
)
case("ar-month-interval", {"a.arrow": lambda p: W(p, T(1, x=pa.array([pa.MonthDayNano([1, 2, 3])])))}, refuse="Interval", carry=["x"])
case(
    "ar-fixed-list",
    {"a.arrow": lambda p: W(p, T(2, x=pa.array([[1.5, 2.5], None], pa.list_(pa.float32(), 2))))},
    [["d0", "text 0", {"x": "[1.5,2.5]"}], ["d1", "text 1", {"x": None}]],
    carry=["x"],
)
case("ar-truncated", {"a.arrow": lambda p: (W(p, T(1000)), open(p, "r+b").truncate(3000))}, refuse="a.arrow")
case(
    "ar-stream-truncated",
    {"a.arrow": lambda p: (W(p, T(1000), ipc.new_stream, 100), open(p, "r+b").truncate(os.path.getsize(p) // 2))},
    refuse="a.arrow",
)
case("ar-stream-noeos", {"a.arrow": lambda p: (W(p, T(10), ipc.new_stream), open(p, "r+b").truncate(os.path.getsize(p) - 8))}, ids(10))
case("ar-bigendian", {"a.arrow": b"ARROW1\0\0" + b"\0" * 64}, refuse=".")

# --- Hive
case(
    "hive-special",
    {
        "lang=a%2Fb%3Dc%25/a.jsonl": lines[0],
        "lang=__HIVE_DEFAULT_PARTITION__/b.jsonl": lines[1],
        "lang=/c.jsonl": lines[2],
        "lang=S%C3%A3o/d.jsonl": '{"id":"d","text":"4"}\n',
        "lang=100%/e.jsonl": '{"id":"e","text":"5"}\n',
        "lang=%E4/f.jsonl": '{"id":"f","text":"6"}\n',
    },
    [
        ["a", "one", {"lang": "a/b=c%"}],
        ["b", "two", {"lang": None}],
        ["c", "three", {"lang": ""}],
        ["d", "4", {"lang": "São"}],
        ["e", "5", {"lang": "100%"}],
        ["f", "6", {"lang": "%E4"}],
    ],
    carry=["lang"],
)
case(
    "hive-missing-level",
    {"lang=de/a.jsonl": lines[0], "b.jsonl": lines[1]},
    [["a", "one", {"lang": "de"}], ["b", "two", {"lang": None}]],
    carry=["lang"],
)
case(
    "hive-hidden",
    {"lang=de/a.jsonl": lines[0], "lang=de/.a.jsonl.crc": "crc", "lang=de/_SUCCESS": "", "_temporary/0/x.jsonl": lines[1]},
    [["a", "one"]],
)

json.dump(CASES, open(os.path.join(ROOT, "expected.json"), "w"))
