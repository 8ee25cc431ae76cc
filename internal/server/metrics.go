package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Metrics counts what a process does, for Prometheus. It is safe for concurrent
// use. No label ever holds what a client made up.
type Metrics struct {
	registry *prometheus.Registry

	verified   [replica.Stale + 1]prometheus.Counter // by code, bound up front: looking a label up costs more than counting
	verifyTook prometheus.Histogram
	requests   *prometheus.CounterVec
	counters   sync.Map // of requests, by routeStatus: finding one by its labels takes longer
	limited    prometheus.Counter
	urlSecrets prometheus.Counter
	store      *prometheus.HistogramVec
	fence      *prometheus.HistogramVec
	rotations  *prometheus.CounterVec
	sso        *prometheus.CounterVec
	gateway    *prometheus.CounterVec
	signIns    *prometheus.CounterVec
	streams    streamMetrics
	replicas   replicaMetrics
}

// NewMetrics returns metrics that count from zero. One process has one.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		verifyTook: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postern_verify_duration_seconds", Help: "How long a call of /v1/verify took, from its body to its answer.",
			Buckets: prometheus.ExponentialBuckets(1e-6, 2, 18), // 1 µs to 131 ms, which is near the longest wait
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_http_requests_total", Help: "Requests by route and status.",
		}, []string{"route", "status"}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_http_rate_limited_total", Help: "Requests that were refused because there were too many.",
		}),
		urlSecrets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postern_http_secrets_in_url_total", Help: "Requests that were refused because their address held a secret.",
		}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_store_duration_seconds", Help: "How long an operation of the store took, by how it ended.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18), // 50 µs to 6.5 s
		}, []string{"operation", "outcome"}),
		fence: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "postern_fence_wait_duration_seconds",
			Help:    "For how long changes waited until no node answers from before them, by what that rests on.",
			Buckets: prometheus.ExponentialBuckets(250e-6, 2, 20), // 250 µs to 131 s; a caller may wait 90 s
		}, []string{"outcome"}),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_rotation_steps_total",
			Help: "What this node did to rotations by itself, by the action in the audit log, and failed: looks at them that are made again.",
		}, []string{"action"}),
		sso: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_sso_total",
			Help: "Attempts at single sign-on by how they ended: let_in, refused, or failed when the provider or the store could not be asked.",
		}, []string{"outcome"}),
	}
	m.gateway = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_gateway_answers_total",
		Help: "Answers to proxies by protocol, http or grpc, and the status that they were told. A 500 is a proxy whose configuration makes no sense.",
	}, []string{"protocol", "status"})
	for _, protocol := range []string{"http", "grpc"} {
		for _, status := range []string{"200", "401", "403", "500", "503"} {
			m.gateway.WithLabelValues(protocol, status)
		}
	}
	m.streams, m.replicas = newStreamMetrics(), newReplicaMetrics()
	m.signIns = newSignInMetric()
	for _, outcome := range []string{"let_in", "refused", "failed"} {
		m.sso.WithLabelValues(outcome)
	}
	verified := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_verifications_total", Help: "Verifications by how they ended.",
	}, []string{"code"})
	for code := replica.Valid; code <= replica.Stale; code++ {
		m.verified[code] = verified.WithLabelValues(code.String())
	}
	m.registry.MustRegister(verified, m.verifyTook, m.requests, m.limited, m.urlSecrets, m.store, m.fence, m.rotations, m.sso, m.gateway, m.signIns,
		m.streams.open, m.streams.events, m.streams.ended,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(m.replicas.collectors()...)
	return m
}

// ObserveStore notes how long an operation of the store took. It is what the
// store's own option asks for.
func (m *Metrics) ObserveStore(op string, took time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.store.WithLabelValues(op, outcome).Observe(took.Seconds())
}

// ObserveGateway notes how a proxy was answered, and the code of the verdict that
// the answer rests on; 0: there was none.
func (m *Metrics) ObserveGateway(protocol string, status int, code replica.Code) {
	if code != 0 {
		m.verified[code].Inc()
	}
	m.gateway.WithLabelValues(protocol, strconv.Itoa(status)).Inc()
}

