// Makes a module tell where it goes. Each branch counts itself, and each comparison tells how near
// its two sides are, so that the fuzzer can find its way through `if (magic === 0x31524150)` bit by
// bit.
//
//   if (a === b) f()     ->     if (__left(a) === __right(7, b)) { __hit[3]++; f() } else { __hit[4]++ }

import { type Node, parse } from 'acorn'

export interface Numbers {
  /** The next branch and the next comparison. */
  branch: number
  comparison: number
}

/** The fields of acorn's nodes that are read here. */
type Syntax = Node & { readonly [member: string]: unknown }

const EQUALITY = /^[!=]==?$/
const ORDER = /^[<>]=?$/

/** The source with counters; `numbers` continues from module to module. */
export function instrument(source: string, numbers: Numbers): string {
  const isModule = /^\s*(?:import|export)\b/m.test(source)
  const tree = parse(source, {
    ecmaVersion: 'latest',
    sourceType: isModule ? 'module' : 'script',
    allowReturnOutsideFunction: true,
    allowHashBang: true,
    allowAwaitOutsideFunction: isModule,
  }) as unknown as Syntax
  const inserted: { readonly at: number; readonly text: string; readonly closes: boolean }[] = []
  const open = (at: number, text: string): number => inserted.push({ at, text, closes: false })
  const close = (at: number, text: string): number => inserted.push({ at, text, closes: true })
  const hit = (): string => `__hit[${numbers.branch++}]++`

  function branch(node: unknown): void {
    if (!isNode(node)) return
    if (node.type === 'BlockStatement') open(afterDirectives(node), `${hit()};`)
    else {
      open(node.start, `{${hit()};`)
      close(node.end, '}')
    }
  }

  function arm(node: unknown): void {
    if (!isNode(node)) return
    open(node.start, `(${hit()},`)
    close(node.end, ')')
  }

  function visit(node: Syntax): void {
    switch (node.type) {
      case 'FunctionDeclaration':
      case 'FunctionExpression':
        branch(node.body)
        break
      case 'ArrowFunctionExpression':
        if (node.expression === true) arm(node.body)
        else branch(node.body)
        break
      case 'IfStatement':
        // Of what ends at one place, what was noted last comes first.
        if (!node.alternate) close((node.consequent as Syntax).end, `else{${hit()}}`)
        branch(node.consequent)
        branch(node.alternate)
        break
      case 'ForStatement':
      case 'ForInStatement':
      case 'ForOfStatement':
      case 'WhileStatement':
      case 'DoWhileStatement':
        branch(node.body)
        break
      case 'CatchClause':
        branch(node.body)
        break
      case 'ConditionalExpression':
        arm(node.consequent)
        arm(node.alternate)
        break
      case 'LogicalExpression':
        arm(node.right)
        break
      case 'SwitchCase': {
        const [first] = node.consequent as Syntax[]
        if (first) open(first.start, `${hit()};`)
        else close(node.end, `${hit()};`)
        break
      }
      case 'BinaryExpression': {
        const { left, right, operator } = node
        const isAsked =
          EQUALITY.test(String(operator)) ||
          (ORDER.test(String(operator)) &&
            [left, right].some(side => isNode(side) && side.type === 'Literal'))
        if (!isAsked || !isNode(left) || !isNode(right)) break
        open(left.start, '__left(')
        close(left.end, ')')
        open(right.start, `__right(${numbers.comparison++},`)
        close(right.end, ')')
        break
      }
    }
    for (const member of Object.values(node)) {
      for (const child of Array.isArray(member) ? member : [member]) if (isNode(child)) visit(child)
    }
  }

  visit(tree)
  // At one place what ends there comes before what begins; inner ends come before outer ones, inner
  // starts after.
  const order = [...inserted.entries()].sort(
    ([i, a], [j, b]) => a.at - b.at || Number(b.closes) - Number(a.closes) || (a.closes ? j - i : i - j),
  )
  let out = ''
  let at = 0
  for (const [, insertion] of order) {
    out += source.slice(at, insertion.at) + insertion.text
    at = insertion.at
  }
  return out + source.slice(at)
}

const isNode = (value: unknown): value is Syntax =>
  typeof value === 'object' && value !== null && typeof (value as Syntax).type === 'string'

/** Behind a block's brace and its 'use strict'. */
function afterDirectives({ start, body }: Syntax): number {
  let at = start + 1
  for (const statement of body as Syntax[]) {
    if (statement.type !== 'ExpressionStatement' || typeof statement.directive !== 'string') break
    at = statement.end
  }
  return at
}
