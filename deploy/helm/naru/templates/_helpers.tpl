{{- define "naru.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "naru.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "naru.labels" -}}
{{ include "naru.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "naru.secret" -}}
{{ default (include "naru.name" .) .Values.existingSecret }}
{{- end }}

{{- define "naru.account" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "naru.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end -}}
{{- end }}

{{- define "naru.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end -}}
{{- end }}

{{/* What no schema can say. */}}
{{- define "naru.check" -}}
{{- if eq .Values.mode "single" }}
{{- if or .Values.autoscaling.enabled .Values.database.url .Values.blobStore.url }}
{{- fail "mode single is one pod with SQLite and a folder: autoscaling, database.url and blobStore.url belong to mode cluster" }}
{{- end }}
{{- else }}
{{- if not .Values.blobStore.url }}{{ fail "mode cluster needs blobStore.url, such as s3://bucket/prefix?region=eu-central-1" }}{{ end }}
{{- if not (or .Values.database.url .Values.existingSecret) }}{{ fail "mode cluster needs database.url, or an existingSecret with the key database-url" }}{{ end }}
{{- end }}
{{- if and .Values.ingress.enabled (not (or .Values.ingress.host .Values.externalUrl)) }}{{ fail "ingress needs a host: set externalUrl or ingress.host" }}{{ end }}
{{- if and (not .Values.externalUrl) (not (hasKey .Values.config "insecure_http")) (not (hasKey .Values.config "tls_certificate")) }}
{{- fail "set externalUrl to the https address that clients use (config.insecure_http=true allows plain HTTP)" }}
{{- end }}
{{- end }}
