// The whole document of a page: the frame around its regions.

import { type Html, html } from './html.ts'
import { type Page, sectionHtml } from './parts.ts'

const NAVIGATION = [
  ['/', 'Outputs'],
  ['/versions', 'Versions'],
  ['/compare', 'Compare'],
] as const

/** @param path the address of the page, for the mark in the navigation */
export function documentOf(page: Page, path: string): Html {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${page.title} · reembed</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/console.css"><script type="module" src="/console.js"></script></head>
<body><a class="skip" href="#main">Skip to the content</a>
<header><a class="brand" href="/">reembed</a><nav aria-label="Pages">${NAVIGATION.map(
    ([href, name]) => html`<a href="${href}"${path === href && html` aria-current="page"`}>${name}</a> `,
  )}</nav><span id="link" role="status"></span></header>
<main id="main" tabindex="-1">${page.sections.map(sectionHtml)}</main></body></html>`
}

/** Asks for a token; the one for actions also needs a name, which is recorded with them. */
export const signInPage = ({
  isWrong,
  hasActions,
}: {
  readonly isWrong: boolean
  readonly hasActions: boolean
}): Page => ({
  title: 'Sign in',
  sections: [
    {
      id: 'sign-in',
      body: html`<h1>Sign in</h1>${isWrong && html`<p class="problem" role="alert">This is not the token${hasActions && ', or the name that the token for actions needs is missing'}.</p>`}<form method="post" action="/sign-in" class="card">${hasActions && html`<label>Your name, recorded with what you do <input name="name" autocomplete="name" maxlength="100"></label> `}<label>Token <input name="token" type="password" autocomplete="current-password" required autofocus></label> <button>Sign in</button></form>`,
    },
  ],
})
