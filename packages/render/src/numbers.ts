// Numbers, sizes, times and money as text.

/** '1,234,567', rounded to a whole number. */
export const count = (n: number): string => Math.round(n).toLocaleString('en-US')

/** '1 object', '2 objects'; '1 query', '2 queries' with its plural. */
export const counted = (n: number, noun: string, plural = `${noun}s`): string =>
  `${count(n)} ${n === 1 ? noun : plural}`

/** '231 B', '1.5 MiB' */
export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, n)) / 10))
  return `${step === 0 ? n : (n / 1024 ** step).toFixed(1)} ${units[step]}`
}

/** '0.8 s', '1 m 25 s', '3 h 7 m' */
export function duration(ms: number): string {
  const s = Math.round(ms / 1000)
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  if (s < 100) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} m ${s % 60} s`
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`
}

/** At least two significant digits: $1,234, $12.30, $0.0012. */
export function dollars(n: number): string {
  if (n === 0) return '$0'
  const digits = Math.max(n < 100 ? 2 : 0, 1 - Math.floor(Math.log10(Math.abs(n))))
  return `$${n.toLocaleString('en-US', { minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits })}`
}

/** '2026-11-29 20:45', in UTC. */
export const when = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ')
