// What a load and a switch must do in every vector store. Each store's test file calls `proveLoads`
// with its server. Sizes by environment: REEMBED_TEST_LOAD=100000x384,20000x3072 (the issue's),
// else small ones.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { columnsOf, columnsUnder, rowsOf, shardsOf } from '@reembed/export'
import { type Manifest, putVersion, readLoadedShards, readLoadRecords, wholeTarget } from '@reembed/protocol'
import { dropOldTargets, dropTarget, loadRun, openVectorStore, switchStore } from '@reembed/sinks'
import { openStore, type Store } from '@reembed/store'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type MadeRun, makeRun } from '../export/run.ts'
import { start } from '../parts/cli.ts'
import { bytesOf } from '../shard/parts.ts'

/** One row as a client of the vector store reads it. */
export interface FoundRow {
  readonly id: string
  readonly vector: Float32Array
  /** The other columns; absent ones are null. */
  readonly columns: Readonly<Record<string, unknown>>
}

/** A vector store under test, with a client of its own. */
export interface TestedStore extends AsyncDisposable {
  readonly url: string
  /** Keys for the command. */
  readonly env?: Record<string, string>
  /** All rows of a target. */
  rows(target: string): Promise<readonly FoundRow[]>
  /** One search by name: the dimensions of the vectors of each answer. */
  search(name: string): Promise<readonly number[]>
  /** Deletes one row. */
  remove(target: string, id: string): Promise<void>
  /** Gives one row the vector of another. */
  change(target: string, id: string, vector: Float32Array): Promise<void>
}

export interface LoadTraits {
  /** A text that the store refuses, and its reason. */
  readonly refused?: { readonly text: string; readonly reason: RegExp }
  /** Whether the client of the test reads equal bits. */
  readonly bits: boolean
  /** What the proof states; default `bits`. */
  readonly compared?: 'bits' | 'cosine'
  /** Columns that the client of the test does not read exactly. */
  readonly lossyColumns?: readonly string[]
  /** A write locks its target, so a drop waits for the end of the write. */
  readonly locks?: true
}

const SIZES = (process.env.REEMBED_TEST_LOAD ?? '600x16').split(',').map(size => {
  const [rows = 0, dimensions = 0] = size.split('x').map(Number)
  return { rows, dimensions }
})
/** Runs that searches are switched to, of other dimensions than those that they use before. */
const SWITCHED = process.env.REEMBED_TEST_LOAD ? SIZES : [{ rows: 300, dimensions: 24 }]

/** Dimensions of the models between which searches are switched. */
const MODELS = [...new Set([16, 24, ...SIZES.map(({ dimensions }) => dimensions)])]
let model = 0

/**
 * A search by a client that knows the models: a store refuses a query of other dimensions than
 * those that it holds, and the client then repeats it with the other model.
 */
export async function eitherModel<T>(search: (query: number[]) => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await search(Array(MODELS[model % MODELS.length]).fill(1))
    } catch (error) {
      // A switch may fall between two tries, and its way back between two more.
      if (tries === 2 * MODELS.length || !/dimension/.test(String(error))) throw error
      model += 1
    }
  }
}

const RUNS = { old: 'a'.repeat(26), next: 'b'.repeat(26), other: 'c'.repeat(26) } as const
const SHARDS = 5
/** Rows of the version that is updated: the with REEMBED_TEST_LOAD. */
const UPDATED_ROWS = Math.max(800, SIZES[0]?.rows ?? 0)
const UPDATED_DIMENSIONS = SIZES[0]?.dimensions ?? 16
const TIMEOUT_MS =
  120_000 + SIZES.reduce((sum, { rows, dimensions }) => sum + 20 * rows + (rows * dimensions) / 16, 0)

