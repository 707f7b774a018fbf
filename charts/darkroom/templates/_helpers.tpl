{{/*
Definitions that several templates use. Each comment names the argument: `$` is the root context; `component` is one
of operator, gateway, runner, valkey, s3, test.
*/}}

{{/* The release's name, with `darkroom` in it once. Short enough for the longest name derived from it. */}}
{{- define "darkroom.fullname" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Chart.Name }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 46 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Fails for values of an older release. Not in checks.yaml, because Helm renders that last. */}}
{{- define "darkroom.requireValues" -}}
{{- if not (and .Values.datasets .Values.gateway.photos .Values.gateway.maxUploads .Values.operator.maxRuns) }}
{{- fail "datasets, gateway.photos, gateway.maxUploads or operator.maxRuns is missing, as in the values of an older release: upgrade with --reset-then-reuse-values instead of --reuse-values." }}
{{- end }}
{{- end }}

{{/* Argument (list $ component): selects the pods of a component. Immutable in a Deployment. */}}
{{- define "darkroom.selectorLabels" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ $.Chart.Name }}
app.kubernetes.io/instance: {{ $.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Argument (list $ component): the labels of all objects. */}}
{{- define "darkroom.labels" -}}
{{- $ := index . 0 }}{{ include "darkroom.requireValues" $ -}}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "darkroom.selectorLabels" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: darkroom
app.kubernetes.io/managed-by: {{ $.Release.Service }}
{{- end }}

{{/* Argument (list $ component): metadata of a namespaced object that is named after its component. */}}
{{- define "darkroom.metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "darkroom.fullname" $ }}-{{ index . 1 }}
namespace: {{ $.Release.Namespace | quote }}
labels:
  {{- include "darkroom.labels" . | nindent 2 }}
{{- end }}

{{/* Argument (list $ image): repository, and digest or tag. */}}
{{- define "darkroom.image" -}}
{{- $ := index . 0 }}{{ $image := index . 1 -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Argument (list $ component): name of the component's service account. */}}
{{- define "darkroom.serviceAccountName" -}}
{{- $ := index . 0 }}{{ $component := index . 1 }}{{ $account := (index $.Values $component).serviceAccount -}}
{{- if $account.create }}{{ $account.name | default (printf "%s-%s" (include "darkroom.fullname" $) $component) }}
{{- else }}{{ $account.name | default "default" }}
{{- end }}
{{- end }}

{{/* Argument: the user id. Security context of a pod that meets the restricted Pod Security Standard. */}}
{{- define "darkroom.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "darkroom.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Argument (list $ component): scheduling of the pods of one of our Deployments. */}}
{{- define "darkroom.placement" -}}
{{- $ := index . 0 }}{{ $values := index $.Values (index . 1) }}
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "darkroom.selectorLabels" . | fromYaml)) }}
  {{- range $values.topologySpreadConstraints }}
  {{- toYaml (list (merge (deepCopy .) $own)) | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* URLs of the S3 API for pods and for users. */}}
{{- define "darkroom.s3EndpointUrl" -}}
{{- if .Values.tryout.s3.enabled }}{{ printf "http://%s-s3.%s.svc:8333" (include "darkroom.fullname" .) .Release.Namespace }}
{{- else }}{{ .Values.storage.s3.endpointUrl }}
{{- end }}
{{- end }}

{{- define "darkroom.s3PublicEndpointUrl" -}}
{{- if .Values.storage.s3.publicEndpointUrl }}{{ .Values.storage.s3.publicEndpointUrl }}
{{- else if .Values.tryout.s3.enabled }}http://127.0.0.1:8333
{{- end }}
{{- end }}

{{/* Path prefix of the gateway in the Ingress, without a trailing slash; empty for the root. */}}
{{- define "darkroom.rootPath" -}}
{{- if .Values.gateway.ingress.enabled }}{{ .Values.gateway.ingress.path | trimSuffix "/" }}
{{- end }}
{{- end }}

{{/* Accepted host names of the gateway, separated by commas; empty for any. Its own names are added to the values. */}}
{{- define "darkroom.allowedHosts" -}}
{{- $gateway := .Values.gateway }}
{{- if $gateway.allowedHosts }}
{{- $service := printf "%s-gateway" (include "darkroom.fullname" .) }}
{{- $inNamespace := printf "%s.%s" $service .Release.Namespace }}
{{- $names := list $service $inNamespace (printf "%s.svc" $inNamespace) (printf "%s.svc.cluster.local" $inNamespace) }}
{{- if $gateway.ingress.enabled }}{{ $names = concat $names ($gateway.ingress.hosts | default list) }}{{ end }}
{{- if $gateway.httpRoute.enabled }}{{ $names = concat $names ($gateway.httpRoute.hostnames | default list) }}{{ end }}
{{- concat $names $gateway.allowedHosts | uniq | join "," }}
{{- end }}
{{- end }}

{{/* Argument (list $ component): the Secret with the S3 credentials of gateway or runner; empty if boto3 finds them itself. */}}
{{- define "darkroom.s3Secret" -}}
{{- $ := index . 0 }}{{ $s3 := $.Values.storage.s3 -}}
{{- if $.Values.tryout.s3.enabled }}{{ include "darkroom.fullname" $ }}-s3
{{- else }}{{ get $s3 (printf "%sSecret" (index . 1)) | default $s3.existingSecret }}
{{- end }}
{{- end }}

