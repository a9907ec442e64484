// The chart in each of its profiles: values against the schema, manifests against the types of
// Kubernetes and KEDA, against the rules of policies.ts, and against the rendered output.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'
import { reembed, temporaryFolder } from '../parts/cli.ts'
import {
  chart,
  goldenPath,
  type Manifest,
  noRenderer,
  parseManifests,
  profiles,
  readManifests,
  readValues,
  render,
} from './parts/chart.ts'
import { policies, violations } from './parts/policies.ts'
import { typeErrors } from './parts/typed.ts'

const schema = JSON.parse(await readFile(join(chart, 'values.schema.json'), 'utf8'))
const validate = new Ajv({ strict: false, allErrors: true }).compile(schema)
const invalid = (values: Manifest): string[] =>
  validate(values)
    ? []
    : (validate.errors ?? []).map(
        ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
      )

/** A profile with a change applied in place. */
async function changed(profile: string, change: (manifests: Manifest[]) => void): Promise<Manifest[]> {
  const manifests = structuredClone(await readManifests(profile))
  change(manifests)
  return manifests
}
const find = (manifests: readonly Manifest[], kind: string, name: RegExp): Manifest => {
  const found = manifests.find(one => one.kind === kind && name.test(one.metadata.name))
  if (found === undefined) throw new Error(`no ${kind} like ${name}`)
  return found
}
const envOf = (deployment: Manifest, name: string): Manifest =>
  deployment.spec.template.spec.containers[0].env.find((one: Manifest) => one.name === name)

test('a profile exists for each way to install', () => {
  expect(profiles).toEqual([
    'everything',
    'external-hf',
    'hpa',
    'keda-cluster',
    'keda-redis',
    'keda-tls',
    'minimal',
    'tei-a10g',
  ])
})

describe.each(profiles)('%s', profile => {
  test('its values match the schema', async () => {
    expect(invalid(await readValues(profile))).toEqual([])
  })

  test('it violates no rule', async () => {
    const manifests = await readManifests(profile)
    expect(manifests.length).toBeGreaterThan(4)
    expect(violations(manifests)).toEqual([])
  })

  test.skipIf(noRenderer)(
    `the committed manifests equal the rendered output${noRenderer ? ` (skipped: ${noRenderer})` : ''}`,
    async () => {
      const { text, failure } = await render(profile)
      expect(failure).toBeNull()
      expect(text).toBe(await readFile(goldenPath(profile), 'utf8'))
    },
    300_000,
  )
})

test('every manifest of every profile matches the type of its kind, without unknown keys', async () => {
  const all = await Promise.all(profiles.map(readManifests))
  const kinds = new Set(all.flat().map(({ kind }) => kind))
  expect([...kinds].sort()).toEqual(
    expect.arrayContaining([
      'CronJob',
      'Deployment',
      'HorizontalPodAutoscaler',
      'Ingress',
      'Job',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'PodMonitor',
      'PrometheusRule',
      'ScaledObject',
      'ServiceMonitor',
      'TriggerAuthentication',
    ]),
  )
  expect(await typeErrors(all.flat())).toEqual([])
})

test('the type check reports a misspelt key in a worker and in a ScaledObject', async () => {
  const errors = await typeErrors(
    await changed('keda-redis', manifests => {
      find(manifests, 'ScaledObject', /worker/).spec.pollingIntervall = 15
      find(manifests, 'Deployment', /worker/).spec.template.spec.containers[0].resourcess = {}
    }),
  )
  expect(errors).toHaveLength(2)
  expect(errors.join('\n')).toContain(`'"pollingIntervall"' does not exist in type 'IScaledObjectSpec'`)
  expect(errors.join('\n')).toContain(`'"resourcess"' does not exist in type 'IContainer'`)
})

test('the schema refuses a misspelt value', async () => {
  const values = await readValues('keda-redis')
  expect(invalid({ ...values, autoscalling: {} })).toEqual([expect.stringContaining('autoscalling')])
  expect(invalid({ ...values, image: { ...values.image, tag: 'latest' } })).not.toEqual([])
  expect(invalid({ ...values, outputs: ['/local/folder'] })).not.toEqual([])
})

