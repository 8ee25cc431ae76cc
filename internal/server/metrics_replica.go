package server

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// replicaMetrics say how the verifiers that follow a node fare.
type replicaMetrics struct {
	open     *prometheus.GaugeVec
	begun    *prometheus.CounterVec
	ended    *prometheus.CounterVec
	bytes    prometheus.Counter
	grants   *prometheus.CounterVec
	renewing prometheus.Gauge
}

func newReplicaMetrics() replicaMetrics {
	counter := func(name, help, label string, values ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, v := range values {
			c.WithLabelValues(v)
		}
		return c
	}
	m := replicaMetrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "postern_verifier_streams_open", Help: "Streams to verifiers outside the server, by what they follow: one workspace, or any.",
		}, []string{"scope"}),
		begun: counter("postern_verifier_streams_begun_total",
			"Streams to verifiers by how they began: with a snapshot, or resumed where the verifier was.", "with", "snapshot", "resumed"),
		ended: counter("postern_verifier_streams_ended_total",
			"Streams to verifiers by what ended them: client, also one that did not read; shutdown; stale; reload, it had to connect anew; no_right, the key lost its right.",
			"reason", "client", "shutdown", "stale", "reload", "no_right"),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_verifier_stream_bytes_total", Help: "Bytes that were sent to verifiers on their streams.",
		}),
		renewing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_verifier_renewal_calls_open", Help: "Calls that stay open, over which verifiers renew. A verifier that has none makes a call each time.",
		}),
		grants: counter("postern_verifier_grants_total",
			"Questions of verifiers for a part of the node's right to answer, by how they ended: granted, set_aside, reload, stale, or refused.",
			"outcome", "granted", "set_aside", "reload", "stale", "refused"),
	}
	m.open.WithLabelValues("workspace")
	m.open.WithLabelValues(anyWorkspace)
	return m
}

func (m replicaMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.open, m.begun, m.ended, m.bytes, m.grants, m.renewing}
}

// renewed counts a question for a sub-lease.
func (m replicaMetrics) renewed(err error) {
	outcome := "refused"
	switch {
	case err == nil:
		outcome = "granted"
	case errors.Is(err, iam.RateLimited):
		outcome = "set_aside"
	case errors.Is(err, replica.ErrTooOld) || isDiverged(err):
		outcome = "reload"
	case errors.Is(err, iam.Stale) || errors.Is(err, iam.Unavailable):
		outcome = "stale"
	}
	m.grants.WithLabelValues(outcome).Inc()
}

func isDiverged(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.Code == api.CodeDiverged
}

// childMetrics are what the verifiers of a node are, all as of one moment.
type childMetrics struct {
	children Children

	count    *prometheus.Desc
	setAside *prometheus.Desc
	blocking *prometheus.Desc
}

func newChildMetrics(c Children) *childMetrics {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &childMetrics{
		children: c,
		count:    desc("postern_verifiers", "Verifiers outside the server that follow this node."),
		setAside: desc("postern_verifiers_set_aside", "Of them, those that get no grant: they let one run out on a change."),
		blocking: desc("postern_verifiers_blocking_seconds", "For how long, at most, the change that waits for verifiers can go on waiting for them."),
	}
}

// Describe implements [prometheus.Collector].
func (m *childMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.count, m.setAside, m.blocking} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *childMetrics) Collect(to chan<- prometheus.Metric) {
	sum := m.children.Sum()
	to <- prometheus.MustNewConstMetric(m.count, prometheus.GaugeValue, float64(sum.Count))
	to <- prometheus.MustNewConstMetric(m.setAside, prometheus.GaugeValue, float64(sum.SetAside))
	to <- prometheus.MustNewConstMetric(m.blocking, prometheus.GaugeValue, sum.Blocking.Seconds())
}
