package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/posternhq/postern/internal/iam"
)

// nodeMetrics are what a node tells of itself, all as of one moment.
type nodeMetrics struct {
	door Door

	oldestAccept *prometheus.Desc
	leaseLeft    *prometheus.Desc
	durability   *prometheus.Desc
	waiting      *prometheus.Desc
	alarms       *prometheus.Desc
}

func newNodeMetrics(d Door) *nodeMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("postern_node_"+name, help, labels, nil)
	}
	return &nodeMetrics{
		door: d,
		oldestAccept: desc("oldest_possible_accept_seconds",
			"How old the news can be that an answer of this node rests on. Not there while it answers nothing."),
		leaseLeft: desc("lease_left_seconds",
			"For how long this node goes on answering if it does not reach the database. Not there on a node that is alone."),
		durability: desc("durability",
			"1 for what a confirmed change survives: quorum, a failover; local, a crash of the one server.", "durability"),
		waiting: desc("changes_waiting",
			"Changes that wait here until every node has applied them, or cannot answer any more."),
		alarms: desc("alarms_total",
			"What must not happen: diverged, the database had lost changes; clocks, this machine's and the database's disagreed.", "alarm"),
	}
}

// Describe implements [prometheus.Collector].
func (m *nodeMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.oldestAccept, m.leaseLeft, m.durability, m.waiting, m.alarms} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *nodeMetrics) Collect(to chan<- prometheus.Metric) {
	v := m.door.Vitals()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if v.Answers {
		gauge(m.oldestAccept, v.NewsAge.Seconds())
	}
	if v.Leased {
		gauge(m.leaseLeft, v.LeaseLeft.Seconds())
	}
	for _, d := range []string{iam.Quorum, iam.Local} {
		one := 0.0
		if v.Durability == d {
			one = 1
		}
		gauge(m.durability, one, d)
	}
	gauge(m.waiting, float64(v.Waiting))
	for _, a := range []struct {
		name  string
		count int64
	}{{"diverged", v.Alarms.Diverged}, {"clocks", v.Alarms.Clocks}} {
		to <- prometheus.MustNewConstMetric(m.alarms, prometheus.CounterValue, float64(a.count), a.name)
	}
}
