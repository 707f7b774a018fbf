{{/*
The partial PodTemplateSpec of all runner pods as YAML: the values of `runner`, `models`, `storage`, `redis` and `hub`,
with `runner.template` merged over them.
*/}}
{{- define "darkroom.runnerTemplate" -}}
{{- $base := include "darkroom.runnerTemplateOfValues" . | fromYaml }}
{{- $over := deepCopy .Values.runner.template }}
{{- $spec := get $over "spec" | default dict }}
{{- $lists := dict }}
{{- range $list := list "volumes" "tolerations" "imagePullSecrets" }}
{{- with concat (get $base.spec $list | default list) (get $spec $list | default list) }}
{{- $_ := set $lists $list . }}
{{- end }}
{{- end }}
{{- $runner := index $base.spec.containers 0 }}
{{- if not $runner.env }}
{{- $runner = omit $runner "env" }}
{{- end }}
{{- $others := list }}
{{- range $container := get $spec "containers" | default list }}
{{- if eq (get $container "name") "runner" }}
{{- $added := dict }}
{{- range $list := list "env" "envFrom" "volumeMounts" }}
{{- with concat (get $runner $list | default list) (get $container $list | default list) }}
{{- $_ := set $added $list . }}
{{- end }}
{{- end }}
{{- $runner = mergeOverwrite $runner $container $added }}
{{- else }}
{{- $others = append $others $container }}
{{- end }}
{{- end }}
{{- $_ := set $lists "containers" (concat (list $runner) $others) }}
{{- $merged := mergeOverwrite $base $over }}
{{- $_ := mergeOverwrite $merged.spec $lists }}
{{- toYaml $merged }}
{{- end }}

{{/* The same without `runner.template`. */}}
{{- define "darkroom.runnerTemplateOfValues" -}}
{{- $runner := .Values.runner }}
{{- $cache := .Values.models.cache }}
metadata:
  labels:
    app.kubernetes.io/name: {{ .Chart.Name }}
    app.kubernetes.io/instance: {{ .Release.Name | quote }}
    {{- with $runner.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $runner.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "darkroom.serviceAccountName" (list . "runner") }}
  {{- with include "darkroom.runnerPriorityClass" . }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $runner.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $runner.schedulerName }}
  schedulerName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $runner.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $runner.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $runner.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $cache.enabled }}
  securityContext:
    # Don't change the owner of every file in the cache at each run.
    fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  containers:
    - name: runner
      imagePullPolicy: {{ .Values.image.runner.pullPolicy }}
      resources:
        {{- toYaml $runner.resources | nindent 8 }}
      env:
        {{- with include "darkroom.s3Credentials" (list . "runner") }}
        {{- . | trim | nindent 8 }}
        {{- end }}
        {{- if .Values.redis.existingSecret }}
        {{- include "darkroom.redisVariable" . | trim | nindent 8 }}
        {{- end }}
        {{- with .Values.hub.existingSecret }}
        - name: HF_TOKEN
          valueFrom: {secretKeyRef: {name: {{ . }}, key: HF_TOKEN}}
        {{- end }}
        {{- if $runner.c2pa.secretName }}
        - {name: DARKROOM_C2PA_CERTIFICATE, value: /etc/darkroom/c2pa/tls.crt}
        - {name: DARKROOM_C2PA_KEY, value: /etc/darkroom/c2pa/tls.key}
        {{- with $runner.c2pa.timestampUrl }}
        - {name: DARKROOM_C2PA_TIMESTAMP_URL, value: {{ . | quote }}}
        {{- end }}
        {{- end }}
        {{- with $runner.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $runner.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if $runner.sharedMemory }}
        - {name: shared-memory, mountPath: /dev/shm}
        {{- end }}
        {{- if $cache.enabled }}
        - {name: models, mountPath: {{ $cache.mountPath | trimSuffix "/" }}}
        {{- end }}
        {{- if $runner.c2pa.secretName }}
        - {name: c2pa, mountPath: /etc/darkroom/c2pa, readOnly: true}
        {{- end }}
        {{- with $runner.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if $runner.sharedMemory }}
    - name: shared-memory
      emptyDir: {medium: Memory, sizeLimit: {{ $runner.sharedMemory }}}
    {{- end }}
    {{- if $cache.enabled }}
    - name: models
      persistentVolumeClaim: {claimName: {{ include "darkroom.modelCacheClaim" . }}}
    {{- end }}
    {{- with $runner.c2pa.secretName }}
    - name: c2pa
      secret: {secretName: {{ . }}}
    {{- end }}
    {{- with $runner.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