test('reembed accepts every argument of the manifests and reads their schedules', async () => {
  const manifests = await readManifests('everything')
  const flags = new Map<string, Set<string>>()
  for (const { spec } of manifests) {
    const { containers = [] } = spec?.template?.spec ?? spec?.jobTemplate?.spec.template.spec ?? {}
    for (const { args = [] } of containers as { args?: string[] }[]) {
      const [name, ...others] = args
      if (name === undefined || name.startsWith('-')) continue
      const known = flags.get(name) ?? new Set()
      for (const other of others) if (other.startsWith('--')) known.add(other.replace(/=.*/, ''))
      flags.set(name, known)
    }
  }
  expect([...flags.keys()].sort()).toEqual(['enqueue', 'exporter', 'producer', 'worker'])
  for (const name of ['enqueue', 'producer']) expect(flags.get(name)).toContain('--await-endpoint')
  for (const [name, given] of flags) {
    const { stdout } = await reembed([name, '--help', 'all'])
    for (const flag of given) expect(`${name} ${stdout}`).toMatch(new RegExp(`^ +${flag} `, 'm'))
  }

  await using folder = await temporaryFolder()
  const file = join(folder.path, 'reembed.yaml')
  await writeFile(file, find(manifests, 'ConfigMap', /-producer$/).data['reembed.yaml'])
  // The file names the output in S3, which has the times of past ticks.
  const here = ['--output', folder.path]
  const { stdout, stderr } = await reembed(['schedule', 'ls', '--config', file, ...here, '--json'])
  expect(stderr).toBe('')
  expect(JSON.parse(stdout)).toMatchObject([
    { name: 'nightly', cron: '0 3 * * *', timezone: 'Europe/Berlin', when: 'model_changed' },
  ])
})

test('the exporter serves the console only with a token, to the pods that may open it', async () => {
  const manifests = await readManifests('everything')
  const [exporter] = find(manifests, 'Deployment', /exporter/).spec.template.spec.containers
  expect(exporter.ports).toContainEqual({ name: 'console', containerPort: 9467 })
  const secretOf = (name: string) => envOf(find(manifests, 'Deployment', /exporter/), name).valueFrom
  expect(secretOf('REEMBED_CONSOLE_TOKEN').secretKeyRef.name).toBe('reembed-console')
  expect(secretOf('REEMBED_CONSOLE_ACTIONS_TOKEN').secretKeyRef.name).toBe('reembed-console-actions')
  expect(exporter.args).toContain('--config=/etc/reembed/config/reembed.yaml')
  const { name } = find(manifests, 'ConfigMap', /-producer$/).metadata
  const { metadata, spec } = find(manifests, 'Deployment', /-exporter$/).spec.template
  const { volumes } = spec
  // A changed schedule restarts both that read it.
  const producer = find(manifests, 'Deployment', /-producer$/).spec.template.metadata
  expect(metadata.annotations['checksum/config']).toMatch(/^[0-9a-f]{64}$/)
  expect(metadata.annotations['checksum/config']).toBe(producer.annotations['checksum/config'])
  expect(volumes).toContainEqual({ name: 'config', configMap: { name } })
  const service = find(manifests, 'Service', /-console$/).spec
  expect(service.ports).toEqual([{ name: 'console', port: 9467, targetPort: 'console' }])
  const { ingress } = find(manifests, 'NetworkPolicy', /-exporter$/).spec
  const open = ingress.filter(({ ports }: Manifest) => ports.some(({ port }: Manifest) => port === 9467))
  expect(open).toEqual([
    {
      from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ingress' } } }],
      ports: [{ protocol: 'TCP', port: 9467 }],
    },
  ])
  const plain = JSON.stringify(await readManifests('minimal'))
  expect(plain).not.toContain('REEMBED_CONSOLE')
  expect(plain).not.toContain('9467')
})

