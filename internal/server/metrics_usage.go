package server

import "github.com/prometheus/client_golang/prometheus"

// usageMetrics are what is to be known about the counting of uses, all as of one
// moment.
type usageMetrics struct {
	usage Usage

	counted    *prometheus.Desc
	summed     *prometheus.Desc
	reports    *prometheus.Desc
	unreported *prometheus.Desc
}

func newUsageMetrics(u Usage) *usageMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("postern_usage_"+name, help, labels, nil)
	}
	return &usageMetrics{
		usage:   u,
		counted: desc("counted_total", "Uses of keys that were counted: of keys asked about, and of those that calls were made with."),
		summed: desc("summed_total",
			"Sources, and permissions asked for together, that were too many to be told apart. Their uses count all the same."),
		reports: desc("reports_total", "Reports of uses to the store: taken, or failed and to be sent again.", "outcome"),
		unreported: desc("unreported_seconds",
			"How old a use can be that the store does not know of yet. What it does not know is lost when the process is killed."),
	}
}

// Describe implements [prometheus.Collector].
func (m *usageMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.counted, m.summed, m.reports, m.unreported} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *usageMetrics) Collect(to chan<- prometheus.Metric) {
	g := m.usage.Gathering()
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	counter(m.counted, g.Counted)
	counter(m.summed, g.Dropped)
	counter(m.reports, g.Reports, "taken")
	counter(m.reports, g.Failures, "failed")
	to <- prometheus.MustNewConstMetric(m.unreported, prometheus.GaugeValue, g.Unreported.Seconds())
}
