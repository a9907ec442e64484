// Refuses wording that a reader from outside could misread: private metaphors, persons as stand-ins
// for processes, names of flags in library errors. Checks what people read: comments and string
// literals of code, and every line of prose and YAML.
//
//   node scripts/language.mjs             checks every file under version control
//   node scripts/language.mjs PATH...     checks these files and folders only
//   node scripts/language.mjs --count     prints the number of findings of each rule as well
//   node scripts/language.mjs --self-test checks that every rule finds its own example, and the exceptions apply by line
//
// Rules are in language-patterns.json, exceptions in language-exceptions.txt (`path: text of the
// line: reason`).

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const CODE = /\.(ts|mjs|go)$/
const CHECKED = /(\.(ts|mjs|go|md|ya?ml|tpl|acl|conf|ini)|^\.ci\/run|(^|\/)Dockerfile)$/
/**
 * Stands for code in the text that the rules see: no rule matches it, and no rule matches across
 * it.
 */
const HIDDEN = '\u0000'
const MAX_COLUMNS = 100

/**
 * Separates what people read from what a machine reads. Both results have the length and the line
 * breaks of `text`: comments keep their words without the marks that begin a line, so that a rule
 * matches across a wrapped line.
 */
export function separate(text, { go = false } = {}) {
  const comments = text.replace(/[^\n]/g, HIDDEN).split('')
  const strings = [...comments]
  const braces = [] // depth of braces within each open ${
  let i = 0
  let before = '' // the last token, to tell a division from a regular expression
  const show = (to, from, end) => {
    for (let at = from; at < end; at++) to[at] = text[at]
  }
  const quoted = quote => {
    const from = ++i
    while (i < text.length && text[i] !== quote && text[i] !== '\n') i += text[i] === '\\' ? 2 : 1
    show(strings, from, Math.min(i, text.length))
    i++
    before = quote
  }
  const template = () => {
    const from = i
    while (i < text.length && text[i] !== '`') {
      if (!go && text[i] === '$' && text[i + 1] === '{') {
        show(strings, from, i)
        i += 2
        braces.push(0)
        before = '{'
        return
      }
      i += !go && text[i] === '\\' ? 2 : 1
      if (i > text.length) i = text.length
    }
    show(strings, from, i)
    i++
    before = '`'
  }
  const comment = (from, end) => {
    show(comments, from, end)
    // The marks at the begin of each line become blanks.
    const marks = /(^|\n)[ \t]*(\/\/+|\/\*+|\*+\/?)?[ \t]*/g
    for (const match of text.slice(from, end).matchAll(marks)) {
      for (let k = match.index; k < match.index + match[0].length; k++) {
        if (text[from + k] !== '\n') comments[from + k] = ' '
      }
    }
    i = end
  }
  while (i < text.length) {
    const char = text[i]
    const next = text[i + 1]
    if (char === '/' && next === '/') {
      let end = text.indexOf('\n', i)
      if (end < 0) end = text.length
      // Joins with a comment on the line before: the indentation between them becomes blank.
      let start = i
      while (start > 0 && (text[start - 1] === ' ' || text[start - 1] === '\t')) start--
      if (start === 0 || text[start - 1] === '\n') for (let at = start; at < i; at++) comments[at] = ' '
      comment(i, end)
    } else if (char === '/' && next === '*') {
      const end = text.indexOf('*/', i + 2)
      comment(i, end < 0 ? text.length : end + 2)
    } else if (char === '"' || char === "'") quoted(char)
    else if (char === '`') {
      i++
      template()
    } else if (
      char === '/' &&
      !go &&
      /^$|^[=(,:[!&|?{};+\-*%<>~^]$|^(return|case|typeof|of|in|await|yield|throw)$/.test(before)
    ) {
      let inClass = false
      for (i++; i < text.length && text[i] !== '\n' && (inClass || text[i] !== '/'); i++) {
        if (text[i] === '\\') i++
        else if (text[i] === '[') inClass = true
        else if (text[i] === ']') inClass = false
      }
      i++
      before = '/'
    } else if (char === '}' && braces.at(-1) === 0) {
      braces.pop()
      i++
      template()
    } else {
      if (char === '{' && braces.length > 0) braces[braces.length - 1]++
      if (char === '}' && braces.length > 0) braces[braces.length - 1]--
      const name = /[\w$]/.test(char) ? /^[\w$]+/.exec(text.slice(i, i + 200))[0] : char
      if (name.trim() !== '') before = name
      i += name.length
    }
  }
  return { comments: comments.join(''), strings: strings.join('') }
}

export function loadRules(file = join(here, 'language-patterns.json')) {
  return JSON.parse(readFileSync(file, 'utf8')).map(rule => ({
    ...rule,
    // A blank of a pattern matches a line break, so that a wrapped line hides nothing.
    regex: new RegExp(rule.pattern.replaceAll(' ', '\\s+'), rule.case === 'exact' ? 'g' : 'gi'),
    only: rule.only && new RegExp(rule.only),
    except: rule.except && new RegExp(rule.except),
  }))
}

/** Findings of one file: `{ path, line, text, rule }`, in the order of lines. */
export function check(path, text, rules) {
  const views = CODE.test(path)
    ? separate(text, { go: path.endsWith('.go') })
    : { comments: '', strings: text }
  const starts = [0]
  for (let i = 0; i < text.length; i++) if (text[i] === '\n') starts.push(i + 1)
  const lines = text.split('\n')
  const lineOf = index => {
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (starts[middle] <= index) low = middle
      else high = middle
    }
    return low
  }
  const found = []
  for (const rule of rules) {
    if (rule.only && !rule.only.test(path)) continue
    if (rule.except?.test(path)) continue
    const seen = new Set()
    for (const view of rule.in === 'all'
      ? [text]
      : rule.in === 'strings'
        ? [views.strings]
        : [views.comments, views.strings]) {
      for (const match of view.matchAll(rule.regex)) {
        const line = lineOf(match.index)
        if (seen.has(line)) continue
        seen.add(line)
        found.push({
          path,
          line: line + 1,
          text: lines[line].trim(),
          match: match[0].replace(/\s+/g, ' '),
          rule,
        })
      }
    }
  }
  if (CODE.test(path)) found.push(...tooWide(path, lines, views.comments.split('\n')))
  return found.sort((a, b) => a.line - b.line)
}

/**
 * Comments wrap at 100 columns. Exempt: directives of tools, URLs, and drawings (lines that are
 * indented within the comment).
 */
function tooWide(path, lines, comments) {
  return lines.flatMap((line, i) => {
    const comment = comments[i].replaceAll(HIDDEN, ' ')
    const drawn = /^\s*(\/\/|\*) {2,}\S/.test(line)
    const unbreakable = !/\S\s+\S/.test(comment.slice(0, MAX_COLUMNS))
    if (line.length <= MAX_COLUMNS || comment.slice(MAX_COLUMNS).trim() === '') return []
    if (drawn || unbreakable || /biome-ignore|@ts-|https?:/.test(comment)) return []
    const rule = { rule: 'wide comment', better: `wrap comments at ${MAX_COLUMNS} columns` }
    return [{ path, line: i + 1, text: line.trim(), match: `${line.length} columns`, rule }]
  })
}

/**
 * Reads lines of `path: exact text of the line: reason`. An exception without a reason excuses
 * nothing, and an exception that excuses nothing is an error.
 */
export function loadExceptions(text) {
  return text
    .split('\n')
    .filter(line => line.trim() !== '' && !line.startsWith('#'))
    .map(line => {
      const path = line.slice(0, line.indexOf(': '))
      const end = line.lastIndexOf(': ')
      return {
        source: line,
        path,
        text: line.slice(path.length + 2, end).trim(),
        reason: line.slice(end + 2).trim(),
        used: false,
      }
    })
}

function selfTest(rules) {
  const wrong = []
  for (const rule of rules) {
    for (const text of rule.find) {
      const path = rule.sample ?? 'packages/store/src/planted.ts'
      const planted =
        rule.in === 'strings' ? `fail('${text}')\n` : `run(/'/)\n// ${text.replaceAll(' ', '\n  // ')}\n`
      const same = check(path, planted, rules).filter(hit => hit.rule === rule)
      if (same.length === 0) wrong.push(`${rule.rule}: does not find "${text}"`)
    }
    for (const text of rule.pass ?? []) {
      const hits = check(rule.sample ?? 'packages/store/src/planted.ts', `fail('${text}')\n`, [rule])
      if (hits.length > 0) wrong.push(`${rule.rule}: finds "${hits[0].match}" in "${text}"`)
    }
  }
  const code = ['const a = `x $', "{'y' /* z */} w` // v\nconst b = /'/.test(c) ? 'u' : \"t\"\n"]
  const parts = separate(code.join(''))
  const shown = view => view.replaceAll(HIDDEN, ' ').split(/\s+/).filter(Boolean).join(' ')
  if (shown(parts.strings) !== 'x y w u t') wrong.push(`strings of code: ${shown(parts.strings)}`)
  if (shown(parts.comments) !== 'z */ v') wrong.push(`comments of code: ${shown(parts.comments)}`)
  const [exception] = loadExceptions('a/b.ts: // text: with colon: the reason\n')
  if (
    exception.path !== 'a/b.ts' ||
    exception.text !== '// text: with colon' ||
    exception.reason !== 'the reason'
  )
    wrong.push('exceptions are not read as `path: text: reason`')
  return wrong
}

function main(args) {
  const rules = loadRules()
  const failures = selfTest(rules)
  for (const failure of failures) console.error(`self-test: ${failure}`)
  if (failures.length > 0) return 1
  if (args.includes('--self-test')) {
    console.log(`language: self-test passed, ${rules.length} rules`)
    return 0
  }
  const root = execFileSync('git', ['rev-parse', '--show-toplevel'], { encoding: 'utf8' }).trim()
  const paths = args.filter(arg => !arg.startsWith('--'))
  const listed = execFileSync(
    'git',
    ['ls-files', '--cached', '--others', '--exclude-standard', '--full-name', '-z', '--', ...paths],
    { encoding: 'utf8', cwd: paths.length > 0 ? undefined : root },
  )
  const files = listed
    .split('\0')
    .filter(
      path => CHECKED.test(path) && !/(^|\/)language-patterns/.test(path) && existsSync(join(root, path)),
    )
  const exceptionsFile = [join(root, 'scripts', 'language-exceptions.txt')].find(existsSync)
  const exceptions = exceptionsFile ? loadExceptions(readFileSync(exceptionsFile, 'utf8')) : []
  const counts = new Map()
  let problems = 0
  for (const path of files) {
    for (const hit of check(path, readFileSync(join(root, path), 'utf8'), rules)) {
      const excused = exceptions.filter(
        exception => exception.path === path && exception.text === hit.text && exception.reason !== '',
      )
      if (excused.length > 0) {
        for (const exception of excused) exception.used = true
        continue
      }
      problems++
      counts.set(hit.rule.rule, (counts.get(hit.rule.rule) ?? 0) + 1)
      console.log(`${path}:${hit.line}: ${hit.text.slice(0, 160)} -> "${hit.match}": ${hit.rule.better}`)
    }
  }
  for (const { path, source, used } of exceptions) {
    if (used || !files.includes(path)) continue
    problems++
    console.log(`${relative(root, exceptionsFile)}: excuses nothing: ${source}`)
  }
  if (args.includes('--count'))
    for (const [rule, n] of [...counts].sort((a, b) => b[1] - a[1]))
      console.log(`${String(n).padStart(6)}  ${rule}`)
  console.log(`language: ${files.length} files, ${rules.length} rules, ${problems} problems`)
  return problems === 0 ? 0 : 1
}

process.exitCode = main(process.argv.slice(2))
