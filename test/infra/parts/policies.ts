// Named rules for every rendered manifest. A rule returns its violations, one line each.

import type { Manifest } from './chart.ts'

const STATES = ['active', 'delayed', 'ready', 'wait']

type Policy = (manifests: readonly Manifest[]) => string[]

const podOf = ({ kind, spec }: Manifest): Manifest | undefined => {
  if (kind === 'Deployment' || kind === 'Job') return spec.template.spec
  if (kind === 'CronJob') return spec.jobTemplate.spec.template.spec
  return undefined
}

interface Placed {
  readonly where: string
  readonly pod: Manifest
  readonly container: Manifest
}

const containers = (manifests: readonly Manifest[]): Placed[] =>
  manifests.flatMap(manifest => {
    const pod = podOf(manifest)
    return (pod?.containers ?? []).map((container: Manifest) => ({
      where: `${manifest.kind}/${manifest.metadata.name}`,
      pod,
      container,
    }))
  })

const forEachContainer =
  (check: (placed: Placed) => string | undefined | false): Policy =>
  manifests =>
    containers(manifests).flatMap(placed => {
      const violation = check(placed)
      return violation ? [`${placed.where}: ${violation}`] : []
    })

const envOf = ({ container }: Placed, name: string): string | undefined =>
  container.env?.find((one: Manifest) => one.name === name)?.value

const isTei = ({ labels }: Manifest): boolean => labels['app.kubernetes.io/component'] === 'tei'

const workers = (manifests: readonly Manifest[]): Placed[] =>
  containers(manifests).filter(({ container }) => container.name === 'worker')

const scaledObjects = (manifests: readonly Manifest[]): Manifest[] =>
  manifests.filter(({ kind }) => kind === 'ScaledObject')

/** The prefix of the queue's keys, as the workers use it. */
function prefixOf(manifests: readonly Manifest[]): string {
  const [worker] = workers(manifests)
  return `{reembed}:${worker && envOf(worker, 'REEMBED_QUEUE')}:`
}

/** The triggers on keys of the queue. */
const redisTriggers = (manifests: readonly Manifest[]): Manifest[] =>
  scaledObjects(manifests).flatMap(({ spec }) =>
    spec.triggers.filter(({ type }: Manifest) => type.startsWith('redis')),
  )

/** The ScaledObjects that scale workers. */
const workerScaling = (manifests: readonly Manifest[]): Manifest[] =>
  scaledObjects(manifests).filter(({ spec }) => spec.scaleTargetRef.name.endsWith('-worker'))

