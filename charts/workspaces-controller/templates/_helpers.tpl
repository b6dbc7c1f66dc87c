{{/* Names are fixed: the API server, cert-manager and the documentation refer to them. */}}

{{/* The name of Deployment and account. Beside the Go controller, which has the first, another one. */}}
{{- define "workspaces-controller.name" -}}
{{- if .Values.settings.onlyRoutes }}workspaces-route-controller{{ else if .Values.settings.namespaceSelector }}workspaces-namespace-controller{{ else }}workspaces-controller{{ end -}}
{{- end }}

{{/* The name of ClusterRole and ClusterRoleBinding without its last word. */}}
{{- define "workspaces-controller.roleName" -}}
{{- if include "workspaces-controller.isBeside" . }}{{ include "workspaces-controller.name" . }}{{ else }}workspaces-manager{{ end -}}
{{- end }}

{{/* Whether the Go controller does a part of the work, and has CRDs and webhooks: "true" or nothing. */}}
{{- define "workspaces-controller.isBeside" -}}
{{- if or .Values.settings.onlyRoutes .Values.settings.namespaceSelector }}true{{ end -}}
{{- end }}

{{/* Whether webhooks are served: "true" or nothing. */}}
{{- define "workspaces-controller.servesWebhooks" -}}
{{- if and .Values.settings.enableWebhooks (not (include "workspaces-controller.isBeside" .)) }}true{{ end -}}
{{- end }}

{{/* All that the Go controller's Deployment selects by: a selector cannot be changed, so only with the same one can it be replaced. */}}
{{- define "workspaces-controller.selectorLabels" -}}
app: {{ include "workspaces-controller.name" . }}
app.kubernetes.io/name: {{ include "workspaces-controller.name" . }}
app.kubernetes.io/part-of: kubeflow-workspaces
app.kubernetes.io/component: controller-manager
{{- end }}

