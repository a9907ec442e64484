// A real browser walks every page of the console over real runs: a worker is killed, the endpoint
// stops, a gate holds a run, a person publishes it and rolls back on the page, the console
// restarts. With REEMBED_SCREENSHOTS=<folder> it keeps a picture of each page, in light and dark,
// at three widths.

import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { documents, flags, type Running, reembed, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { testUnless } from '../parts/needs.ts'
import { CHROMIUM, LACK } from './chromium.ts'

const COUNT = 1_500
const WIDTHS = [375, 1_024, 1_600]
const SLOW = { timeout: 60_000 }
const ACTING = 'lets-a-person-act'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let redis: LocalRedis
let tei: FakeTei
/** Serves the model of the first run. */
let old: FakeTei
let browser: Browser | undefined
let output: string
let pages: { readonly url: string; readonly running: Running }
const started: Running[] = []

beforeAll(async () => {
  if (LACK !== undefined) return
  folder = await temporaryFolder()
  const model = { dimensions: 16, sha: 'one', version: '1.8.3', baseMs: 1 } as const
  ;[tei, old, redis, browser] = await Promise.all([
    startFakeTei(model),
    startFakeTei(model),
    startRedis(),
    chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] }),
  ])
  output = join(folder.path, 'vectors')
  await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(COUNT))
  const env = { REEMBED_CONSOLE: '0' }
  const { code, stderr } = await reembed(['run', ...of(), ...source(100), ...common()], env)
  expect(stderr).toContain('page     http://127.0.0.1:')
  expect(code, stderr).toBe(0)
  pages = await serve('0')
}, 120_000)
afterAll(async () => {
  for (const { child } of started) child.kill('SIGKILL')
  await browser?.close()
  for (const part of [tei, old, redis, folder]) await part?.[Symbol.asyncDispose]()
})

const of = (): string[] => flags({ output })
const common = (): string[] => flags({ endpoint: tei.url, redis: redis.url })
const source = (perShard: number): string[] =>
  flags({ source: join(folder.path, 'corpus.jsonl'), 'documents-per-shard': String(perShard) })

async function serve(port: string): Promise<typeof pages> {
  const shown = [
    'console',
    ...of(),
    ...flags({ redis: redis.url, listen: port }),
    '--endpoint',
    tei.url,
    old.url,
  ]
  const running = start(shown, { REEMBED_CONSOLE_ACTIONS_TOKEN: ACTING })
  started.push(running)
  const line = await running.line(/^console +http/)
  return { url: /http:\S+/.exec(line)?.[0] ?? '', running }
}

function startWorker(): Running {
  const running = start(['worker', ...of(), ...common(), ...flags({ concurrency: '2' })])
  started.push(running)
  return running
}

/** A page whose errors, and requests to other hosts, fail the test. */
async function openPage(): Promise<{ page: Page; faults: string[] }> {
  const page = await (browser as Browser).newPage({ viewport: { width: 1_024, height: 900 } })
  const faults: string[] = []
  page.on('pageerror', error => faults.push(error.message))
  page.on('console', message => message.type() === 'error' && faults.push(message.text()))
  page.on('request', request => {
    if (new URL(request.url()).hostname !== '127.0.0.1') faults.push(`request to ${request.url()}`)
  })
  return { page, faults }
}

const waitFor = (page: Page, text: RegExp | string): Promise<void> =>
  page.locator('main :not(title)').getByText(text).first().waitFor(SLOW)

/** No page is wider than its window; each is pictured where a folder is named. */
async function inspect(page: Page, name: string): Promise<void> {
  const to = process.env.REEMBED_SCREENSHOTS
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 })
      const over = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
      expect(over, `${name} at ${width} px`).toBeLessThanOrEqual(0)
      if (to) await page.screenshot({ path: join(to, `${name}-${width}-${colorScheme}.png`), fullPage: true })
    }
  }
}

async function signIn(page: Page): Promise<void> {
  await page.getByRole('link', { name: 'Outputs' }).click()
  await page.locator('table a').first().click()
  await page.getByRole('link', { name: 'Sign in to act' }).click()
  await page.getByRole('textbox', { name: 'Your name' }).fill('ada')
  await page.getByRole('textbox', { name: 'Token' }).fill(ACTING)
  await inspect(page, 'sign-in')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('h1', { hasText: 'Outputs' }).waitFor(SLOW)
}

/** Fills the form of an action on the page of a run, and sends it. */
async function act(page: Page, name: string, reason: string): Promise<void> {
  await page.getByText('Act as ada').click()
  const form = page.locator('form.act', { hasText: name })
  await form.getByRole('textbox', { name: 'Reason' }).fill(reason)
  await inspect(page, `act-${name.toLowerCase().replaceAll(' ', '-')}`)
  await form.getByRole('button').click()
}