export const policies: Readonly<Record<string, Policy>> = {
  'runs as a user that is not root': forEachContainer(
    ({ pod }) =>
      !(pod.securityContext?.runAsNonRoot && pod.securityContext.runAsUser > 0) && 'may run as root',
  ),
  'has a root file system that is read-only': forEachContainer(
    ({ container }) => !container.securityContext?.readOnlyRootFilesystem && 'can write to its root',
  ),
  'has no capability and gains no privilege': forEachContainer(
    ({ container: { securityContext: context } }) =>
      (!context?.capabilities?.drop?.includes('ALL') || context.allowPrivilegeEscalation !== false) &&
      'keeps capabilities',
  ),
  'is under the seccomp profile of the runtime': forEachContainer(
    ({ pod }) => pod.securityContext?.seccompProfile?.type !== 'RuntimeDefault' && 'has no seccomp profile',
  ),
  'has no token of Kubernetes': forEachContainer(
    ({ pod }) => pod.automountServiceAccountToken !== false && 'mounts a service account token',
  ),
  'names its image by version or digest': forEachContainer(
    ({ container: { image } }) =>
      !/@sha256:[0-9a-f]{64}$|:[\w.-]*\d[\w.-]*$/.test(image) && `image ${image} has neither`,
  ),
  'requests CPU and memory, and has a memory limit': forEachContainer(
    ({ container: { resources } }) =>
      !(resources?.requests?.cpu && resources.requests.memory && resources.limits?.memory) && 'has no bounds',
  ),
  'has no CPU limit': forEachContainer(({ container }) => container.resources?.limits?.cpu && 'has one'),
  'bounds what it writes to /tmp': forEachContainer(
    ({ pod }) =>
      pod.volumes?.some((volume: Manifest) => volume.emptyDir && !volume.emptyDir.sizeLimit) &&
      'has no limit',
  ),
  'has drained well before it is killed': manifests =>
    workers(manifests).flatMap(placed => {
      const drain = Number(envOf(placed, 'REEMBED_DRAIN_SECONDS'))
      const grace = placed.pod.terminationGracePeriodSeconds
      return drain < grace - 10 ? [] : [`${placed.where}: drains ${drain} s of ${grace} s`]
    }),
  'has a live probe that does not ask TEI': forEachContainer(
    ({ container }) =>
      container.name === 'tei' && !container.livenessProbe?.tcpSocket && 'liveness asks the model',
  ),
  'has one owner of its replicas': manifests =>
    manifests
      .filter(({ kind, spec, metadata }) => {
        const scaled = manifests.some(other => other.spec?.scaleTargetRef?.name === metadata?.name)
        return kind === 'Deployment' && scaled === (spec.replicas !== undefined)
      })
      .map(({ metadata }) => `Deployment/${metadata.name}: replicas are set by two, or by none`),
  'scales workers by all four states, under the prefix and queue of the program': manifests =>
    workerScaling(manifests).flatMap(({ metadata, spec }) => {
      const lists = spec.triggers.map((trigger: Manifest) => trigger.metadata.listName).sort()
      return lists.join() === STATES.map(state => `${prefixOf(manifests)}${state}`).join()
        ? []
        : [`${metadata.name}: ${lists.join(', ')}`]
    }),
  'names each trigger after its state, as the formula does': manifests =>
    workerScaling(manifests).flatMap(({ metadata, spec }) =>
      spec.triggers
        .filter(({ name, metadata: { listName } }: Manifest) => listName !== `${prefixOf(manifests)}${name}`)
        .map(({ name }: Manifest) => `${metadata.name}: ${name}`),
    ),
  'scales by the database of the program': manifests => {
    const [worker] = workers(manifests)
    const database = worker && envOf(worker, 'REEMBED_REDIS_DATABASE')
    return redisTriggers(manifests)
      .filter(({ type, metadata }) => (type === 'redis-cluster' ? '0' : metadata.databaseIndex) !== database)
      .map(
        ({ name, metadata }) => `${name}: database ${metadata.databaseIndex}, the program uses ${database}`,
      )
  },
  'keeps the log of each failed attempt': manifests =>
    manifests
      .filter(({ kind }) => kind === 'Job' || kind === 'CronJob')
      .filter(manifest => podOf(manifest)?.restartPolicy !== 'Never')
      .map(({ kind, metadata }) => `${kind}/${metadata.name}: restarts in place`),
  'trusts the private authority in every container, and in KEDA': manifests => {
    const isUsed = JSON.stringify(manifests).includes('ca.crt')
    const trusting = (placed: Placed): boolean =>
      placed.container.name === 'tei' || envOf(placed, 'NODE_EXTRA_CA_CERTS') !== undefined
    return !isUsed
      ? []
      : [
          ...containers(manifests)
            .filter(placed => !trusting(placed))
            .map(({ where }) => where),
          ...manifests
            .filter(({ kind }) => kind === 'TriggerAuthentication')
            .filter(({ spec }) => !spec.secretTargetRef.some(({ parameter }: Manifest) => parameter === 'ca'))
            .map(({ kind, metadata }) => `${kind}/${metadata.name}`),
        ]
  },
  'asks for one worker for each `concurrency` jobs': manifests => {
    const [worker] = workers(manifests)
    const concurrency = worker && envOf(worker, 'REEMBED_CONCURRENCY')
    const targets = manifests.flatMap(({ kind, metadata, spec }): [string, string][] => {
      if (kind === 'HorizontalPodAutoscaler')
        return [[metadata.name, spec.metrics[0].external.target.averageValue]]
      const scaled = workerScaling(manifests).some(one => one.metadata.name === metadata.name)
      return kind === 'ScaledObject' && scaled ? [[metadata.name, spec.advanced.scalingModifiers.target]] : []
    })
    return targets
      .filter(([, target]) => target !== concurrency)
      .map(([name, target]) => `${name}: target ${target}, concurrency ${concurrency}`)
  },
  'gives the scaler only settings that it knows': manifests =>
    scaledObjects(manifests).flatMap(({ metadata, spec }) =>
      spec.triggers.flatMap(({ type, metadata: settings }: Manifest) =>
        Object.keys(settings)
          .filter(key => !(TRIGGER_SETTINGS[type] ?? []).includes(key))
          .map(key => `${metadata.name}: ${type} has no ${key}`),
      ),
    ),
  'can be drained whatever its replicas': manifests =>
    manifests
      .filter(({ kind, spec }) => kind === 'PodDisruptionBudget' && spec.minAvailable !== undefined)
      .map(({ metadata }) => `${metadata.name}: minAvailable`),
  'reaches TEI pod by pod': manifests =>
    manifests
      .filter(
        ({ kind, metadata, spec }) => kind === 'Service' && isTei(metadata) && spec.clusterIP !== 'None',
      )
      .map(({ metadata }) => `Service/${metadata.name} is not headless`),
  'has a label for every selector': manifests => {
    const pods = manifests.flatMap(({ kind, spec }) =>
      kind === 'CronJob' ? [spec.jobTemplate.spec.template] : spec?.template ? [spec.template] : [],
    )
    return manifests
      .filter(({ kind }) =>
        ['Deployment', 'Service', 'NetworkPolicy', 'PodDisruptionBudget', 'PodMonitor'].includes(kind),
      )
      .flatMap(({ kind, metadata, spec }) => {
        const selector = spec.podSelector ?? spec.selector
        const wanted = Object.entries(selector.matchLabels ?? selector)
        const met = pods.some(pod => wanted.every(([key, value]) => pod.metadata.labels[key] === value))
        // Exporter, producer and enqueue may be disabled; their policies then select no pod.
        return met || kind === 'NetworkPolicy' ? [] : [`${kind}/${metadata.name} selects no pod`]
      })
  },
  'creates a service account before the pods that use it': manifests => {
    const kinds = manifests.map(({ kind }) => kind)
    const account = kinds.lastIndexOf('ServiceAccount')
    const first = manifests.findIndex(manifest => podOf(manifest) !== undefined)
    return account > first && first >= 0 ? [`${kinds[first]} precedes ServiceAccount`] : []
  },
  'holds no secret': manifests =>
    manifests.flatMap(manifest =>
      manifest.kind === 'Secret' ||
      /redis(s?):\/\/[^"\s]*:[^"\s]*@|AKIA[0-9A-Z]{16}|hf_\w{20}/.test(JSON.stringify(manifest))
        ? [`${manifest.kind}/${manifest.metadata.name}`]
        : [],
    ),
}

/**
 * Setting names of KEDA (pkg/scalers/redis_scaler.go, prometheus_scaler.go), without those of
 * TriggerAuthentication.
 */
const REDIS_SETTINGS = [
  'listName',
  'listLength',
  'activationListLength',
  'databaseIndex',
  'enableTLS',
  'unsafeSsl',
]
const TRIGGER_SETTINGS: Readonly<Record<string, readonly string[]>> = {
  redis: REDIS_SETTINGS,
  'redis-sentinel': [...REDIS_SETTINGS, 'sentinelMaster'],
  'redis-cluster': REDIS_SETTINGS.filter(setting => setting !== 'databaseIndex'),
  prometheus: ['serverAddress', 'query', 'threshold', 'activationThreshold', 'ignoreNullValues', 'namespace'],
}

/** All violations, each with the name of its rule. */
export const violations = (manifests: readonly Manifest[]): string[] =>
  Object.entries(policies).flatMap(([name, policy]) => policy(manifests).map(one => `${name}: ${one}`))