export function proveLoads(
  kind: string,
  lack: string | undefined,
  open: () => Promise<TestedStore>,
  { refused, bits, compared = 'bits', lossyColumns = [], locks }: LoadTraits,
): void {
  describe.skipIf(lack !== undefined)(lack === undefined ? kind : `${kind} (not run: ${lack})`, () => {
    let store: TestedStore
    let folder: string
    let output: Store
    beforeAll(async () => {
      store = await open()
    }, TIMEOUT_MS)
    afterAll(() => store?.[Symbol.asyncDispose]())
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'reembed-load-'))
      output = await openStore(folder)
    })
    afterEach(async () => {
      await output[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    })

    const publish = (manifest: Manifest, version: number) =>
      putVersion(output, { version, run: manifest.run, seq: version, manifestSha256: '' })

    /** A load in a process of its own that is killed when so many shards are recorded. */
    async function killedLoad({ run }: Manifest, name: string, shards: number): Promise<void> {
      const { child, finished } = start(
        ['load', '--output', folder, '--to', store.url, '--name', name],
        store.env,
      )
      const loads = join(folder, 'runs', run, 'loads')
      const count = async () =>
        (await readdir(loads, { recursive: true }).catch(() => [])).filter(key => key.endsWith('.json'))
          .length
      void (async () => {
        while (child.exitCode === null && (await count()) < shards) await setImmediate()
        child.kill('SIGKILL')
      })()
      const { signal, stderr } = await finished
      expect(`${signal}${stderr}`).toMatch('SIGKILL')
    }

    for (const [index, { rows, dimensions }] of SIZES.entries()) {
      test(
        `${rows} vectors of ${dimensions} dimensions are loaded, killed, resumed, counted and compared`,
        async () => {
          const name = `sized_${index}`
          const shape = { run: RUNS.old, shards: SHARDS, rows: rows / SHARDS, dimensions, rowGroupRows: 500 }
          const run = await makeRun(output, shape)
          await publish(run.manifest, 1)
          for (const killedAfter of [1, 2, 3]) await killedLoad(run.manifest, name, killedAfter)
          await using vectors = await openVectorStore(store.url)
          const { proof, record, written } = await loadRun(output, run.manifest, vectors, { name })
          expect(written.shards).toBeLessThanOrEqual(SHARDS - 3)
          expect(proof).toMatchObject({
            shards: SHARDS,
            rows,
            refused: 0,
            compared,
          })
          expect(proof.sampled).toBeGreaterThan(Math.min(rows, 200) / 2)
          expectEqualRows(await store.rows(record.target), run, { bits, lossyColumns })

          const again = await loadRun(output, run.manifest, vectors, { name })
          expect(again.written).toEqual({ shards: 0, rows: 0 })
          expect(again.record).toMatchObject(JSON.parse(JSON.stringify(record)))
          expect(await Array.fromAsync(readLoadRecords(output))).toEqual([again.record])
        },
        TIMEOUT_MS,
      )
    }

    test.each(SWITCHED)(
      'searches use one run as a whole while $rows rows of $dimensions dimensions are loaded, the name is switched, and switched back',
      async ({ rows, dimensions }) => {
        const name = `wiki${rows}`
        await using vectors = await openVectorStore(store.url)
        const old = await makeRun(output, { run: RUNS.old, dimensions: 16 })
        const next = await makeRun(output, {
          run: RUNS.next,
          shards: SHARDS,
          rows: rows / SHARDS,
          dimensions,
          rowGroupRows: 500,
        })
        await publish(old.manifest, 1)
        await expect(switchStore(output, vectors, { name })).rejects.toThrow(
          `version 1 of ${output.url} (run ${RUNS.old}) is not loaded into '${name}'`,
        )
        await loadRun(output, old.manifest, vectors, { name })
        const first = await switchStore(output, vectors, { name })
        expect(first).toMatchObject({ target: `${name}_${'a'.repeat(12)}`, from: undefined, changed: true })
        await expect(switchStore(output, vectors, { name, back: true })).rejects.toThrow(
          `'${name}' has used no other target before`,
        )
        let ended = false
        const seen: (readonly number[])[] = []
        const client = (async () => {
          while (!ended) seen.push(await store.search(name))
        })()
        const after = (count: number) =>
          expect.poll(() => seen.length, { timeout: 120_000 }).toBeGreaterThan(count)
        await after(20)
        await loadRun(output, next.manifest, vectors, { name })
        await after(seen.length + 20)
        await publish(next.manifest, 2)
        const there = await switchStore(output, vectors, { name })
        expect(there).toMatchObject({ from: first.target, changed: true, before: { run: RUNS.old } })
        await after(seen.length + 20)
        const same = await switchStore(output, vectors, { name })
        expect(same).toMatchObject({ target: there.target, changed: false })
        const back = await switchStore(output, vectors, { name, back: true })
        expect(back).toMatchObject({ target: first.target, from: there.target, run: RUNS.old, changed: true })
        await after(seen.length + 20)
        ended = true
        await client
        if (process.env.REEMBED_TEST_LOAD) process.stdout.write(`${kind}: ${seen.length} answers\n`)
        const answers = new Set(seen.map(dimensions => dimensions.join()))
        expect([...answers].sort()).toEqual([Array(10).fill(16).join(), Array(10).fill(dimensions).join()])
        expect(await store.search(name)).toEqual(Array(10).fill(16))
        const records = await Array.fromAsync(readLoadRecords(output), ({ action, target }) => [
          action,
          target,
        ])
        expect(records).toEqual([
          ['switch', first.target],
          ['switch', there.target],
          ['load', there.target],
          ['switch', first.target],
          ['load', first.target],
        ])
        await expect(dropTarget(output, vectors, RUNS.old, { name })).rejects.toMatchObject({
          code: 'USAGE',
          message: expect.stringContaining(`use ${first.target}: switch to another run first`),
        })
        await dropTarget(output, vectors, RUNS.next, { name })
        expect(await vectors.count(there.target)).toBeUndefined()
        await expect(dropTarget(output, vectors, RUNS.next, { name })).rejects.toThrow(`has no ${name}_bbbb`)
        await expect(switchStore(output, vectors, { name })).rejects.toThrow('is not loaded')
        const again = await loadRun(output, next.manifest, vectors, { name })
        expect(again.written).toEqual({ shards: SHARDS, rows })
      },
      TIMEOUT_MS,
    )

    test('old targets are dropped except the newest, never one that searches use or that was loaded since', async () => {
      await using vectors = await openVectorStore(store.url)
      const name = 'aged'
      const drop = async (keep: number) => {
        const { dropped, kept } = await dropOldTargets(output, vectors, keep, { name })
        return { dropped: dropped.map(({ run }) => run), kept }
      }
      const targets: string[] = []
      for (const [index, letter] of ['a', 'b', 'c', 'd'].entries()) {
        const { manifest } = await makeRun(output, { run: letter.repeat(26), shards: 1, rows: 4 })
        await publish(manifest, index + 1)
        const { record } = await loadRun(output, manifest, vectors, { name })
        targets.push(record.target)
        if (index === 0) expect(await drop(0)).toEqual({ dropped: [], kept: [] })
        if (letter !== 'd') await switchStore(output, vectors, { name })
      }
      const [a = '', b = '', c = '', d = ''] = targets
      const counts = () => Promise.all([a, b, c, d].map(target => vectors.count(target)))
      expect(await drop(1)).toEqual({ dropped: [RUNS.old], kept: [b] })
      expect(await drop(1)).toEqual({ dropped: [], kept: [b] })
      expect(await counts()).toEqual([undefined, 4, 4, 4])
      // Searches used the target last, so it is newer than one that was only loaded.
      await switchStore(output, vectors, { name, back: true })
      await putVersion(output, { version: 5, run: RUNS.next, seq: 5, manifestSha256: '' })
      expect(await drop(1)).toEqual({ dropped: ['d'.repeat(26)], kept: [c] })
      expect(await drop(0)).toEqual({ dropped: [RUNS.other], kept: [] })
      expect(await counts()).toEqual([undefined, 4, undefined, undefined])
      expect(await vectors.current(name)).toBe(b)
      const load = await vectors.holds(b)
      await expect(vectors.drop(b)).rejects.toMatchObject({ code: 'USAGE', reason: 'target_in_use' })
      expect(await vectors.holds(b)).toBe(load)
      expect(await store.search(name)).toHaveLength(4)
    })

    test(
      'a target in use takes only what changed between two versions, and equals a whole load',
      async () => {
        await using vectors = await openVectorStore(store.url)
        const shape = { rows: UPDATED_ROWS / 4, shards: 4, dimensions: UPDATED_DIMENSIONS }
        const old = await makeRun(output, { run: RUNS.old, ...shape })
        await publish(old.manifest, 1)
        const { record } = await loadRun(output, old.manifest, vectors, { name: 'live', update: true })
        await switchStore(output, vectors, { name: 'live' })

        // One row in a hundred is removed, one is changed, and one is added.
        const kept = Array.from({ length: UPDATED_ROWS }, (_, row) => row).filter(row => row % 100 !== 3)
        const added = Array.from({ length: UPDATED_ROWS / 100 }, (_, i) => UPDATED_ROWS + i)
        const next = await makeRun(output, {
          run: RUNS.next,
          ...shape,
          later: {
            from: RUNS.old,
            rows: [...kept, ...added],
            changed: new Set(kept.filter(row => row % 100 === 7)),
          },
        })
        await expect(
          loadRun(output, next.manifest, vectors, { name: 'live', update: true }),
        ).rejects.toMatchObject({ code: 'USAGE', option: 'update' })
        await publish(next.manifest, 2)

        // The vector store fails after some of the rows: the target holds neither run.
        const broken = Object.assign(Object.create(vectors), {
          update: (...[target, update]: Parameters<typeof vectors.update>) =>
            vectors.update(target, {
              ...update,
              // biome-ignore lint/correctness/useYield: it fails before the first
              async *removed() {
                throw new Error('stopped')
              },
            }),
        })
        await expect(loadRun(output, next.manifest, broken, { name: 'live', update: true })).rejects.toThrow(
          'stopped',
        )
        await expect(switchStore(output, vectors, { name: 'live' })).rejects.toThrow('is not loaded')

        const { proof, ...outcome } = await loadRun(output, next.manifest, vectors, {
          name: 'live',
          update: true,
        })
        const each = UPDATED_ROWS / 100
        expect(outcome).toMatchObject({ written: { rows: 2 * each }, record: { target: record.target } })
        expect(proof).toMatchObject({
          rows: UPDATED_ROWS,
          updated: { from: RUNS.old, written: 2 * each, deleted: each },
        })
        expectEqualRows(await store.rows(record.target), next, { bits, lossyColumns })
        expect(await switchStore(output, vectors, { name: 'live' })).toMatchObject({
          run: RUNS.next,
          target: record.target,
          changed: false,
        })
        expect(await store.search('live')).toHaveLength(10)
        const again = await loadRun(output, next.manifest, vectors, { name: 'live', update: true })
        expect(again).toMatchObject({
          written: { rows: 0 },
          proof,
          record: { number: outcome.record.number },
        })

        // And back to the earlier run.
        await publish(old.manifest, 3)
        const back = await loadRun(output, old.manifest, vectors, { name: 'live', update: true })
        expect(back.proof.updated).toEqual({ from: RUNS.next, written: 2 * each, deleted: each })
        expectEqualRows(await store.rows(record.target), old, { bits, lossyColumns })

        // Another recipe is loaded as a whole.
        const other = await makeRun(output, { run: RUNS.other, dimensions: 24 })
        await publish(other.manifest, 4)
        const whole = await loadRun(output, { ...other.manifest, recipeId: 'another' }, vectors, {
          name: 'live',
          update: true,
        })
        expect(whole).toMatchObject({
          written: { rows: 300 },
          notUpdated: expect.stringContaining('has another recipe'),
        })
      },
      TIMEOUT_MS,
    )

    test(
      'an interrupted update is undone, continued to a third run, or replaced by a whole load',
      async () => {
        await using vectors = await openVectorStore(store.url)
        const rows = Array.from({ length: 300 }, (_, row) => row)
        const old = await makeRun(output, { run: RUNS.old })
        const edited = (run: string, from: string, kept: readonly number[], changed: readonly number[]) =>
          makeRun(output, { run, later: { from, rows: kept, changed: new Set(changed) } })
        // Row 3 is deleted and row 7 changed; then row 3 is added again, and row 9 changed.
        const next = await edited(RUNS.next, RUNS.old, [...rows.filter(row => row !== 3), 300], [7])
        const other = await edited(RUNS.other, RUNS.next, [...rows.filter(row => row !== 5), 301], [9])
        let version = 0
        const load = (run: MadeRun, options: object) =>
          loadRun(output, run.manifest, vectors, { ...options, update: true })
        /** Updates the target to the second run, and fails before the first deletion. */
        async function interrupt(name: string): Promise<string> {
          await publish(old.manifest, ++version)
          const { record } = await loadRun(output, old.manifest, vectors, { name })
          await switchStore(output, vectors, { name })
          await publish(next.manifest, ++version)
          const broken = Object.assign(Object.create(vectors), {
            update: (...[target, update]: Parameters<typeof vectors.update>) =>
              vectors.update(target, { ...update, removed: () => fail() }),
          })
          // biome-ignore lint/correctness/useYield: it fails before the first
          async function* fail(): AsyncGenerator<readonly string[], void, undefined> {
            throw new Error('stopped')
          }
          await expect(loadRun(output, next.manifest, broken, { name, update: true })).rejects.toThrow(
            'stopped',
          )
          return record.target
        }

        const undone = await interrupt('undone')
        await publish(old.manifest, ++version)
        const back = await load(old, { name: 'undone' })
        expect(back).not.toHaveProperty('notUpdated', expect.anything())
        expect(back.record.target).toBe(undone)
        expect(back.proof.updated).toEqual({ from: RUNS.next, written: 2, deleted: 1 })
        expectEqualRows(await store.rows(undone), old, { bits, lossyColumns })
        expect(await switchStore(output, vectors, { name: 'undone' })).toMatchObject({ changed: false })

        const continued = await interrupt('continued')
        await publish(other.manifest, ++version)
        const on = await load(other, { name: 'continued' })
        expect(on).not.toHaveProperty('notUpdated', expect.anything())
        expect(on.record.target).toBe(continued)
        expectEqualRows(await store.rows(continued), other, { bits, lossyColumns })

        const replaced = await interrupt('replaced')
        await publish(old.manifest, ++version)
        await expect(switchStore(output, vectors, { name: 'replaced' })).rejects.toThrow('is not loaded')
        await expect(dropTarget(output, vectors, RUNS.old, { name: 'replaced' })).rejects.toThrow('switch to')
        const { record } = await loadRun(output, old.manifest, vectors, { name: 'replaced' })
        expect(record.target).not.toBe(replaced)
        expectEqualRows(await store.rows(record.target), old, { bits, lossyColumns })
        expect(await switchStore(output, vectors, { name: 'replaced' })).toMatchObject({
          from: replaced,
          target: record.target,
        })
        await dropTarget(output, vectors, RUNS.next, { name: 'replaced' })
        expect(await vectors.count(replaced)).toBeUndefined()
        expect(await vectors.count(record.target)).toBe(300)
      },
      TIMEOUT_MS,
    )

    test(
      'ids that hold quotes, operators of query languages, control and rare characters are loaded, compared, updated and removed as they are',
      async () => {
        await using vectors = await openVectorStore(store.url)
        const [removed, changed] = [
          `it's "3"] or id != '' or id in ["\\\t\u{20bb7}中\u0001`,
          `x' OR '1'='1' -- "\\"\n\u0007\u{2000b}\u{1f600}`,
        ]
        const old = await makeRun(output, {
          run: RUNS.old,
          rows: 10,
          edit: row => (row === 3 ? { id: removed } : row === 7 ? { id: changed } : {}),
        })
        await publish(old.manifest, 1)
        const { record } = await loadRun(output, old.manifest, vectors, { name: 'quoted' })
        expectEqualRows(await store.rows(record.target), old, { bits, lossyColumns })
        expect([...(await vectors.read(record.target, old.ids)).keys()].sort()).toEqual([...old.ids].sort())
        await switchStore(output, vectors, { name: 'quoted' })
        const rows = Array.from({ length: 31 }, (_, row) => row).filter(row => row !== 3)
        const next = await makeRun(output, {
          run: RUNS.next,
          rows: 10,
          // Row 3 before it is removed.
          edit: row => (row === 6 ? { id: changed } : {}),
          later: { from: RUNS.old, rows, changed: new Set([7]) },
        })
        await publish(next.manifest, 2)
        const { proof } = await loadRun(output, next.manifest, vectors, { name: 'quoted', update: true })
        expect(proof.updated).toEqual({ from: RUNS.old, written: 2, deleted: 1 })
        expectEqualRows(await store.rows(record.target), next, { bits, lossyColumns })
      },
      TIMEOUT_MS,
    )

    test('two switches at the same time leave searches with one of the two targets', async () => {
      await using vectors = await openVectorStore(store.url)
      await using other = await openVectorStore(store.url)
      const targets: string[] = []
      for (const run of [RUNS.old, RUNS.next, RUNS.other]) {
        const { manifest } = await makeRun(output, { run, shards: 1, rows: 4 })
        targets.push((await loadRun(output, manifest, vectors, { name: 'raced' })).record.target)
      }
      const [first = '', a = '', b = ''] = targets
      for (const before of [undefined, first]) {
        if (before) await vectors.switchTo('raced', before)
        const both = [vectors.switchTo('raced', a), other.switchTo('raced', b)]
        const results = await Promise.allSettled(both)
        expect(results.map(({ status }) => status)).toContain('fulfilled')
        const used = await vectors.current('raced')
        expect([a, b]).toContain(used)
        // A target that searches use is not dropped.
        if (before) for (const target of targets) if (target !== used) await vectors.drop(target)
        expect(await store.search('raced')).toHaveLength(4)
      }
    })

    test('a row that another program removed or changed fails load and switch until the target is dropped and loaded', async () => {
      await using vectors = await openVectorStore(store.url)
      const run = await makeRun(output, { run: RUNS.next })
      await publish(run.manifest, 1)
      const { record } = await loadRun(output, run.manifest, vectors, { name: 'changed' })
      const id = run.ids[0] ?? ''
      await store.change(record.target, id, run.vectors.slice(16, 32))
      await expect(loadRun(output, run.manifest, vectors, { name: 'changed' })).rejects.toMatchObject({
        code: 'UNBALANCED',
        message: expect.stringContaining(`document ${JSON.stringify(id)}`),
      })
      await store.remove(record.target, id)
      await expect(loadRun(output, run.manifest, vectors, { name: 'changed' })).rejects.toMatchObject({
        code: 'UNBALANCED',
        message: expect.stringContaining('counts 299 rows'),
      })
      await expect(switchStore(output, vectors, { name: 'changed' })).rejects.toMatchObject({
        code: 'UNBALANCED',
        message: expect.stringContaining('counts 299 rows'),
      })
      await vectors.drop(record.target)
      expect(await vectors.count(record.target)).toBeUndefined()
      const { written } = await loadRun(output, run.manifest, vectors, { name: 'changed' })
      expect(written).toEqual({ shards: 3, rows: 300 })
      await switchStore(output, vectors, { name: 'changed' })
    })

    test('a late write changes nothing after its target was dropped, loaded again, or updated', async () => {
      await using vectors = await openVectorStore(store.url)
      await using other = await openVectorStore(store.url)
      const rows = Array.from({ length: 300 }, (_, row) => row)
      const old = await makeRun(output, { run: RUNS.old, rowGroupRows: 40 })
      const next = await makeRun(output, {
        run: RUNS.next,
        later: { from: RUNS.old, rows: [...rows.filter(row => row !== 3), 300], changed: new Set([7]) },
      })
      const columns = columnsOf(old.manifest, { identifiers: vectors.identifiers })
      const [first] = await Array.fromAsync(shardsOf(output, old.manifest))
      /** Writes the first shard of the old run; `event` happens after the write began. */
      async function writeDuring(target: string, load: string, event: () => Promise<unknown>, begins = true) {
        let happened: Promise<unknown> | undefined
        const of = { name: target.replace(/_[^_]*$/, ''), target, manifest: old.manifest }
        async function* rows() {
          happened ??= event()
          if (!locks) await happened
          if (first) yield* rowsOf(output, first, { dimensions: 16, columns, verify: true })
        }
        const write = () =>
          vectors.write({ ...of, extra: columnsUnder(columns) }, { load, shard: first?.shard ?? -1, rows })
        const result = await write().catch((error: unknown) => error)
        expect(happened !== undefined).toBe(begins)
        await (happened ?? event())
        if (!Array.isArray(result))
          expect(String(result)).toMatch(/does not hold the load|conflict|did not take/)
        return write
      }
      const load = async (name: string) => {
        const { record, proof } = await loadRun(output, old.manifest, other, { name })
        return { target: record.target, load: proof.load }
      }

      // A store that locks a target records its shards too, and reads no rows of one that it has.
      const opened = async (name: string) => {
        if (!locks) return load(name)
        const target = wholeTarget([], name, old.manifest.run)
        const of = { name, target, manifest: old.manifest, extra: columnsUnder(columns) }
        return { target, load: await other.prepare(of) }
      }

      const dropped = await opened('late')
      const late = await writeDuring(dropped.target, dropped.load, () => other.drop(dropped.target))
      expect(await vectors.count(dropped.target)).toBeUndefined()
      await expect(late()).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining(`does not hold the load ${dropped.load} any more`),
      })
      expect(await vectors.count(dropped.target)).toBeUndefined()

      const replaced = await opened('late')
      await writeDuring(replaced.target, replaced.load, async () => {
        await other.drop(replaced.target)
        await rm(join(folder, 'loads'), { recursive: true, force: true })
        await load('late')
      })
      expectEqualRows(await store.rows(replaced.target), old, { bits, lossyColumns })

      await publish(old.manifest, 1)
      const updated = await load('later')
      await switchStore(output, other, { name: 'later' })
      await publish(next.manifest, 2)
      await writeDuring(
        updated.target,
        updated.load,
        () => loadRun(output, next.manifest, other, { name: 'later', update: true }),
        !locks,
      )
      expectEqualRows(await store.rows(updated.target), next, { bits, lossyColumns })
      await loadRun(output, next.manifest, other, { name: 'later' })
      expectEqualRows(await store.rows(updated.target), next, { bits, lossyColumns })
    })

    test('a target of another run of the same id, and an invalid name, are refused', async () => {
      await using vectors = await openVectorStore(store.url)
      const { manifest } = await makeRun(output, { run: RUNS.other })
      await loadRun(output, manifest, vectors, { name: 'taken' })
      await expect(
        loadRun(output, { ...manifest, shardsSha256: 'another' }, vectors, { name: 'taken' }),
      ).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('holds other vectors') })
      await expect(loadRun(output, manifest, vectors, { name: 'Wiki-1' })).rejects.toMatchObject({
        code: 'USAGE',
        option: 'name',
      })
    })

    test.skipIf(refused === undefined)(
      'a document that the store refuses is listed with its reason',
      async () => {
        await using vectors = await openVectorStore(store.url)
        const run = await makeRun(output, {
          run: RUNS.old,
          edit: row => (row === 7 || row === 17 ? { text: refused?.text ?? '' } : {}),
        })
        const { proof } = await loadRun(output, run.manifest, vectors, { name: 'refusing' })
        expect(proof).toMatchObject({ rows: 298, refused: 2 })
        const loaded = await Array.fromAsync(readLoadedShards(output, run.manifest, proof.load))
        const listed = loaded.flatMap(({ refused }) => refused)
        expect(listed.map(({ id }) => id)).toEqual([run.ids[7], run.ids[17]])
        for (const { reason } of listed) expect(reason).toMatch(refused?.reason ?? /$^/)
        // A killed load finds the same.
        await rm(join(folder, 'runs', RUNS.old, 'loads'), { recursive: true })
        const again = await loadRun(output, run.manifest, vectors, { name: 'refusing' })
        expect(again.proof).toEqual(proof)
        await publish(run.manifest, 1)
        await switchStore(output, vectors, { name: 'refusing' })
        const same = await loadRun(output, run.manifest, vectors, { name: 'refusing', update: true })
        expect(same).toMatchObject({ record: { number: again.record.number }, proof: { refused: 2 } })
        expect(same.refused).toHaveLength(2)
      },
    )
  })
}

function expectEqualRows(
  found: readonly FoundRow[],
  run: MadeRun,
  { bits, lossyColumns }: { readonly bits: boolean; readonly lossyColumns: readonly string[] },
): void {
  expect(found.length).toBe(run.ids.length)
  const { dimensions } = run.manifest.model
  const byId = new Map(found.map(row => [row.id, row]))
  const different: string[] = []
  for (const [row, id] of run.ids.entries()) {
    const stored = byId.get(id)
    const vector = run.vectors.subarray(row * dimensions, (row + 1) * dimensions)
    const isEqual =
      stored !== undefined &&
      (!bits || bytesOf(stored.vector).equals(bytesOf(vector))) &&
      Object.entries(run.extra).every(([name, values]) => {
        if (lossyColumns.includes(name)) return true
        const [value, wanted] = [stored.columns[name] ?? null, values[row] ?? null]
        // Clients differ in the type of an int64.
        return value === wanted || (value !== null && wanted !== null && String(value) === String(wanted))
      })
    if (!isEqual) different.push(id)
  }
  expect(different).toEqual([])
}
