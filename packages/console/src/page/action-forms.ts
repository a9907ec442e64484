// The forms of the actions. Only a reader who signed in with the token for actions gets them.

import type { RunStatus } from '@reembed/producer'
import { type Action, actionsOf, NEEDS_REASON } from '../actions/actions.ts'
import type { Viewer } from '../server/session.ts'
import { type Html, html } from './html.ts'
import type { Section } from './parts.ts'

const LABELS: Readonly<Record<Action, string>> = {
  publish_anyway: 'Publish it nevertheless',
  reject: 'Reject it',
  roll_back: 'Make it current again',
  pause: 'Pause it',
  resume: 'Continue it',
  cancel: 'Cancel it',
  retry_rejects: 'Embed its rejects again',
}

/** The forms for one run; empty for a reader without the right to act. */
export function actionForms(
  status: Pick<RunStatus, 'run' | 'state' | 'reason' | 'totals'>,
  output: string,
  viewer: Viewer | undefined,
): Section {
  const notice = viewer?.noticeOf(output, status.run)
  const actions = viewer?.csrf === undefined ? [] : actionsOf(status as RunStatus)
  return {
    id: 'actions',
    body: html`${notice && html`<p class="${notice.isError ? 'problem' : 'notice'}" role="status">${notice.text}</p>`}${
      actions.length > 0 &&
      html`<details id="act" class="card"><summary>Act as ${viewer?.name}</summary>${actions.map(action => actionForm(action, { output, run: status.run, csrf: viewer?.csrf ?? '' }))}</details>`
    }${viewer?.canSignIn && html`<p><small><a href="/sign-in">Sign in to act</a></small></p>`}`,
  }
}

/** A form that sends one action. The token in it proves that a page of this console made it. */
export const actionForm = (
  action: Action,
  { output, run, csrf }: { readonly output: string; readonly run: string; readonly csrf: string },
): Html =>
  html`<form method="post" action="/act" class="inline act"><input type="hidden" name="csrf" value="${csrf}"><input type="hidden" name="output" value="${output}"><input type="hidden" name="run" value="${run}"><input type="hidden" name="action" value="${action}"><label>Reason <input name="reason" maxlength="500"${NEEDS_REASON.has(action) && html` required`}></label> <button>${LABELS[action]}</button></form>`
