// The script of the console's pages. The server renders every region of a page; this script replaces
// the regions that changed, writes times in the reader's zone, and opens a shard of the map on a
// click. A page without it shows the same figures, once.

const link = document.getElementById('link')
const main = document.getElementById('main')

/** Writes the times below `root` in the reader's zone. */
function localise(root) {
  for (const time of root.querySelectorAll('time[data-as]')) {
    const at = new Date(time.dateTime)
    time.title = at.toLocaleString(undefined, { dateStyle: 'full', timeStyle: 'long' })
    if (time.dataset.as === 'clock') time.textContent = at.toLocaleTimeString()
    else if (time.dataset.as === 'ago') time.textContent = ago(at)
    else time.textContent = at.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
  }
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
]

/** '3 hours ago' */
function ago(at) {
  const seconds = Math.max(0, (Date.now() - at) / 1000)
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ['second', 1]
  return new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' }).format(-Math.floor(seconds / size), unit)
}

/** Adds a button to each command below `root`. */
function addCopyButtons(root) {
  if (!navigator.clipboard) return
  for (const code of root.querySelectorAll('[data-copy]')) {
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'copy'
    button.textContent = 'Copy'
    button.setAttribute('aria-label', `Copy: ${code.textContent}`)
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(code.textContent)
      button.textContent = 'Copied'
      setTimeout(() => {
        button.textContent = 'Copy'
      }, 2_000)
    })
    code.after(button)
  }
}

/** A click on the map opens the shard below it. */
function openShardOnClick(root) {
  for (const map of root.querySelectorAll('svg.shards')) {
    map.addEventListener('click', event => {
      const { columns, perCell, shards } = map.dataset
      const box = map.getBoundingClientRect()
      const cell = map.viewBox.baseVal.width / Number(columns)
      const scale = map.viewBox.baseVal.width / box.width
      const column = Math.floor(((event.clientX - box.left) * scale) / cell)
      const row = Math.floor(((event.clientY - box.top) * scale) / cell)
      const shard = (row * Number(columns) + column) * Number(perCell)
      if (column < 0 || column >= Number(columns) || shard >= Number(shards)) return
      const address = new URL(location.href)
      address.searchParams.set('shard', String(shard))
      address.hash = 'shard'
      location.assign(address)
    })
  }
}

function prepare(root) {
  localise(root)
  addCopyButtons(root)
  openShardOnClick(root)
}

/** Replaces a region; what is open, typed or focused in it stays. */
function replace({ id, html }) {
  const template = document.createElement('template')
  template.innerHTML = html
  const next = template.content.firstElementChild
  const before = document.getElementById(id)
  if (!next) return
  if (!before) {
    main.append(next)
    prepare(next)
    return
  }
  const open = [...before.querySelectorAll('details[open][id]')].map(details => details.id)
  const typed = [...before.querySelectorAll('input[name]')].map(input => [input.name, input.value])
  const focused = before.contains(document.activeElement) ? selectorOf(document.activeElement) : undefined
  const scrolled = [...before.querySelectorAll('.scroll')].map(region => [
    region.scrollLeft,
    region.scrollTop,
  ])
  before.replaceWith(next)
  prepare(next)
  for (const details of next.querySelectorAll('details[id]'))
    if (before.querySelector(`#${CSS.escape(details.id)}`)) details.open = open.includes(details.id)
  for (const [name, value] of typed) {
    const input = next.querySelector(`input[name="${CSS.escape(name)}"]:not([type="hidden"])`)
    if (input) input.value = value
  }
  for (const [i, region] of next.querySelectorAll('.scroll').entries())
    [region.scrollLeft, region.scrollTop] = scrolled[i] ?? [0, 0]
  if (focused) next.querySelectorAll(focused.tag)[focused.index]?.focus({ preventScroll: true })

  function selectorOf(element) {
    const tag = element.tagName.toLowerCase()
    return { tag, index: [...before.querySelectorAll(tag)].indexOf(element) }
  }
}

/** Follows the page; the browser reconnects by itself, also after the machine slept. */
function follow() {
  const page = location.pathname + location.search
  const events = new EventSource(`/events?page=${encodeURIComponent(page)}`)
  events.addEventListener('page', event => {
    const { title, ids, sections } = JSON.parse(event.data)
    document.title = `${title} · reembed`
    for (const region of [...main.children]) if (!ids.includes(region.id)) region.remove()
    for (const section of sections) replace(section)
    link.textContent = ''
  })
  events.addEventListener('problem', event => {
    link.textContent = JSON.parse(event.data).message
  })
  events.addEventListener('open', () => {
    link.textContent = ''
  })
  events.addEventListener('error', () => {
    link.textContent = 'No connection to the console: what is shown may be old.'
    // The server refused: the session ended, or the page is gone. The browser does not retry then.
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 5_000)
  })
  addEventListener('pagehide', () => events.close(), { once: true })
}

prepare(document)
if (!document.getElementById('sign-in')) follow()
addEventListener('pageshow', event => event.persisted && follow())
setInterval(() => localise(document), 30_000)