/** A violation of each rule: a rule that no change can violate checks nothing. */
const breaches: Readonly<Record<string, readonly [profile: string, (manifests: Manifest[]) => void]>> = {
  'runs as a user that is not root': [
    'minimal',
    m => delete find(m, 'Deployment', /worker/).spec.template.spec.securityContext.runAsNonRoot,
  ],
  'has a root file system that is read-only': [
    'minimal',
    m =>
      delete find(m, 'Deployment', /worker/).spec.template.spec.containers[0].securityContext
        .readOnlyRootFilesystem,
  ],
  'has no capability and gains no privilege': [
    'minimal',
    m => delete find(m, 'Deployment', /worker/).spec.template.spec.containers[0].securityContext.capabilities,
  ],
  'is under the seccomp profile of the runtime': [
    'minimal',
    m => delete find(m, 'Deployment', /worker/).spec.template.spec.securityContext.seccompProfile,
  ],
  'has no token of Kubernetes': [
    'minimal',
    m => delete find(m, 'Deployment', /worker/).spec.template.spec.automountServiceAccountToken,
  ],
  'names its image by version or digest': [
    'minimal',
    m => {
      find(m, 'Deployment', /worker/).spec.template.spec.containers[0].image = 'reembed:latest'
    },
  ],
  'requests CPU and memory, and has a memory limit': [
    'minimal',
    m => delete find(m, 'Deployment', /worker/).spec.template.spec.containers[0].resources.limits,
  ],
  'has no CPU limit': [
    'minimal',
    m => {
      find(m, 'Deployment', /worker/).spec.template.spec.containers[0].resources.limits.cpu = '1'
    },
  ],
  'bounds what it writes to /tmp': [
    'minimal',
    m => {
      find(m, 'Deployment', /worker/).spec.template.spec.volumes[0].emptyDir = {}
    },
  ],
  'has drained well before it is killed': [
    'keda-redis',
    m => {
      envOf(find(m, 'Deployment', /worker/), 'REEMBED_DRAIN_SECONDS').value = '110'
    },
  ],
  'has a live probe that does not ask TEI': [
    'tei-a10g',
    m => {
      find(m, 'Deployment', /tei/).spec.template.spec.containers[0].livenessProbe = {
        httpGet: { path: '/health', port: 'http' },
      }
    },
  ],
  'has one owner of its replicas': [
    'keda-redis',
    m => {
      find(m, 'Deployment', /worker/).spec.replicas = 3
    },
  ],
  'scales workers by all four states, under the prefix and queue of the program': [
    'keda-redis',
    m => {
      for (const one of find(m, 'ScaledObject', /worker/).spec.triggers)
        one.metadata.listName = one.metadata.listName.replace('{reembed}', 'bull')
    },
  ],
  'names each trigger after its state, as the formula does': [
    'keda-redis',
    m => {
      find(m, 'ScaledObject', /worker/).spec.triggers[0].name = 'waiting'
    },
  ],
  'scales by the database of the program': [
    'keda-tls',
    m => {
      find(m, 'ScaledObject', /worker/).spec.triggers[0].metadata.databaseIndex = '0'
    },
  ],
  'keeps the log of each failed attempt': [
    'external-hf',
    m => {
      find(m, 'Job', /enqueue/).spec.template.spec.restartPolicy = 'OnFailure'
    },
  ],
  'trusts the private authority in every container, and in KEDA': [
    'keda-tls',
    m => {
      const { env } = find(m, 'Deployment', /exporter/).spec.template.spec.containers[0]
      env.splice(env.indexOf(envOf(find(m, 'Deployment', /exporter/), 'NODE_EXTRA_CA_CERTS')), 1)
    },
  ],
  'asks for one worker for each `concurrency` jobs': [
    'keda-redis',
    m => {
      find(m, 'ScaledObject', /worker/).spec.advanced.scalingModifiers.target = '8'
    },
  ],
  'gives the scaler only settings that it knows': [
    'keda-redis',
    m => {
      find(m, 'ScaledObject', /worker/).spec.triggers[0].metadata.listLenght = '4'
    },
  ],
  'can be drained whatever its replicas': [
    'minimal',
    m => {
      find(m, 'PodDisruptionBudget', /worker/).spec.minAvailable = 1
    },
  ],
  'reaches TEI pod by pod': ['tei-a10g', m => delete find(m, 'Service', /tei/).spec.clusterIP],
  'has a label for every selector': [
    'minimal',
    m => {
      find(m, 'PodDisruptionBudget', /worker/).spec.selector.matchLabels['app.kubernetes.io/component'] =
        'wroker'
    },
  ],
  'creates a service account before the pods that use it': [
    'minimal',
    m => {
      m.push(...m.splice(m.indexOf(find(m, 'ServiceAccount', /reembed/)), 1))
    },
  ],
  'holds no secret': [
    'minimal',
    m => {
      envOf(find(m, 'Deployment', /worker/), 'REDIS_URL').value = 'redis://me:secret@redis:6379'
    },
  ],
}

test('every rule reports the change that violates it', () => {
  expect(Object.keys(breaches)).toEqual(Object.keys(policies))
})