// ObserveWait notes for how long the caller of a change waited for its
// confirmation, and how that ended. It is what [iam.Service.Waited] asks for.
func (m *Metrics) ObserveWait(outcome string, took time.Duration) {
	m.fence.WithLabelValues(outcome).Observe(took.Seconds())
}

// ObserveRotation notes what was done to a rotation that nobody asked for. It is what
// [iam.Service.Advanced] asks for.
func (m *Metrics) ObserveRotation(action string) { m.rotations.WithLabelValues(action).Inc() }

// ObserveFailedLook notes that the rotations that are open could not be looked at.
func (m *Metrics) ObserveFailedLook() { m.rotations.WithLabelValues("failed").Inc() }

// watch adds what can be read off a replica, its door and, unless they are nil, who
// counts uses and who follows the replica, at any time.
func (m *Metrics) watch(r *replica.Replica, d Door, u Usage, c Children) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	for _, c := range []prometheus.Collector{
		gauge("postern_replica_keys", "Keys and sessions in memory, those that ended included.", func() float64 {
			keys, _ := r.Size()
			return float64(keys)
		}),
		gauge("postern_replica_principals", "Members and service accounts in memory, those that ended included.", func() float64 {
			_, principals := r.Size()
			return float64(principals)
		}),
		gauge("postern_replica_revision", "The last change that was applied.", func() float64 { return float64(r.Position().Seq) }),
		gauge("postern_replica_lag_seconds", "For how long there may have been changes that this node does not know.", func() float64 {
			return r.Lag().Seconds()
		}),
		gauge("postern_replica_stale", "1 while this node does not answer verifications.", func() float64 {
			if d.Ready() != nil {
				return 1
			}
			return 0
		}),
		newNodeMetrics(d),
	} {
		if err := m.registry.Register(c); err != nil {
			return fmt.Errorf("register the replica's metrics: %w", err)
		}
	}
	if c != nil {
		if err := m.registry.Register(newChildMetrics(c)); err != nil {
			return fmt.Errorf("register the metrics of verifiers: %w", err)
		}
	}
	if u == nil {
		return nil
	}
	if err := m.registry.Register(newUsageMetrics(u)); err != nil {
		return fmt.Errorf("register the metrics of usage: %w", err)
	}
	return nil
}

// handler writes the metrics in the text form of Prometheus.
func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{DisableCompression: true})
}

// countRequest counts a request by its route's pattern, which is ours.
func (m *Metrics) countRequest(route string, status int) {
	key := routeStatus{route, status}
	if counter, known := m.counters.Load(key); known {
		counter.(prometheus.Counter).Inc()
		return
	}
	counter := m.requests.WithLabelValues(route, strconv.Itoa(status))
	m.counters.Store(key, counter)
	counter.Inc()
}

// routeStatus is what requests are counted by.
type routeStatus struct {
	route  string
	status int
}

// MetricsHandler returns the metrics for a listener of their own, where whoever
// can connect may read them.
func (s *Server) MetricsHandler() http.Handler { return s.metrics.handler() }

const metricsPath = "/metrics"

// registerMetrics serves the metrics on the main listener, to those who operate
// the deployment.
func (s *Server) registerMetrics() {
	write := s.metrics.handler()
	s.registerPlain(operation{
		id: "get-metrics", method: http.MethodGet, path: metricsPath, tag: operationsTag,
		summary:     "Read the metrics of this node",
		description: "In the text form of Prometheus. On a listener of its own, which `--metrics-listen` opens, they need no credential.",
		access:      system, needs: iam.ReadNodes, success: http.StatusOK, memory: true,
	}, textAnswer("The metrics"), func(w http.ResponseWriter, r *http.Request) {
		if err := s.mayReadMetrics(r.Context()); err != nil {
			s.fail(w, r, err)
			return
		}
		write.ServeHTTP(w, r)
	})
}

func (s *Server) mayReadMetrics(ctx context.Context) error {
	c := requestOf(ctx).caller
	if !c.System {
		return iam.Errorf(iam.NotFound, "no such thing")
	}
	return s.iam.Require(ctx, c, iam.ReadNodes, audit.Target{Type: "node"})
}
