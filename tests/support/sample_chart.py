"""A chart of nothing but one object of every kind that a chart of ours has. For the tests of Helm against API servers.

`GROUP` stands for an API group that the test makes up: definitions belong to the whole cluster.
"""

import textwrap
from pathlib import Path

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: PLURAL.GROUP
  annotations: {helm.sh/resource-policy: keep}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: PLURAL, kind: KIND}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer, maximum: 10}}}}
"""
GADGETS = DEFINITION.replace("PLURAL", "gadgets").replace("KIND", "Gadget")
WIDGETS = DEFINITION.replace("PLURAL", "widgets").replace("KIND", "Widget")

BASICS = """
{{- $before := lookup "v1" "Secret" .Release.Namespace .Release.Name }}
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
data:
  key: {{ if $before }}{{ $before.data.key }}{{ else }}{{ randAlphaNum 20 | b64enc }}{{ end }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data:
  level: {{ .Values.level }}
  {{- if .Values.extra }}
  extra: "yes"
  {{- end }}
  gadgets: {{ .Capabilities.APIVersions.Has "GROUP/v1/Gadget" | quote }}
  routes: {{ .Capabilities.APIVersions.Has "routes.GROUP/v1" | quote }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: 0
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      containers:
        - name: main
          image: registry.invalid/sample:1
          ports: [{name: http, containerPort: 8000}, {name: metrics, containerPort: 9090}]
          env:
            - {name: LEVEL, value: {{ .Values.level }}}
            {{- if .Values.extra }}
            - {name: EXTRA, value: "yes"}
            {{- end }}
{{- if .Values.size }}
---
apiVersion: GROUP/v1
kind: Gadget
metadata: {name: {{ .Release.Name }}}
spec: {size: {{ .Values.size }}}
{{- end }}
"""

EVERYTHING = """
{{- if .Values.everything }}
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Release.Name }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: {{ .Release.Name }}}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: {{ .Release.Name }}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .Release.Name }}}
subjects: [{kind: ServiceAccount, name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: {{ .Release.Name }}}
rules: [{apiGroups: [GROUP], resources: [widgets], verbs: [get]}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: {{ .Release.Name }}, annotations: {helm.sh/resource-policy: keep}}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{name: http, port: 80, targetPort: http}, {name: metrics, port: 9090}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: {{ .Release.Name }}}
spec:
  rules:
    - host: {{ .Release.Name }}.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: {{ .Release.Name }}, port: {name: http}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: {{ .Release.Name }}}
spec: {podSelector: {matchLabels: {app: {{ .Release.Name }}}}, policyTypes: [Ingress]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: {{ .Release.Name }}}
spec: {minAvailable: 1, selector: {matchLabels: {app: {{ .Release.Name }}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: {{ .Release.Name }}}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .Release.Name }}}
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: {{ .Release.Name }}}
value: 5
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: {{ .Release.Name }}}
spec:
  hard: {pods: 1}
  scopeSelector:
    matchExpressions: [{scopeName: PriorityClass, operator: In, values: [{{ .Release.Name }}]}]
---
WIDGETS
{{- end }}
"""

HOOKS = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-before
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
data: {revision: {{ .Release.Revision | quote }}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  containers: [{name: test, image: registry.invalid/sample:1, command: [check, {{ .Release.Name }}]}]
"""

FILES = {
    "Chart.yaml": "{apiVersion: v2, name: sample, version: 0.1.0}",
    "values.yaml": "{level: info, extra: false, everything: false, size: 0}",
    "crds/gadgets.yaml": GADGETS,
    "templates/basics.yaml": BASICS,
    "templates/everything.yaml": EVERYTHING.replace("WIDGETS", WIDGETS.strip()),
    "templates/hooks.yaml": HOOKS,
}


def write_chart(folder: Path, group: str) -> Path:
    """The chart, whose custom kinds are of this API group."""
    for name, text in FILES.items():
        path = folder / "sample" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).strip().replace("GROUP", group) + "\n")
    return folder / "sample"
