{{/*
What more than one template needs. Each definition says what it is given: `$` is the root; `component` is one of
operator, gateway, runner, valkey, s3, test.
*/}}

{{/* The release's name, with `darkroom` in it once. Short enough for the longest name that is made of it. */}}
{{- define "darkroom.fullname" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Chart.Name }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 46 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Fails for the values of a release before this one. Here and not in checks.yaml, which Helm renders last. */}}
{{- define "darkroom.requireValues" -}}
{{- if not (and .Values.datasets .Values.gateway.photos .Values.gateway.maxUploads) }}
{{- fail "datasets, gateway.photos or gateway.maxUploads is missing, as with the values of an older release: upgrade with --reset-then-reuse-values in place of --reuse-values." }}
{{- end }}
{{- end }}

{{/* By (list $ component): what selects the pods of a component; it can't be changed on a Deployment. */}}
{{- define "darkroom.selectorLabels" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ $.Chart.Name }}
app.kubernetes.io/instance: {{ $.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* By (list $ component): the labels of every object. */}}
{{- define "darkroom.labels" -}}
{{- $ := index . 0 }}{{ include "darkroom.requireValues" $ -}}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "darkroom.selectorLabels" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: darkroom
app.kubernetes.io/managed-by: {{ $.Release.Service }}
{{- end }}

{{/* By (list $ component): metadata of an object of the namespace that is called as its component. */}}
{{- define "darkroom.metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "darkroom.fullname" $ }}-{{ index . 1 }}
namespace: {{ $.Release.Namespace | quote }}
labels:
  {{- include "darkroom.labels" . | nindent 2 }}
{{- end }}

{{/* By (list $ image): repository, and digest or tag. */}}
{{- define "darkroom.image" -}}
{{- $ := index . 0 }}{{ $image := index . 1 -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* By (list $ component): the name of a component's service account. */}}
{{- define "darkroom.serviceAccountName" -}}
{{- $ := index . 0 }}{{ $component := index . 1 }}{{ $account := (index $.Values $component).serviceAccount -}}
{{- if $account.create }}{{ $account.name | default (printf "%s-%s" (include "darkroom.fullname" $) $component) }}
{{- else }}{{ $account.name | default "default" }}
{{- end }}
{{- end }}

{{/* The security context of a pod, as the restricted Pod Security Standard asks. By its user id. */}}
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

{{/* By (list $ component): where the pods of a Deployment of ours go. */}}
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

{{/* Where the S3 API is for pods, and for people. */}}
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

{{/* The path under which an Ingress publishes the gateway, without a slash at its end; empty for the root. */}}
{{- define "darkroom.rootPath" -}}
{{- if .Values.gateway.ingress.enabled }}{{ .Values.gateway.ingress.path | trimSuffix "/" }}
{{- end }}
{{- end }}

{{/* Names under which the gateway answers, separated by commas; empty for any. Its own are added to those of the values. */}}
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

{{/* By (list $ component): the Secret by which gateway or runner logs in to S3; empty when boto3 finds its own way. */}}
{{- define "darkroom.s3Secret" -}}
{{- $ := index . 0 }}{{ $s3 := $.Values.storage.s3 -}}
{{- if $.Values.tryout.s3.enabled }}{{ include "darkroom.fullname" $ }}-s3
{{- else }}{{ get $s3 (printf "%sSecret" (index . 1)) | default $s3.existingSecret }}
{{- end }}
{{- end }}

{{/* What trainings may read beside the folders of their namespace; empty for nothing. */}}
{{- define "darkroom.datasetUris" -}}
{{- join " " .Values.datasets.allowedUris }}
{{- end }}

{{/* Of Redis when it is known here; it isn't when it is in a Secret of the user's. */}}
{{- define "darkroom.redisUrl" -}}
{{- if .Values.tryout.valkey.enabled }}{{ printf "redis://%s-valkey.%s.svc:6379/0" (include "darkroom.fullname" .) .Release.Namespace }}
{{- else }}{{ .Values.redis.url }}
{{- end }}
{{- end }}

{{/* By (list $ component): the variables by which gateway or runner logs in to S3. */}}
{{- define "darkroom.s3Credentials" -}}
{{- with $secret := include "darkroom.s3Secret" . }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $key }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* The variable by which everybody finds Redis. */}}
{{- define "darkroom.redisVariable" -}}
{{- if .Values.redis.existingSecret }}
- name: DARKROOM_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.existingSecret }}, key: DARKROOM_REDIS_URL}}
{{- else if include "darkroom.redisUrl" . }}
- name: DARKROOM_REDIS_URL
  value: {{ include "darkroom.redisUrl" . | quote }}
{{- end }}
{{- end }}

{{- define "darkroom.apiKeysSecret" -}}
{{- if not .Values.gateway.apiKeys.open }}{{ .Values.gateway.apiKeys.existingSecret | default (printf "%s-api-keys" (include "darkroom.fullname" .)) }}
{{- end }}
{{- end }}

{{- define "darkroom.modelRoot" -}}
{{- if .Values.models.root }}{{ .Values.models.root }}
{{- else if .Values.models.cache.enabled }}{{ printf "%s/base" (.Values.models.cache.mountPath | trimSuffix "/") }}
{{- end }}
{{- end }}

{{/* How gateway and operator see the model root, with models.checkAtSubmission: variable, mount and volume. */}}
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

{{/* Of the runners; empty when they have none. */}}
{{- define "darkroom.runnerPriorityClass" -}}
{{- with .Values.runner.priorityClass }}
{{- if .create }}{{ .name | default (printf "%s-runner" (include "darkroom.fullname" $)) }}
{{- else }}{{ .name }}
{{- end }}
{{- end }}
{{- end }}

{{/* The port of a URL, or what its scheme means. */}}
{{- define "darkroom.portOf" -}}
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $port | default (get (dict "http" "80" "https" "443" "redis" "6379" "rediss" "6379") $url.scheme) | default "443" }}
{{- end }}

{{/*
A quantity in MiB; nothing for one that is not written in Mi or Gi.
*/}}
{{- define "darkroom.mib" -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9]+Mi$" $text -}}
{{- trimSuffix "Mi" $text -}}
{{- else if regexMatch "^[0-9]+Gi$" $text -}}
{{- mul 1024 (int (trimSuffix "Gi" $text)) -}}
{{- end -}}
{{- end }}
