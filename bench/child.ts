// Processes of a bench: each side has one of its own, and answers each question by one message.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** Starts a file of this folder with the options of this process. */
export const start = (file: string, ...args: string[]): ChildProcess =>
  fork(new URL(file, import.meta.url), args, { execArgv: process.execArgv })

/** One question at a time: the next message is taken for its answer. */
export async function ask<Answer>(child: ChildProcess, question: object = {}): Promise<Answer> {
  const answered = once(child, 'message')
  child.send(question)
  return (await answered)[0]
}
