// Pins the Prometheus operator, whose CRDs the objects of the chart are checked against.
module tools/prometheusoperator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