{{/* Folders that trainings may read in addition to those of their namespace. */}}
{{- define "darkroom.datasetUris" -}}
{{- join " " .Values.datasets.allowedUris }}
{{- end }}

{{/* URL of Redis; empty if it is in a Secret of the user. */}}
{{- define "darkroom.redisUrl" -}}
{{- if .Values.tryout.valkey.enabled }}{{ printf "redis://%s-valkey.%s.svc:6379/0" (include "darkroom.fullname" .) .Release.Namespace }}
{{- else }}{{ .Values.redis.url }}
{{- end }}
{{- end }}

{{/* Argument (list $ component): environment variables with the S3 credentials of gateway or runner. */}}
{{- define "darkroom.s3Credentials" -}}
{{- with $secret := include "darkroom.s3Secret" . }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $key }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* Environment variable with the URL of Redis. */}}
{{- define "darkroom.redisVariable" -}}
{{- if .Values.redis.existingSecret }}
- name: DARKROOM_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.existingSecret }}, key: DARKROOM_REDIS_URL}}
{{- else if include "darkroom.redisUrl" . }}
- name: DARKROOM_REDIS_URL
  value: {{ include "darkroom.redisUrl" . | quote }}
{{- end }}
{{- end }}

{{/*
The quotas of API keys, as YAML; empty if there are none.
*/}}
{{- define "darkroom.quotas" -}}
{{- $default := dict }}
{{- range $name := list "unfinished" "waiting" "perDay" }}
{{- $value := index ($.Values.gateway.quotas.default | default dict) $name }}
{{- if not (kindIs "invalid" $value) }}
{{- $_ := set $default $name ($value | int64) }}
{{- end }}
{{- end }}
{{- with .Values.gateway.quotas.keys }}
{{- toYaml (dict "default" $default "keys" .) }}
{{- else }}
{{- if $default }}
{{- toYaml (dict "default" $default) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
OpenTelemetry's variables, as a map; empty without a collector.
*/}}
{{- define "darkroom.tracing" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .endpoint | quote }}
{{- range $name, $value := .variables }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "darkroom.tracingVariables" -}}
{{- range $name, $value := include "darkroom.tracing" . | fromYaml }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "darkroom.apiKeysSecret" -}}
{{- if not .Values.gateway.apiKeys.open }}{{ .Values.gateway.apiKeys.existingSecret | default (printf "%s-api-keys" (include "darkroom.fullname" .)) }}
{{- end }}
{{- end }}

{{- define "darkroom.webhooksSecret" -}}
{{- if ne .Values.gateway.webhooks.addresses "Disabled" }}{{ .Values.gateway.webhooks.existingSecret | default (printf "%s-webhooks" (include "darkroom.fullname" .)) }}
{{- end }}
{{- end }}

{{- define "darkroom.modelRoot" -}}
{{- if .Values.models.root }}{{ .Values.models.root }}
{{- else if .Values.models.cache.enabled }}{{ printf "%s/base" (.Values.models.cache.mountPath | trimSuffix "/") }}
{{- end }}
{{- end }}

{{/* The model root in gateway and operator, with models.checkAtSubmission: variable, mount and volume. */}}
{{- define "darkroom.modelRootVariable" -}}
{{- if .Values.models.checkAtSubmission }}
- {name: DARKROOM_MODEL_ROOT, value: {{ include "darkroom.modelRoot" . | quote }}}
{{- end }}
{{- end }}

{{- define "darkroom.modelRootMount" -}}
{{- if .Values.models.checkAtSubmission }}
- {name: models, mountPath: {{ .Values.models.cache.mountPath | trimSuffix "/" }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "darkroom.modelRootVolume" -}}
{{- if .Values.models.checkAtSubmission }}
- name: models
  persistentVolumeClaim: {claimName: {{ include "darkroom.modelCacheClaim" . }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "darkroom.modelCacheClaim" -}}
{{- .Values.models.cache.existingClaim | default (printf "%s-models" (include "darkroom.fullname" .)) }}
{{- end }}

{{/* PriorityClass of the runners; empty if they have none. */}}
{{- define "darkroom.runnerPriorityClass" -}}
{{- with .Values.runner.priorityClass }}
{{- if .create }}{{ .name | default (printf "%s-runner" (include "darkroom.fullname" $)) }}
{{- else }}{{ .name }}
{{- end }}
{{- end }}
{{- end }}

{{/* Port of a URL, or the default of its scheme. */}}
{{- define "darkroom.portOf" -}}
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $port | default (get (dict "http" "80" "https" "443" "redis" "6379" "rediss" "6379") $url.scheme) | default "443" }}
{{- end }}

{{/*
A quantity in MiB; empty for one that is not in Mi or Gi.
*/}}
{{- define "darkroom.mib" -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9]+Mi$" $text -}}
{{- trimSuffix "Mi" $text -}}
{{- else if regexMatch "^[0-9]+Gi$" $text -}}
{{- mul 1024 (int (trimSuffix "Gi" $text)) -}}
{{- end -}}
{{- end }}
