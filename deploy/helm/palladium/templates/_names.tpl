{{- define "palladium.name" -}}
{{- printf "%s-%s" .Release.Name "palladium" | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- define "palladium.selector" -}}
app.kubernetes.io/name: palladium
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "palladium.config" -}}
{{- $over := dict
  "measuring_key" "/etc/palladium/secrets/measuring.key"
  "gateway" (dict "listen" "0.0.0.0:8080" "admin" (dict "listen" "0.0.0.0:9090" "token_file" "/etc/palladium/secrets/admin_token"))
  "api" (dict "listen" "0.0.0.0:8090" "origin" .Values.origin) -}}
{{- toYaml (mustMergeOverwrite (deepCopy .Values.config) $over) -}}
{{- end -}}