{{- define "workspaces-controller.labels" -}}
{{ include "workspaces-controller.selectorLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The annotations of an object that `helm uninstall` keeps if it is told to. Takes the value that says so. */}}
{{- define "workspaces-controller.keep" -}}
{{- if . -}}
annotations:
  helm.sh/resource-policy: keep
{{- end -}}
{{- end }}

{{- define "workspaces-controller.image" -}}
{{- $image := .Values.image -}}
{{- with .Values.global.imageRegistry | default $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* The pull secrets of this chart and those that a parent chart shares, each as the name or as an object with the name. */}}
{{- define "workspaces-controller.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat .Values.imagePullSecrets (.Values.global.imagePullSecrets | default list) -}}
{{- if kindIs "map" . }}{{ $names = append $names .name }}{{ else }}{{ $names = append $names . }}{{ end -}}
{{- end -}}
{{- range uniq $names }}
- name: {{ . }}
{{- end -}}
{{- end }}

{{/* Whether anything is served over TLS: "true" or nothing. */}}
{{- define "workspaces-controller.needsCertificate" -}}
{{- if or (include "workspaces-controller.servesWebhooks" .) (and .Values.settings.metricsSecure .Values.ports.metrics) (include "workspaces-controller.statusIsPublic" .) }}true{{ end -}}
{{- end }}

{{/* Whether others than the pod itself can connect to the status page: "true" or nothing. */}}
{{- define "workspaces-controller.statusIsPublic" -}}
{{- if not (regexMatch "^(0$|127[.]|localhost:|\\[::1\\]:)" (toString .Values.settings.statusBindAddress)) }}true{{ end -}}
{{- end }}

{{/* Whether the API server is asked about bearer tokens: "true" or nothing. */}}
{{- define "workspaces-controller.reviewsTokens" -}}
{{- if or (and .Values.settings.metricsRequireAuthentication .Values.ports.metrics) (include "workspaces-controller.statusIsPublic" .) }}true{{ end -}}
{{- end }}

{{/* Whether cert-manager issues the certificate: "true" or nothing. */}}
{{- define "workspaces-controller.certManager" -}}
{{- if and (include "workspaces-controller.needsCertificate" .) (eq .Values.certificate.mode "certManager") }}true{{ end -}}
{{- end }}

{{/* Whether the controller makes the certificate itself: "true" or nothing. */}}
{{- define "workspaces-controller.selfManaged" -}}
{{- if and (include "workspaces-controller.needsCertificate" .) (eq .Values.certificate.mode "selfManaged") }}true{{ end -}}
{{- end }}

{{/* The Secret with the certificate. */}}
{{- define "workspaces-controller.certificateSecret" -}}
{{- if eq .Values.certificate.mode "selfManaged" }}{{ .Values.certificate.selfManaged.secretName }}{{ else }}{{ .Values.certificate.secretName }}{{ end -}}
{{- end }}

{{/* The DNS names at which the API server calls the webhook. */}}
{{- define "workspaces-controller.webhookHost" -}}
{{- (urlParse .Values.webhook.url).hostname -}}
{{- end }}

{{/* The CA bundle as base64 of PEM, whether PEM or base64 was given. */}}
{{- define "workspaces-controller.caBundle" -}}
{{- $bundle := trim .Values.webhook.caBundle -}}
{{- if hasPrefix "-----BEGIN" $bundle -}}
{{ printf "%s\n" $bundle | b64enc }}
{{- else -}}
{{ $bundle | replace "\n" "" }}
{{- end -}}
{{- end }}

{{/* The client configuration for one path of the webhook. Takes {root, path}. */}}
{{- define "workspaces-controller.clientConfig" -}}
{{- with .root.Values.webhook.url -}}
url: {{ printf "%s%s" (trimSuffix "/" .) $.path }}
{{- else -}}
service:
  name: workspaces-webhook-service
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: 443
{{- end }}
{{- with include "workspaces-controller.caBundle" .root }}
caBundle: {{ . }}
{{- end }}
{{- end }}

{{/* How the metrics are scraped, of either kind of monitor. Takes {root, monitor}. */}}
{{- define "workspaces-controller.metricsEndpoint" -}}
{{- $monitor := .monitor -}}
{{- $settings := .root.Values.settings -}}
port: metrics
path: /metrics
scheme: {{ $settings.metricsSecure | ternary "https" "http" }}
{{- with $monitor.interval }}
interval: {{ . }}
{{- end }}
{{- with $monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- if $settings.metricsSecure }}
tlsConfig:
  {{- with .root.Values.monitoring.caKey }}
  serverName: workspaces-webhook-service.{{ $.root.Release.Namespace }}.svc
  ca:
    secret:
      name: {{ include "workspaces-controller.certificateSecret" $.root }}
      key: {{ . }}
  {{- else }}
  insecureSkipVerify: true
  {{- end }}
{{- end }}
{{- with .root.Values.monitoring.tokenSecret }}
{{- if .name }}
authorization:
  type: Bearer
  credentials:
    name: {{ .name }}
    key: {{ .key }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether a leader is elected: "true" or nothing. */}}
{{- define "workspaces-controller.electsLeader" -}}
{{- if and .Values.settings.leaderElect .Values.settings.enableReconcile }}true{{ end -}}
{{- end }}

{{/* The Lease of the leader: the first is that of the Go controller, too. */}}
{{- define "workspaces-controller.lease" -}}
{{- if include "workspaces-controller.isBeside" . }}{{ include "workspaces-controller.name" . }}{{ else }}kubeflow-workspace-controller{{ end -}}
{{- end }}

{{/* Checks of values that depend on each other, which the schema cannot express. */}}
{{- define "workspaces-controller.checkValues" -}}
{{- $kubernetes := .Capabilities.KubeVersion.Version -}}
{{- /* Not kubeVersion in Chart.yaml: a helm built without its release flags assumes v1.20.0 for `helm template`. */ -}}
{{- if and (semverCompare "<1.31.0-0" $kubernetes) (ne $kubernetes "v1.20.0") -}}
{{- fail (printf "Kubernetes %s is too old: 1.31 is required, for selectable fields of custom resources and match conditions of webhooks" $kubernetes) -}}
{{- end -}}
{{- $settings := .Values.settings -}}
{{- if not (or $settings.enableReconcile $settings.enableWebhooks) -}}
{{- fail "settings.enableReconcile and settings.enableWebhooks are both false: there is nothing to run" -}}
{{- end -}}
{{- if and $settings.onlyRoutes (not (and $settings.enableReconcile $settings.useIstio)) -}}
{{- fail "settings.onlyRoutes makes nothing but routes: there is nothing to run with settings.enableReconcile=false or settings.useIstio=false" -}}
{{- end -}}
{{- if and $settings.namespaceSelector (not $settings.enableReconcile) -}}
{{- fail "settings.namespaceSelector is about what is reconciled: there is nothing to run with settings.enableReconcile=false" -}}
{{- end -}}
{{- if and $settings.takeOverRoutes (not $settings.onlyRoutes) -}}
{{- fail "settings.takeOverRoutes has no effect without settings.onlyRoutes=true" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) $settings.enableReconcile (not $settings.leaderElect) -}}
{{- fail (printf "replicas is %v: more than one requires settings.leaderElect=true, or all of them reconcile" .Values.replicas) -}}
{{- end -}}
{{- if and (include "workspaces-controller.servesWebhooks" .) (eq .Values.certificate.mode "existingSecret") (not .Values.webhook.caBundle) (not .Values.webhook.annotations) -}}
{{- fail (printf "certificate.mode is existingSecret: give the CA of the Secret %s (--set-file webhook.caBundle=ca.crt), or the annotations of a CA injector in webhook.annotations" .Values.certificate.secretName) -}}
{{- end -}}
{{- if and (eq .Values.certificate.mode "certManager") .Values.webhook.caBundle -}}
{{- fail "webhook.caBundle is for certificate.mode=existingSecret: with certManager, cert-manager writes the CA" -}}
{{- end -}}
{{- if and (eq .Values.certificate.mode "selfManaged") .Values.webhook.caBundle -}}
{{- fail "webhook.caBundle is for certificate.mode=existingSecret: with selfManaged, the controller writes the CA" -}}
{{- end -}}
{{- if eq .Values.certificate.mode "selfManaged" -}}
{{- range $annotation := list "cert-manager.io/inject-ca-from" "cert-manager.io/inject-ca-from-secret" "cert-manager.io/inject-apiserver-ca" "service.beta.openshift.io/inject-cabundle" -}}
{{- if hasKey $.Values.webhook.annotations $annotation -}}
{{- fail (printf "webhook.annotations: with certificate.mode=selfManaged the controller writes the CA, and %s lets another program do so" $annotation) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $settings.redirectScheme (not $settings.redirectMissingSlash) -}}
{{- fail "settings.redirectScheme has no effect without settings.redirectMissingSlash=true" -}}
{{- end -}}
{{- $monitoring := .Values.monitoring -}}
{{- if and (or $monitoring.serviceMonitor.enabled $monitoring.podMonitor.enabled) (not .Values.ports.metrics) -}}
{{- fail "monitoring: there is nothing to scrape with ports.metrics=0" -}}
{{- end -}}
{{- if and $monitoring.serviceMonitor.enabled $monitoring.podMonitor.enabled -}}
{{- fail "monitoring.serviceMonitor and monitoring.podMonitor are both enabled: everything would be counted twice" -}}
{{- end -}}
{{- if and $settings.metricsRequireAuthentication .Values.ports.metrics (not $settings.metricsSecure) -}}
{{- fail "settings.metricsRequireAuthentication requires settings.metricsSecure=true: bearer tokens must not travel in clear" -}}
{{- end -}}
{{- if and $settings.metricsRequireAuthentication (or $monitoring.serviceMonitor.enabled $monitoring.podMonitor.enabled) (not $monitoring.tokenSecret.name) -}}
{{- fail "settings.metricsRequireAuthentication: name the Secret with the bearer token of Prometheus in monitoring.tokenSecret.name" -}}
{{- end -}}
{{- if and .Values.hostNetwork .Values.networkPolicy.enabled -}}
{{- fail "networkPolicy has no effect with hostNetwork=true: network plugins leave the network of the node alone" -}}
{{- end -}}
{{- if and .Values.hostNetwork (eq (int .Values.ports.webhook) 10250) -}}
{{- fail "ports.webhook is 10250, which with hostNetwork=true the kubelet has" -}}
{{- end -}}
{{- $status := $settings.statusBindAddress | toString | splitList ":" | last | int -}}
{{- $ports := without (list (int .Values.ports.webhook) (int .Values.ports.health) (int .Values.ports.metrics) $status) 0 -}}
{{- if ne (len $ports) (len (uniq $ports)) -}}
{{- fail "ports.webhook, ports.health, ports.metrics and the port of settings.statusBindAddress must differ" -}}
{{- end -}}
{{- end }}

{{/* Whether there is something for `helm test`: "true" or nothing. Beside the Go controller, that one serves the webhook. */}}
{{- define "workspaces-controller.runsCheck" -}}
{{- if and .Values.check.enabled (include "workspaces-controller.servesWebhooks" .) }}true{{ end -}}
{{- end }}

{{/* Not those of the controller: the Service of the webhook selects by them. */}}
{{- define "workspaces-controller.checkLabels" -}}
app.kubernetes.io/name: workspaces-controller-check
app.kubernetes.io/part-of: kubeflow-workspaces
app.kubernetes.io/component: check
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* Labels of the pod that runs the check: without a sidecar, like the controller, or it would never end. */}}
{{- define "workspaces-controller.checkPodLabels" -}}
{{ include "workspaces-controller.checkLabels" . }}
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels and annotations of what is there only while helm runs the check. Takes {root, events, weight, isPod}. */}}
{{- define "workspaces-controller.hookMetadata" -}}
labels:
  {{- include (ternary "workspaces-controller.checkPodLabels" "workspaces-controller.checkLabels" (default false .isPod)) .root | nindent 2 }}
