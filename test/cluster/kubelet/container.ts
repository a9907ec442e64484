// A container without a container engine: a process in mount and host name namespaces of its own,
// with a read-only root, the volumes of its pod, and the user of its pod without capabilities.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Manifest } from '../../infra/parts/chart.ts'
import type { Mount } from './volumes.ts'

export interface ContainerPlace {
  /** The address that the container's ports listen on. */
  readonly address: string
  /** The folder of the image's files: `reembed.mjs`. */
  readonly image: string
  /** The file that becomes `/etc/hosts`. It may change while the container runs. */
  readonly hosts: string
  readonly log: string
}

const TEI = join(import.meta.dirname, 'tei-pod.ts')

/** Starts the container of a pod. */
export async function startContainer(
  pod: Manifest,
  env: Readonly<Record<string, string>>,
  mounts: readonly Mount[],
  place: ContainerPlace,
): Promise<ChildProcess> {
  const [container] = pod.spec.containers
  // Containers share one network here, so each listens on the address of its pod only.
  const local = (text: string): string => text.replaceAll('0.0.0.0:', `${place.address}:`)
  const args: string[] = (container.args ?? []).map(local)
  const log = await open(place.log, 'a')
  try {
    const stdio = ['ignore' as const, log.fd, log.fd]
    const isTei = container.image.includes('/text-embeddings-inference:')
    const child = isTei
      ? spawn(process.execPath, ['--conditions=@reembed/source', TEI, place.address, ...args], { env, stdio })
      : spawn(
          'unshare',
          ['--mount', '--uts', 'sh', '-c', rootScript(pod, mounts, place), 'sh', ...args],
          // The image sets no HOME, and its user has no entry in a password file.
          {
            env: { ...env, NODE_ENV: 'production', PATH: '/usr/bin:/bin', HOSTNAME: pod.metadata.name },
            stdio,
          },
        )
    await once(child, 'spawn')
    return child
  } finally {
    await log.close()
  }
}

/** Builds the root folder of the container and replaces the shell by its program. */
function rootScript(pod: Manifest, mounts: readonly Mount[], place: ContainerPlace): string {
  const { runAsUser: user, runAsGroup: group } = pod.spec.securityContext
  const [container] = pod.spec.containers
  const memory = Math.floor((quantity(container.resources.limits.memory) * 0.75) / 2 ** 20)
  const bind = (from: string, to: string, ...more: string[]): string[] => [
    `mount --bind '${from}' /mnt${to}`,
    `mount -o remount,bind,ro /mnt${to}`,
    ...more,
  ]
  return [
    'set -e',
    `echo ${pod.metadata.name} > /proc/sys/kernel/hostname`,
    'mount --make-rprivate /',
    'mount -t tmpfs -o size=8m,mode=755 tmpfs /mnt',
    'mkdir -p /mnt/usr /mnt/proc /mnt/dev /mnt/etc/ssl /mnt/app /mnt/nodejs /mnt/tmp',
    'for link in bin lib lib64; do ln -s usr/$link /mnt/$link; done',
    'touch /mnt/etc/hosts /mnt/nodejs/node',
    "echo 'hosts: files dns' > /mnt/etc/nsswitch.conf",
    ...bind('/usr', '/usr'),
    ...bind('/etc/ssl', '/etc/ssl'),
    ...bind(place.image, '/app'),
    ...bind(process.execPath, '/nodejs/node'),
    ...bind(place.hosts, '/etc/hosts'),
    'mount --rbind /proc /mnt/proc',
    'mount --rbind /dev /mnt/dev',
    ...mounts.flatMap(({ path, source, sizeBytes }) => [
      `mkdir -p '/mnt${path}'`,
      ...(source === undefined
        ? [`mount -t tmpfs -o size=${sizeBytes},uid=${user},gid=${group} tmpfs '/mnt${path}'`]
        : bind(source, path)),
    ]),
    'mount -o remount,ro /mnt',
    'exec /usr/sbin/chroot /mnt /usr/bin/setpriv --pdeathsig KILL ' +
      `--reuid ${user} --regid ${group} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all ` +
      `/usr/bin/env -C /tmp /nodejs/node --max-old-space-size=${memory} /app/reembed.mjs "$@"`,
  ].join('\n')
}

/** The bytes of a quantity, for example `256Mi`. */
export function quantity(text: string): number {
  const [, count, unit = ''] = /^(\d+)(Ki|Mi|Gi)?$/.exec(text) ?? []
  if (count === undefined) throw new Error(`quantity ${text}: use Ki, Mi or Gi`)
  return Number(count) * 2 ** (10 * ['', 'Ki', 'Mi', 'Gi'].indexOf(unit))
}
