package server

import "github.com/prometheus/client_golang/prometheus"

// streamMetrics say how the streams of a node fare.
type streamMetrics struct {
	open   prometheus.Gauge
	events *prometheus.CounterVec
	ended  *prometheus.CounterVec
}

func newStreamMetrics() streamMetrics {
	m := streamMetrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_streams_open", Help: "Streams that are open.",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_stream_events_total", Help: "Events that were sent on streams, by their names.",
		}, []string{"event"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_streams_ended_total",
			Help: "Streams by what ended them: client, shutdown, stale, unavailable, no_right, the key lost its right; too_slow, the reader was dropped.",
		}, []string{"reason"}),
	}
	for _, event := range streamEvents() {
		m.events.WithLabelValues(event)
	}
	for _, reason := range []string{"client", "shutdown", "stale", "unavailable", "no_right", "too_slow"} {
		m.ended.WithLabelValues(reason)
	}
	return m
}
