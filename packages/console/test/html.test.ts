import { expect, test } from 'vitest'
import { html } from '../src/page/html.ts'

test('a value with markup is text, in content and in attributes', () => {
  const id = `<img src=x onerror="alert('1')">&`
  expect(html`<b title="${id}">${id}</b>`.text).toBe(
    `<b title="&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;">&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;</b>`,
  )
})

test('control characters and changes of direction are visible, lone surrogates are replaced', () => {
  expect(html`${'a\u0000b\u001b[31m\u202ec\u007f\ud800'}`.text).toBe('a␀b␛[31m[U+202E]c[U+007F]�')
})

test('lists are joined, absent values are empty, and markup made here is not escaped again', () => {
  expect(
    html`<ul>${['<', '>'].map(item => html`<li>${item}</li>`)}</ul>${null}${undefined}${false}${0}`.text,
  ).toBe('<ul><li>&lt;</li><li>&gt;</li></ul>0')
})