testUnless(
  LACK,
  'a browser follows a run through a killed worker, a stopped endpoint, a gate that holds it, and a rollback',
  async () => {
    const { page, faults } = await openPage()
    await tei.stop()
    await tei.start({ sha: 'two', baseMs: 150, msPerToken: 0.5 })
    const previewed = await reembed([
      'preview',
      ...of(),
      ...source(20),
      ...flags({ endpoint: tei.url }),
      '--sample',
      '600',
      '--record',
    ])
    expect(previewed.code, previewed.stderr).toBe(0)
    const gates = ['--gate', 'overlap@10 min 0.99']
    expect((await reembed(['enqueue', ...of(), ...source(20), ...common(), ...gates])).code).toBe(0)

    await page.goto(`${pages.url}/compare`)
    await page.getByRole('combobox', { name: 'New' }).selectOption('preview-1')
    await page.getByRole('button', { name: 'Compare' }).click()
    await waitFor(page, 'Preview of reembed/hash@two')
    await waitFor(page, /A threshold of/)
    await inspect(page, 'compare-preview')

    await page.goto(pages.url)
    await waitFor(page, 'no worker serves this output')
    await inspect(page, 'outputs')
    await page.locator('.open a').first().click()
    const first = startWorker()
    await waitFor(page, /% done/)
    await page.locator('#chart-requests svg').waitFor(SLOW)
    await waitFor(page, /% of the time of its workers/)
    await inspect(page, 'run')

    first.child.kill('SIGKILL')
    await page
      .locator('#timeline')
      .getByText(/sends no heartbeat/)
      .waitFor(SLOW)
    await waitFor(page, 'no worker serves this output')
    await inspect(page, 'run-without-worker')

    startWorker()
    await waitFor(page, /% done/)
    await tei.stop()
    await page.locator('h1 .pill.warn').getByText('waiting').waitFor(SLOW)
    await inspect(page, 'run-waiting')
    await tei.start()

    await waitFor(page, /gate 'overlap@10 min 0.99'/)
    await inspect(page, 'run-held')
    const held = /runs\/(\w+)/.exec(page.url())?.[1] ?? ''

    await page.getByRole('spinbutton', { name: 'Shard' }).fill('1')
    await page.getByRole('button', { name: 'Show' }).click()
    await waitFor(page, 'Shard 1')
    await waitFor(page, /corpus\.jsonl/)

    await page.getByRole('link', { name: 'Compare it with the current version' }).click()
    await waitFor(page, /A threshold of/)
    await page.getByRole('searchbox', { name: 'Text' }).fill('document 7')
    await page.getByRole('button', { name: 'Search' }).click()
    await page.locator('#search .answers').nth(1).waitFor(SLOW)
    await inspect(page, 'compare')

    await signIn(page)
    await page.goto(`${pages.url}/runs/${held}`)
    await act(page, 'Publish it nevertheless', 'a <b>test</b>')
    await waitFor(page, /published as version 2, despite/)
    await inspect(page, 'run-published')
    await page.getByRole('link', { name: 'Outputs' }).click()
    await page.locator('tr', { hasText: 'replaced' }).getByRole('link').click()
    await act(page, 'Make it current again', 'it was one')
    await waitFor(page, /published as version 3/)
    await page.getByRole('link', { name: 'Versions' }).click()
    await waitFor(page, /rollback by ada \(console\): it was one/)
    await waitFor(page, /force by ada \(console\): a <b>test<\/b>/)
    await inspect(page, 'versions')
    expect(faults).toEqual([])
    await page.close()
  },
  300_000,
)

testUnless(
  LACK,
  'a page is read by keyboard and by a screen reader, and reconnects after the console restarted',
  async () => {
    const { page, faults } = await openPage()
    await page.goto(pages.url)
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content')
    await page.locator('table a').last().click()
    expect(await page.getByRole('img', { name: /shards?: .*done/ }).count()).toBe(1)
    expect(await page.locator('figure').count()).toBe(await page.locator('figure table').count())
    // The reader's zone, not UTC alone.
    expect(await page.locator('time').first().getAttribute('title')).toMatch(/2\d{3}/)
    expect(faults).toEqual([])

    pages.running.child.kill('SIGKILL')
    await page.locator('#link').getByText('No connection to the console').waitFor(SLOW)
    pages = await serve(new URL(pages.url).port)
    await page
      .locator('#link')
      .getByText('No connection')
      .waitFor({ state: 'detached', ...SLOW })
    await page.close()
  },
  120_000,
)
