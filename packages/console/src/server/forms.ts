// The forms that the console takes: the sign-in and the actions. A form of another site is refused
// by three means: the cookie is SameSite=Strict, the browser names the origin of the form, and an
// action carries a token of the session's own pages.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { constantTimeEqual, isRunId, LIMITS, messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { ACTIONS, type Action, type ActionTarget, perform } from '../actions/actions.ts'
import type { Links } from '../page/links.ts'
import type { Access, Viewer } from './session.ts'

const MAX_FORM_BYTES = LIMITS.formBytes
const REASON_CHARS = 500
/** How long a browser waits for the result of an action; a gate may take minutes to judge. */
const PATIENCE_MS = 5_000

export interface ActionsContext {
  readonly access: Access
  readonly stores: readonly Store[]
  readonly links: Links
  readonly openQueue: ActionTarget['openQueue']
  /** Reads the outputs again, so that the next page shows the result. */
  readonly refresh: () => Promise<void>
}

/** Exchanges a token for a cookie. */
export async function signIn(
  request: IncomingMessage,
  response: ServerResponse,
  access: Access,
): Promise<void> {
  // Signed in by another site, a person would act under the name of that site's session.
  if (!isSameOrigin(request)) return refuse(response, 403, OTHER_SITE)
  const form = await readForm(request, response)
  if (form === undefined) return
  const cookie = access.exchange(form.get('token') ?? '', form.get('name') ?? '', isSecure(request))
  const location = cookie === undefined ? '/sign-in?wrong' : '/'
  response.writeHead(303, { location, ...(cookie !== undefined && { 'set-cookie': cookie }) }).end()
}

/** Performs the action of a form, and leads to the page of its run. */
export async function act(
  request: IncomingMessage,
  response: ServerResponse,
  { access, stores, links, openQueue, refresh }: ActionsContext,
): Promise<void> {
  if (!isSameOrigin(request)) return refuse(response, 403, OTHER_SITE)
  const form = await readForm(request, response)
  if (form === undefined) return
  const viewer = access.program(request) ?? signedIn(access.viewer(request), form.get('csrf') ?? '')
  if (viewer === undefined) return refuse(response, 403, 'actions need their own token: sign in with it')
  const [action, run] = [form.get('action') ?? '', form.get('run') ?? '']
  const store = stores.find(({ url }) => url === form.get('output'))
  if (!isAction(action) || !isRunId(run) || store === undefined)
    return refuse(response, 400, 'name an action, a run by its whole id, and an output of this console')
  const reason = (form.get('reason') ?? '').trim().slice(0, REASON_CHARS) || undefined
  const target = { store, run, actor: { by: `${viewer.name} (console)`, reason }, openQueue }
  const result = perform(action, target).then(
    text => ({ text, isError: false }),
    (error: unknown) => ({ text: `${action.replace('_', ' ')}: ${messageOf(error)}`, isError: true }),
  )
  const noted = result.then(async notice => {
    viewer.note(store.url, run, notice)
    await refresh()
    return notice
  })
  viewer.note(store.url, run, { text: `${action.replace('_', ' ')} is in progress`, isError: false })
  if (access.program(request) !== undefined) {
    const { text, isError } = await noted
    return refuse(response, isError ? 409 : 200, text)
  }
  await Promise.race([noted, new Promise(resolve => setTimeout(resolve, PATIENCE_MS).unref())])
  response.writeHead(303, { location: `${links.run(store.url, run)}#actions` }).end()
}

const OTHER_SITE = 'the form is of another site'

const refuse = (response: ServerResponse, status: number, why: string): void => {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${why}\n`)
}

const isAction = (name: string): name is Action => (ACTIONS as readonly string[]).includes(name)

/** The viewer, if the form comes from a page of its own session. */
const signedIn = (viewer: Viewer | undefined, csrf: string): Viewer | undefined =>
  viewer?.csrf !== undefined && constantTimeEqual(csrf, viewer.csrf) ? viewer : undefined

/** Browsers state the origin of every form; a program states none. */
function isSameOrigin({ headers }: IncomingMessage): boolean {
  const { origin, host = '' } = headers
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin') return false
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)
}

/**
 * Whether the browser reached the console by TLS, which a proxy in front of it ends. Browsers state
 * the scheme in the origin of a form, where a page cannot change it; `X-Forwarded-Proto` would need
 * to be trusted.
 */
const isSecure = ({ headers: { origin = '' } }: IncomingMessage): boolean => origin.startsWith('https://')

/** Undefined after it refused a form that is too long. */
async function readForm(
  request: IncomingMessage,
  response: ServerResponse,
): Promise<URLSearchParams | undefined> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    pieces.push(piece)
    size += piece.length
    if (size > MAX_FORM_BYTES) {
      response.writeHead(413).end('the form is too long\n')
      return undefined
    }
  }
  // Decoded at once: a piece may end within a character.
  return new URLSearchParams(Buffer.concat(pieces).toString())
}
