{{- define "reembed.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "reembed.labels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Labels of selectors. Selectors are immutable, so these must not change within a release. */}}
{{- define "reembed.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "reembed.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "reembed.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "reembed.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is empty: set it, or set serviceAccount.create=true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "reembed.teiName" -}}
{{- printf "%s-tei-%s" (include "reembed.fullname" .) (trunc 8 .Values.tei.revision) -}}
{{- end -}}

{{- define "reembed.endpoint" -}}
{{- if .Values.tei.enabled -}}
dns+http://{{ include "reembed.teiName" . }}:8080
{{- else -}}
{{- required "endpoint.url is empty: set it to the URL of a TEI server, or set tei.enabled=true" .Values.endpoint.url -}}
{{- end -}}
{{- end -}}

{{/* Of every pod of reembed. */}}
{{- define "reembed.pod" -}}
serviceAccountName: {{ include "reembed.serviceAccount" . }}
automountServiceAccountToken: false
securityContext:
  {{- include "reembed.podSecurity" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where the pods of a part run. Takes the values of the part. */}}
{{- define "reembed.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
{{- with get $ $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes root, the values of the part, and the size of /tmp. */}}
{{- define "reembed.volumes" -}}
- name: tmp
  emptyDir: { sizeLimit: {{ .tmpSize }} }
{{- with .root.Values.ca.existingSecret }}
- name: ca
  secret: { secretName: {{ . }}, items: [{ key: ca.crt, path: ca.crt }] }
{{- end }}
{{- with .part.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "reembed.volumeMounts" -}}
- { name: tmp, mountPath: /tmp }
{{- if .root.Values.ca.existingSecret }}
- { name: ca, mountPath: /etc/reembed/ca, readOnly: true }
{{- end }}
{{- with .part.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "reembed.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "reembed.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Environment of every reembed container. */}}
{{- define "reembed.env" -}}
- name: REDIS_URL
  valueFrom: { secretKeyRef: { name: {{ .Values.redis.existingSecret }}, key: url } }
- name: REEMBED_REDIS_DATABASE
  value: {{ .Values.redis.database | quote }}
- name: REEMBED_QUEUE
  value: {{ .Values.queue }}
- name: REEMBED_LOG
  value: {{ .Values.logLevel }}
{{- if .Values.ca.existingSecret }}
- name: NODE_EXTRA_CA_CERTS
  value: /etc/reembed/ca/ca.crt
{{- end }}
{{- include "reembed.proxyEnv" . }}
{{- with .Values.s3.endpoint }}
- name: AWS_ENDPOINT_URL_S3
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: { secretKeyRef: { name: {{ . }}, key: AWS_ACCESS_KEY_ID } }
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: { secretKeyRef: { name: {{ . }}, key: AWS_SECRET_ACCESS_KEY } }
{{- end }}
{{- end -}}

{{- define "reembed.proxyEnv" -}}
{{- with .Values.proxy }}
{{- if or .httpProxy .httpsProxy }}
{{- range $name, $value := dict "HTTP_PROXY" .httpProxy "HTTPS_PROXY" .httpsProxy "NO_PROXY" .noProxy }}
{{- with $value }}
- name: {{ $name }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a planning component is asked to do, beyond its source and output. */}}
{{- define "reembed.planArgs" -}}
{{- if .Values.tei.enabled }}
# The chart's TEI has no address while it is scaled to zero.
- --await-endpoint
{{- end }}
{{- with .Values.producer }}
{{- range .gates }}
- {{ printf "--gate=%s" . | quote }}
{{- end }}
{{- range $flag, $value := dict "gate-queries" .gateQueries "gate-qrels" .gateQrels "max-cost" .budget.maxCost "max-tokens" .budget.maxTokens "price-per-hour" .budget.pricePerHour }}
{{- if ne (toString $value) "" }}
- {{ printf "--%s=%s" $flag (toString $value) | quote }}
{{- end }}
{{- end }}
{{- range .extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A trigger of KEDA on one key of the queue. Takes root, name and target. */}}
{{- define "reembed.redisTrigger" -}}
{{- $redis := .root.Values.redis -}}
- type: {{ get (dict "standalone" "redis" "sentinel" "redis-sentinel" "cluster" "redis-cluster") $redis.mode }}
  name: {{ .name }}
  metadata:
    listName: {{ printf "{reembed}:%s:%s" .root.Values.queue .name | quote }}
    listLength: {{ .target | quote }}
    {{- if ne $redis.mode "cluster" }}
    databaseIndex: {{ $redis.database | quote }}
    {{- end }}
    {{- if eq $redis.mode "sentinel" }}
    sentinelMaster: {{ required "redis.sentinelMaster is empty: set it to the name of the Sentinel master" $redis.sentinelMaster | quote }}
    {{- end }}
  authenticationRef: { name: {{ include "reembed.fullname" .root }}-redis }
{{- end -}}

{{- define "reembed.endpointEnv" -}}
- name: REEMBED_ENDPOINT
  value: {{ include "reembed.endpoint" . | quote }}
{{- with (.Values.tei.enabled | ternary .Values.tei.revision .Values.endpoint.revision) }}
- name: REEMBED_REVISION
  value: {{ . | quote }}
{{- end }}
{{- if not .Values.tei.enabled }}
{{- with .Values.endpoint.model }}
- name: REEMBED_MODEL
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- with (.Values.tei.enabled | ternary .Values.tei.apiKeySecret .Values.endpoint.existingSecret) }}
- name: REEMBED_ENDPOINT_TOKEN
  valueFrom: { secretKeyRef: { name: {{ . }}, key: token } }
{{- end }}
{{- end -}}

{{/* Environment of the containers that record traces: enqueue, producer and worker. */}}
{{- define "reembed.tracesEnv" -}}
{{- with .Values.traces }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .ratio | quote }}
{{- with .headersSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: { secretKeyRef: { name: {{ . }}, key: headers } }
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "reembed.metricsEnv" -}}
{{- if .Values.metrics.existingSecret -}}
- name: REEMBED_METRICS_TOKEN
  valueFrom: { secretKeyRef: { name: {{ .Values.metrics.existingSecret }}, key: token } }
{{- else -}}
{{- if not .Values.networkPolicy.enabled -}}
{{- fail "metrics.existingSecret is empty and networkPolicy.enabled is false, so /metrics would be open: set one of them" -}}
{{- end -}}
- name: REEMBED_METRICS_OPEN
  value: "true"
{{- end -}}
{{- end -}}

{{- define "reembed.probes" -}}
startupProbe:
  httpGet: { path: /live, port: metrics }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /live, port: metrics }
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /ready, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}

{{- define "reembed.producerOutput" -}}
{{- default (first .Values.outputs) .Values.producer.output -}}
{{- end -}}

{{- /* The reembed.yaml of the producer, whose schedules the console of the exporter states. */ -}}
{{- define "reembed.producerConfig" -}}
{{- dict "version" 1 "output" (dict "uri" (include "reembed.producerOutput" .)) "schedules" .Values.producer.deployment.schedules | toYaml -}}
{{- end -}}
