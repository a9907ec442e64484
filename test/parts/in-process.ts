// Runs the `reembed` command within this process: what it prints and its exit code are the same as
// in a process of its own, and it starts forty times sooner. One at a time: the environment and the
// output streams are this process's.

import { runCommand } from 'reembed/command'
import { vi } from 'vitest'
import { type Finished, NO_HUB } from './cli.ts'

const OURS = /^(REEMBED_|AWS_|HF_|REDIS_URL)/

export type InProcess = Pick<Finished, 'stdout' | 'stderr'> & { readonly code: number }

/**
 * The command's arguments, and the variables that are set for it; all others that could answer in
 * their place are not.
 */
export async function inProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<InProcess> {
  const said = { stdout: '', stderr: '' }
  const streams = (['stdout', 'stderr'] as const).map(name =>
    vi.spyOn(process[name], 'write').mockImplementation(text => {
      said[name] += String(text)
      return true
    }),
  )
  const before = { ...process.env }
  for (const name of Object.keys(process.env)) if (OURS.test(name)) delete process.env[name]
  // A machine of AWS would answer for credentials that a test leaves out.
  Object.assign(process.env, { AWS_EC2_METADATA_DISABLED: 'true', HF_ENDPOINT: NO_HUB }, NO_AWS_FILES, env)
  process.exitCode = undefined
  try {
    const code = await runCommand(['node', 'reembed', ...args])
    return { ...said, code }
  } finally {
    process.exitCode = undefined
    for (const stream of streams) stream.mockRestore()
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name]
    Object.assign(process.env, before)
  }
}

const NO_AWS_FILES = { AWS_CONFIG_FILE: '/nonexistent', AWS_SHARED_CREDENTIALS_FILE: '/nonexistent' }
