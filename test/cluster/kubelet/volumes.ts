// What a container is given: environment variables and volumes, from Secrets and ConfigMaps.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Manifest } from '../../infra/parts/chart.ts'
import type { Api } from '../api.ts'
import { quantity } from './container.ts'

export interface Mount {
  readonly path: string
  /** A folder of files; undefined for a temporary file system of `sizeBytes`. */
  readonly source?: string
  readonly sizeBytes: number
}

/** The values of a Secret or ConfigMap. */
async function valuesOf(
  api: Api,
  namespace: string,
  kind: 'secrets' | 'configmaps',
  name: string,
): Promise<Record<string, Buffer>> {
  const object = await api.get(`/api/v1/namespaces/${namespace}/${kind}/${name}`)
  if (object === undefined) throw new Error(`${kind} "${name}" not found`)
  const encoding = kind === 'secrets' ? 'base64' : 'utf8'
  return Object.fromEntries(
    Object.entries<string>(object.data ?? {}).map(([key, value]) => [key, Buffer.from(value, encoding)]),
  )
}

/**
 * The environment of a pod's container.
 * @throws if a Secret, a ConfigMap or a key is missing and not optional
 */
export async function environmentOf(api: Api, pod: Manifest): Promise<Record<string, string>> {
  const { namespace, name } = pod.metadata
  const env: Record<string, string> = {}
  for (const one of pod.spec.containers[0].env ?? []) {
    const { secretKeyRef, configMapKeyRef, fieldRef } = one.valueFrom ?? {}
    const ref = secretKeyRef ?? configMapKeyRef
    if (ref !== undefined) {
      const kind = secretKeyRef === undefined ? 'configmaps' : 'secrets'
      const values = await valuesOf(api, namespace, kind, ref.name).catch(error => {
        if (ref.optional) return {}
        throw error
      })
      const value = values[ref.key as keyof typeof values] as Buffer | undefined
      if (value !== undefined) env[one.name] = String(value)
      else if (!ref.optional) throw new Error(`${kind} "${ref.name}" has no key ${ref.key}`)
    } else if (fieldRef !== undefined) {
      env[one.name] = fieldRef.fieldPath === 'metadata.name' ? name : namespace
    } else env[one.name] = one.value ?? ''
  }
  return env
}

/** The volumes of a pod's container, with their files written below `folder`. */
export async function mountsOf(api: Api, pod: Manifest, folder: string): Promise<Mount[]> {
  const mounts: Mount[] = []
  for (const { name, mountPath } of pod.spec.containers[0].volumeMounts ?? []) {
    const volume = pod.spec.volumes.find((one: Manifest) => one.name === name)
    const sizeBytes = quantity(volume.emptyDir?.sizeLimit ?? '1Mi')
    if (volume.emptyDir !== undefined) {
      mounts.push({ path: mountPath, sizeBytes })
      continue
    }
    const [kind, reference] = volume.secret
      ? (['secrets', volume.secret.secretName] as const)
      : (['configmaps', volume.configMap?.name] as const)
    if (reference === undefined) throw new Error(`volume ${name}: only emptyDir, secret and configMap`)
    const source = join(folder, name)
    await mkdir(source, { recursive: true })
    const values = await valuesOf(api, pod.metadata.namespace, kind, reference)
    for (const [key, value] of Object.entries(values))
      await writeFile(join(source, key), value, { mode: 0o444 })
    mounts.push({ path: mountPath, source, sizeBytes })
  }
  return mounts
}