annotations:
  helm.sh/hook: {{ .events }}
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  {{- if .prints }}
  # helm 3.18 and newer show what it printed; --logs would look for logs of the account, too.
  helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
  {{- end }}
{{- end }}

{{/* The pod that runs the check. */}}
{{- define "workspaces-controller.checkPod" -}}
{{- $settings := .Values.settings -}}
serviceAccountName: workspaces-controller-check
automountServiceAccountToken: true
enableServiceLinks: false
restartPolicy: Never
{{- with include "workspaces-controller.imagePullSecrets" . }}
imagePullSecrets:
  {{- . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- with .Values.runAsGroup }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: check
    image: {{ include "workspaces-controller.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: ["/manager"]
    args:
      - check
      - --namespace={{ .Release.Namespace }}
      - --wait={{ int .Values.check.waitSeconds }}s
      - --fail-on={{ .Values.check.failOn }}
      - --use-istio={{ $settings.useIstio }}
      {{- range $settings.istioGateway }}
      - --istio-gateway={{ . }}
      {{- end }}
      - --port-dialects={{ join "," $settings.portDialects }}
      - --leader-elect={{ and $settings.leaderElect $settings.enableReconcile }}
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      capabilities:
        drop: ["ALL"]
      privileged: false
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      seccompProfile:
        type: RuntimeDefault
    terminationMessagePolicy: FallbackToLogsOnError
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
