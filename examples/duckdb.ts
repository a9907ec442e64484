// Ids, vectors and carried columns of the current version as a DuckDB table, with a search by SQL.
// DuckDB reads the shards by itself: they are Parquet.
//
//   OUTPUT=./vectors DATABASE=./vectors.duckdb node duckdb.ts

import { DuckDBInstance } from '@duckdb/node-api'
import { readCurrentManifest } from '@reembed/shard'

const { OUTPUT = './vectors', DATABASE = ':memory:' } = process.env

const { run, model } = await readCurrentManifest(OUTPUT)
const database = await DuckDBInstance.create(DATABASE)
const connection = await database.connect()
const shards = `${OUTPUT}/runs/${run}/data/*.parquet`.replaceAll("'", "''")
await connection.run(`
  CREATE OR REPLACE TABLE documents AS
  SELECT * REPLACE (embedding::FLOAT[${model.dimensions}] AS embedding) FROM read_parquet('${shards}')`)

const nearest = await connection.runAndReadAll(`
  WITH query AS (SELECT embedding FROM documents ORDER BY id LIMIT 1)
  SELECT id, array_cosine_similarity(documents.embedding, query.embedding) AS score
  FROM documents, query ORDER BY score DESC, id LIMIT 3`)
for (const [id, score] of nearest.getRows()) console.log(Number(score).toFixed(4), id)
connection.closeSync()
database.closeSync()