test.each(Object.entries(breaches))('caught: %s', async (rule, [profile, change]) => {
  const found = violations(await changed(profile, change))
  expect(found.filter(one => one.startsWith(`${rule}:`))).not.toEqual([])
})

test.skipIf(noRenderer)(
  `the chart refuses values that cannot work${noRenderer ? ` (skipped: ${noRenderer})` : ''}`,
  async () => {
    const failure = async (over: (values: Manifest) => void): Promise<string | null> => {
      const values = structuredClone(await readValues('keda-redis'))
      over(values)
      return (await render(values)).failure
    }
    expect(
      await failure(values => {
        values.worker.drainSeconds = 110
      }),
    ).toMatch(/worker\.drainSeconds \(110\) must be less than/)
    expect(
      await failure(values => {
        values.endpoint.url = ''
      }),
    ).toMatch(/endpoint\.url is empty: set it to the URL of a TEI server/)
    expect(
      await failure(values => {
        values.networkPolicy.enabled = false
      }),
    ).toMatch(/metrics\.existingSecret is empty and networkPolicy\.enabled is false/)
    expect(
      await failure(values => {
        values.exporter.console.enabled = true
      }),
    ).toMatch(/exporter\.console\.existingSecret is empty, so the pages would be open/)
    expect(
      await failure(values => {
        values.tei.enabled = true
      }),
    ).toMatch(/tei\.revision is empty: set it to the full commit/)
    expect(
      await failure(values => {
        values.producer.source = 's3://corpora/wiki/'
        values.producer.deployment.enabled = true
      }),
    ).toMatch(/producer\.deployment has nothing to do: set schedules or hooks/)
    expect(await failure(() => {})).toBeNull()
  },
  300_000,
)

test.skipIf(noRenderer)(
  `every part takes placement, variables and volumes of its own${noRenderer ? ` (skipped: ${noRenderer})` : ''}`,
  async () => {
    const values = structuredClone(await readValues('everything'))
    const parts = ['worker', 'producer', 'exporter', 'tei']
    for (const part of parts) {
      Object.assign(values[part], {
        nodeSelector: { part },
        tolerations: [{ key: part, operator: 'Exists' }],
        extraEnv: [{ name: 'PART', value: part }],
        extraVolumes: [{ name: part, emptyDir: { sizeLimit: '1Mi' } }],
        extraVolumeMounts: [{ name: part, mountPath: `/${part}` }],
      })
    }
    const { text, failure } = await render(values)
    expect(failure).toBeNull()
    const pods = parseManifests(text).flatMap(({ spec }) => {
      const template = spec?.jobTemplate?.spec.template ?? spec?.template
      return template?.spec.containers ? [template] : []
    })
    const partOf = (component: string): string => (component === 'enqueue' ? 'producer' : component)
    const seen = pods.map(({ metadata, spec }) => {
      const part = partOf(metadata.labels['app.kubernetes.io/component'])
      const [container] = spec.containers
      expect(spec).toMatchObject({ nodeSelector: { part }, tolerations: [{ key: part }] })
      expect(spec.volumes.map(({ name }: Manifest) => name)).toContain(part)
      expect(container.volumeMounts).toContainEqual({ name: part, mountPath: `/${part}` })
      expect(container.env).toContainEqual({ name: 'PART', value: part })
      return part
    })
    // The producer has three pods: its Deployment, the CronJob and the Job.
    expect(seen.sort()).toEqual(['exporter', 'producer', 'producer', 'producer', 'tei', 'worker'])
  },
  300_000,
)

test.skipIf(noRenderer)(
  `concurrency and replicas of the values reach the manifests${noRenderer ? ` (skipped: ${noRenderer})` : ''}`,
  async () => {
    const values = structuredClone(await readValues('keda-redis'))
    values.worker.concurrency = 7
    values.worker.giveUpMinutes = 40
    values.autoscaling.maxReplicas = 11
    const manifests = parseManifests((await render(values)).text)
    const { spec } = find(manifests, 'ScaledObject', /worker/)
    expect(spec.advanced.scalingModifiers.target).toBe('7')
    expect(spec.maxReplicaCount).toBe(11)
    expect(envOf(find(manifests, 'Deployment', /worker/), 'REEMBED_CONCURRENCY').value).toBe('7')
    expect(envOf(find(manifests, 'Deployment', /worker/), 'REEMBED_GIVE_UP_MINUTES').value).toBe('40')
  },
)
