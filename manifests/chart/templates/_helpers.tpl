{{/* Labels of every object: those of the kustomization. Helm adds its own when it installs. */}}
{{- define "injector.labels" -}}
app.kubernetes.io/part-of: ado-agent-injector
{{- end }}

{{/* An image of values.images: REPOSITORY:TAG, @DIGEST behind it where one is given. */}}
{{- define "injector.image" -}}
{{- $image := index .root.Values.images .name -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* A setting's value as text; YAML's numbers are floats to Helm, which would write large ones with an exponent. */}}
{{- define "injector.text" -}}
{{- if or (kindIs "float64" .) (kindIs "int" .) (kindIs "int64" .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{/* Data of the webhook's ConfigMap: gracePeriod becomes ADO_AGENT_WEBHOOK_GRACE_PERIOD. */}}
{{- define "injector.settings" -}}
ADO_AGENT_WEBHOOK_SIDECAR_IMAGE: {{ include "injector.image" (dict "root" . "name" "sidecar") | quote }}
{{- range $name, $value := .Values.settings }}
ADO_AGENT_WEBHOOK_{{ $name | snakecase | upper }}: {{ include "injector.text" $value | quote }}
{{- end }}
{{- end }}

{{/* Data of the ConfigMap of `ado-agent keep`. */}}
{{- define "injector.keep" -}}
{{- with .Values.keep -}}
ADO_AGENT_KEEP_URL: {{ .url | quote }}
ADO_AGENT_KEEP_POOLS: {{ .pools | quote }}
ADO_AGENT_KEEP_NAMESPACES: {{ .namespaces | quote }}
ADO_AGENT_KEEP_NEVER_REMOVE: {{ .neverRemove | quote }}
AZURE_CLIENT_ID: {{ .clientId | quote }}
AZURE_TENANT_ID: {{ .tenantId | quote }}
{{- end }}
{{- if ne .Release.Namespace "ado-agent-system" }}
ADO_AGENT_KEEP_LEDGER_NAMESPACE: {{ .Release.Namespace }}
{{- end }}
{{- end }}

{{/* Namespaces that the webhook and the policies leave alone. */}}
{{- define "injector.excluded" -}}
[kube-system, kube-node-lease, {{ .Release.Namespace }}]
{{- end }}

{{/* The pods that ask and the namespaces that opted in. */}}
{{- define "injector.selectors" -}}
namespaceSelector:
  matchExpressions:
    - key: ado-agent.dev/inject
      operator: In
      values: ["true"]
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ include "injector.excluded" . }}
    - key: control-plane
      operator: DoesNotExist
    - key: kubernetes.azure.com/managedby
      operator: NotIn
      values: [aks]
{{ include "injector.objectSelector" . }}
{{- end }}

{{- define "injector.objectSelector" -}}
objectSelector:
  matchExpressions:
    # Any other value than "true" and "false" reaches the webhook, which denies it: a typing error is never silent.
    - key: ado-agent.dev/inject
      operator: Exists
    - key: ado-agent.dev/inject
      operator: NotIn
      values: ["false"]
{{- end }}
