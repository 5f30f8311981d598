{{/* What all pods have in common: deploy/kustomize/base/pods says the same (a test compares). */}}
{{- define "sophia.pod" -}}
enableServiceLinks: false
tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 10}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 10}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "sophia.container" -}}
imagePullPolicy: IfNotPresent
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "sophia.identity" -}}
- {name: SERVICE, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app.kubernetes.io/name']"}}}
- {name: INSTANCE, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: REGION, valueFrom: {fieldRef: {fieldPath: "metadata.labels['topology.kubernetes.io/region']"}}}
- {name: RELEASE, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app.kubernetes.io/version']"}}}
- {name: HOST, value: 0.0.0.0}
{{- end }}

{{- define "sophia.outside" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions: [{key: topology.kubernetes.io/region, operator: DoesNotExist}]
{{- end }}

{{/* The ConfigMaps, by name; a changed one has another name, so that its pods are rolled. */}}
{{- define "sophia.maps" -}}
{{- $files := .Files -}}
{{- $maps := dict
  "edge" (dict "common.cfg" ($files.Get "edge/common.cfg") "haproxy.cfg" ($files.Get "base/outside/haproxy.cfg"))
  "prometheus" (dict "prometheus.yaml" ($files.Get "monitoring/prometheus.yaml") "alerts.yaml" ($files.Get "monitoring/alerts.yaml") "alertmanagers.json" ($files.Get "base/outside/alertmanagers.json"))
  "alertmanager" (dict "alertmanager.yaml" ($files.Get "monitoring/alertmanager.yaml"))
  "topology" (dict "topology.json" ($files.Get "base/outside/topology.json")) -}}
{{- toJson $maps -}}
{{- end }}

{{- define "sophia.map" -}}
{{- $maps := include "sophia.maps" .root | fromJson -}}
{{ .name }}-{{ get $maps .name | toJson | sha256sum | trunc 10 }}
{{- end }}

{{/* The objects of base files. dict root, pattern, region. */}}
{{- define "sophia.files" -}}
{{- $root := .root -}}{{- $region := .region -}}
{{- range $path, $_ := $root.Files.Glob .pattern -}}
  {{- if ne (base $path) "kustomization.yaml" -}}
    {{- range splitList "\n---\n" ($root.Files.Get $path) -}}
      {{- include "sophia.object" (dict "root" $root "object" (fromYaml .) "region" $region) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* One object of a base file: named, labelled and placed. dict root, object, region. */}}
{{- define "sophia.object" -}}
{{- $root := .root -}}{{- $object := .object -}}{{- $region := .region -}}
{{- $where := dict -}}{{- if $region }}{{ $where = dict "topology.kubernetes.io/region" $region }}{{ end -}}
{{- $meta := $object.metadata -}}
{{- $service := $meta.name -}}
{{- if $region }}{{ $_ := set $meta "name" (printf "%s-%s" $service $region) }}{{ end -}}
{{- $_ := set $meta "namespace" $root.Release.Namespace -}}
{{- $common := dict "app.kubernetes.io/part-of" "sophia" "app.kubernetes.io/version" $root.Values.global.imageTag -}}
{{- $_ := set $meta "labels" (merge (dict) (default dict $meta.labels) $where $common) -}}
{{- if eq $object.kind "Service" -}}
  {{- $_ := set $object.spec "selector" (merge $object.spec.selector $where) -}}
  {{- with get $root.Values.nodePorts $meta.name -}}
    {{- $_ := set $object.spec "type" "NodePort" -}}
    {{- $_ := set (first $object.spec.ports) "nodePort" (int .) -}}
  {{- end -}}
{{- else if eq $object.kind "PodDisruptionBudget" -}}
  {{- $_ := set $object.spec.selector "matchLabels" (merge $object.spec.selector.matchLabels $where) -}}
{{- else if eq $object.kind "PersistentVolumeClaim" -}}
  {{- if and (eq $meta.name "weaviate-backups") $root.Values.sharedStorageClass -}}
    {{- $_ := set $object.spec "storageClassName" $root.Values.sharedStorageClass -}}
  {{- end -}}
{{- else if eq $object.kind "RoleBinding" -}}
  {{- range $object.subjects }}{{ $_ := set . "namespace" $root.Release.Namespace }}{{ end -}}
{{- else if has $object.kind (list "Deployment" "StatefulSet") -}}
  {{- include "sophia.workload" (dict "root" $root "object" $object "region" $region "where" $where "common" $common "service" $service) -}}
{{- end -}}
---
{{ toYaml $object }}
{{ end }}

{{- define "sophia.workload" -}}
{{- $root := .root -}}{{- $object := .object -}}{{- $region := .region -}}{{- $where := .where -}}{{- $service := .service -}}
{{- $spec := $object.spec -}}
{{- $pod := $spec.template.spec -}}
{{- $_ := set $spec.selector "matchLabels" (merge $spec.selector.matchLabels $where) -}}
{{- $_ := set $spec.template.metadata "labels" (merge $spec.template.metadata.labels $where .common) -}}
{{- if $region -}}
  {{- $_ := set $pod "nodeSelector" $where -}}
  {{- with get (get $root.Values.regions $region | default dict) $service }}{{ $_ := set $spec "replicas" (int .) }}{{ end -}}
  {{- if $spec.serviceName }}{{ $_ := set $spec "serviceName" (printf "%s-%s" $spec.serviceName $region) }}{{ end -}}
  {{- range $spec.volumeClaimTemplates }}{{ $_ := set .metadata "labels" $where }}{{ end -}}
  {{- range $pod.topologySpreadConstraints }}{{ $_ := set .labelSelector "matchLabels" (merge .labelSelector.matchLabels $where) }}{{ end -}}
{{- else -}}
  {{- $_ := set $pod "affinity" (include "sophia.outside" . | fromYaml) -}}
{{- end -}}
{{- $_ := merge $pod (include "sophia.pod" . | fromYaml) -}}
{{- if ne $service "prometheus" -}}
  {{- $_ := merge $pod (dict "serviceAccountName" "sophia" "automountServiceAccountToken" false) -}}
{{- end -}}
{{- range $pod.containers -}}
  {{- $tag := ternary $root.Values.global.weaviateTag $root.Values.global.imageTag (hasSuffix "/weaviate" .image) -}}
  {{- $_ := set . "image" (printf "%s/%s:%s" $root.Values.global.imageRegistry (base .image) $tag) -}}
{{- end -}}
{{- $first := first $pod.containers -}}
{{- $_ := merge $first (include "sophia.container" . | fromYaml) -}}
{{- if eq $object.kind "Deployment" -}}
  {{- $_ := set $first "lifecycle" (dict "preStop" (dict "sleep" (dict "seconds" 8))) -}}
  {{- $_ := set $pod "terminationGracePeriodSeconds" 15 -}}
{{- end -}}
{{- if not (has $service (list "weaviate" "edge" "alertmanager" "prometheus")) -}}
  {{- $_ := set $first "env" (concat (include "sophia.identity" . | fromYamlArray) $first.env) -}}
{{- end -}}
{{- range $pod.volumes -}}
  {{- if .configMap }}{{ $_ := set .configMap "name" (include "sophia.map" (dict "root" $root "name" .configMap.name)) }}{{ end -}}
{{- end -}}
{{- end }}
