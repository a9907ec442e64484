// A line chart as SVG in HTML. It needs no script: the report shows the same chart, a screen reader
// gets its table, and text keeps its size at every width because it is outside of the SVG.

import { type Html, html } from './html.ts'
import { time } from './parts.ts'

export interface Series {
  readonly name: string
  /** Number of its colour, 1 to 3. */
  readonly colour: 1 | 2 | 3
  /** Null interrupts the line. */
  readonly values: readonly (number | null)[]
}

export interface Marker {
  readonly atMs: number
  readonly text: string
}

export interface Chart {
  readonly id: string
  readonly title: string
  /** Times of the values, in ascending order. */
  readonly times: readonly number[]
  readonly series: readonly Series[]
  readonly format: (value: number) => string
  readonly markers?: readonly Marker[]
}

/** Width and height of the drawing in its own units; it is stretched to its box. */
const [WIDTH, HEIGHT] = [1000, 100]
const TABLE_ROWS = 60

export function chart({ id, title, times, series, format, markers = [] }: Chart): Html {
  const [from = 0, to = 0] = [times[0], times.at(-1)]
  if (times.length < 2 || to === from) return html``
  const most = niceAbove(Math.max(0, ...series.flatMap(({ values }) => values.map(value => value ?? 0))))
  const x = (atMs: number): string => ((WIDTH * (atMs - from)) / (to - from)).toFixed(1)
  const y = (value: number): string => (HEIGHT - (HEIGHT * value) / most).toFixed(1)
  const line = (values: Series['values']): string => {
    let isDown = false
    return values
      .map((value, i) => {
        if (value === null) {
          isDown = false
          return ''
        }
        const command = isDown ? 'L' : 'M'
        isDown = true
        return `${command}${x(times[i] ?? from)} ${y(value)}`
      })
      .join('')
  }
  const shown = markers.filter(({ atMs }) => atMs >= from && atMs <= to)
  return html`<figure class="chart" id="${id}">
<figcaption>${title} ${series.map(
    ({ name, colour, values }) =>
      html`<span class="key key${colour}">${name} <b>${lastOf(values, format)}</b></span> `,
  )}</figcaption>
<div class="plot"><div class="ylabels" aria-hidden="true"><span>${format(most)}</span><span>${format(most / 2)}</span><span>0</span></div>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${title}: line chart; the table below has its numbers"><path class="grid" d="M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}"/>${shown.map(
    ({ atMs, text }) => html`<path class="marker" d="M${x(atMs)} 0V${HEIGHT}"><title>${text}</title></path>`,
  )}${series.map(({ colour, values }) => html`<path class="line line${colour}" d="${line(values)}"/>`)}</svg></div>
<div class="xlabels" aria-hidden="true">${time(from, 'clock')}${time((from + to) / 2, 'clock')}${time(to, 'clock')}</div>
<details id="${id}-table"><summary>Numbers</summary>${tableOf(times, series, format)}</details>
</figure>`
}

function tableOf(times: readonly number[], series: readonly Series[], format: Chart['format']): Html {
  const step = Math.ceil(times.length / TABLE_ROWS)
  const rows = times.flatMap((atMs, i) => (i % step === 0 || i === times.length - 1 ? [{ atMs, i }] : []))
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Numbers of the chart"><table><thead><tr><th>Time</th>${series.map(({ name }) => html`<th class="num">${name}</th>`)}</tr></thead><tbody>${rows.map(
    ({ atMs, i }) =>
      html`<tr><td>${time(atMs, 'clock')}</td>${series.map(({ values }) => html`<td class="num">${numberAt(values, i, format)}</td>`)}</tr>`,
  )}</tbody></table></div>`
}

const numberAt = (values: Series['values'], i: number, format: Chart['format']): string => {
  const value = values[i]
  return value === null || value === undefined ? '–' : format(value)
}

const lastOf = (values: Series['values'], format: Chart['format']): string => {
  const last = values.findLast(value => value !== null)
  return last === null || last === undefined ? '' : format(last)
}

/** The next of 1, 2, 5, 10, 20, 50 … that is not below the value. */
function niceAbove(value: number): number {
  if (value <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return power * ([1, 2, 5].find(step => step * power >= value) ?? 10)
}
