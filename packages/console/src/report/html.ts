// A report as one file: the regions of the pages, the style sheet inside, no script, no link.

import { asset } from '../assets.ts'
import { Html, html } from '../page/html.ts'
import { type Page, sectionHtml } from '../page/parts.ts'

/** The style sheet of the pages. */
const STYLE = new Html(asset('console.css'))

export const reportDocument = ({ title, sections }: Page): string =>
  html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title} · reembed</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>${STYLE}</style></head>
<body><header><span class="brand">reembed</span><span class="sub">Report of ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC</span></header>
<main>${sections.map(sectionHtml)}</main></body></html>
`.text
