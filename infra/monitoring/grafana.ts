// The part of Grafana's dashboard JSON that the dashboards use: panels in a grid, one selectable
// Prometheus data source.

export type Unit = 'short' | 's' | 'bytes' | 'ops' | 'percentunit' | 'none' | 'currencyUSD'

export interface Panel {
  readonly title: string
  /** What the panel shows, and how to recognise a problem. */
  readonly description: string
  readonly unit: Unit
  /** PromQL expressions with the legend of their series. */
  readonly queries: readonly (readonly [expr: string, legend: string])[]
  readonly kind?: 'timeseries' | 'stat'
}

export interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly panels: readonly Panel[]
  /** Variables that the viewer sets, with their default values. */
  readonly numbers?: Readonly<Record<string, number>>
}

const COLUMNS = 3
const WIDTH = 24 / COLUMNS
const HEIGHT = 8
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana expands this template
const datasource = { type: 'prometheus', uid: '${datasource}' }

/** Returns the dashboard as Grafana's JSON model. */
export function toGrafana({ uid, title, description, panels, numbers = {} }: Dashboard): object {
  return {
    uid,
    title,
    description,
    tags: ['reembed'],
    timezone: 'browser',
    schemaVersion: 41,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus' },
        ...Object.entries(numbers).map(([name, value]) => ({
          name,
          label: name.replaceAll('_', ' '),
          type: 'textbox',
          query: String(value),
          current: { text: String(value), value: String(value) },
        })),
      ],
    },
    panels: panels.map(({ kind = 'timeseries', unit, queries, ...texts }, i) => ({
      id: i + 1,
      type: kind,
      ...texts,
      datasource,
      gridPos: {
        x: (i % COLUMNS) * WIDTH,
        y: Math.floor(i / COLUMNS) * HEIGHT,
        w: WIDTH,
        h: HEIGHT,
      },
      fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
      targets: queries.map(([expr, legendFormat], target) => ({
        refId: String.fromCharCode(65 + target),
        datasource,
        expr,
        legendFormat,
      })),
    })),
  }
}
