package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/server"
)

// watched is a door whose node says of itself what a test wants.
type watched struct {
	server.Door
	vitals iam.Vitals
}

// Vitals implements [server.Door].
func (d *watched) Vitals() iam.Vitals { return d.vitals }

// metrics returns what a server says of itself.
func (w *world) metrics() string {
	answer := httptest.NewRecorder()
	w.server.MetricsHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	return answer.Body.String()
}

// behind returns the same world behind a door.
func (w *world) behind(t *testing.T, d server.Door) *world {
	return w.with(t, func(o *server.Options) { o.Door, o.Metrics = d, nil })
}

func TestMetricsSayOnWhatAnswersRest(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	for _, tt := range []struct {
		name    string
		vitals  iam.Vitals
		want    []string
		without string
	}{
		{"a node that is alone", w.replica.Vitals(), []string{
			"oldest_possible_accept_seconds 0\n", `durability{durability="local"} 1`, `durability{durability="quorum"} 0`, "changes_waiting 0\n",
			`alarms_total{alarm="diverged"} 0`, `alarms_total{alarm="clocks"} 0`,
		}, "lease_left"},
		{"one of several", iam.Vitals{
			Answers: true, NewsAge: 1500 * time.Millisecond, Leased: true, LeaseLeft: 2500 * time.Millisecond, Durability: iam.Quorum, Waiting: 3,
			Alarms: iam.Alarms{Diverged: 1, Clocks: 2},
		}, []string{
			"oldest_possible_accept_seconds 1.5\n", "lease_left_seconds 2.5\n", `durability{durability="local"} 0`, `durability{durability="quorum"} 1`,
			"changes_waiting 3\n", `alarms_total{alarm="diverged"} 1`, `alarms_total{alarm="clocks"} 2`,
		}, "\nnone"},
		{"one that answers nothing", iam.Vitals{Leased: true}, []string{
			"lease_left_seconds 0\n", `durability{durability="local"} 0`, `durability{durability="quorum"} 0`,
		}, "oldest_possible_accept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.behind(t, &watched{w.replica, tt.vitals}).metrics()
			for _, want := range tt.want {
				if !strings.Contains(got, "\npostern_node_"+want) {
					t.Errorf("they do not say postern_node_%s", want)
				}
			}
			if strings.Contains(got, tt.without) {
				t.Errorf("they tell %s", tt.without)
			}
		})
	}
}

func TestMetricsSayHowTheCountingOfUsesGoes(t *testing.T) {
	w := newWorld(t, sqliteURL(t))
	got := w.with(t, func(o *server.Options) {
		o.Metrics, o.Usage = nil, &book{gathering: iam.Gathering{Counted: 5, Dropped: 4, Reports: 3, Failures: 2, Unreported: 1500 * time.Millisecond}}
	}).metrics()
	for _, want := range []string{`counted_total 5`, `summed_total 4`, `reports_total{outcome="taken"} 3`, `reports_total{outcome="failed"} 2`, `unreported_seconds 1.5`} {
		if !strings.Contains(got, "\npostern_usage_"+want+"\n") {
			t.Errorf("they do not say postern_usage_%s", want)
		}
	}
}

const metricsReference = "../../docs/reference/metrics.md"

// The reference is made of what a server says that has been asked for something
// of each sort.
func TestGoldenReferenceOfMetricsIsWhatTheyAre(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	one := w.with(t, func(o *server.Options) {
		o.Door, o.Usage, o.Metrics = &watched{w.replica, iam.Vitals{Answers: true, Leased: true}}, new(book), nil
	})
	one.do(t, get("/healthz", "")).want(http.StatusOK, nil)
	observed := server.NewMetrics()
	observed.ObserveStore("read", time.Second, nil)
	observed.ObserveWait("acked", time.Second)
	observed.ObserveRotation("rotation.ready")
	all := describeMetrics(one.metrics())
	maps.Copy(all, describeMetrics(w.with(t, func(o *server.Options) { o.Metrics = observed }).metrics()))
	got := metricsPage(all)
	if *update {
		if err := os.WriteFile(metricsReference, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(metricsReference)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what they are; run make generate:\n%s", metricsReference, got)
	}
}

// metric is what is to be known of one.
type metric struct{ kind, labels, help string }

var (
	metricHead  = regexp.MustCompile(`^# (HELP|TYPE) (postern_\S+) (.*)$`)
	metricLabel = regexp.MustCompile(`([a-z]+)="`)
)

// describeMetrics reads what metrics there are out of their text.
func describeMetrics(text string) map[string]metric {
	all := map[string]metric{}
	var name string
	for line := range strings.SplitSeq(text, "\n") {
		head := metricHead.FindStringSubmatch(line)
		switch {
		case head != nil && head[1] == "HELP":
			name = head[2]
			all[name] = metric{help: head[3]}
		case head != nil:
			m := all[name]
			m.kind = head[3]
			all[name] = m
		case name != "" && strings.HasPrefix(line, name):
			m := all[name]
			var labels []string
			for _, l := range metricLabel.FindAllStringSubmatch(line, -1) {
				if l[1] != "le" { // the bounds of a histogram
					labels = append(labels, l[1])
				}
			}
			m.labels = strings.Join(labels, ", ")
			all[name] = m
		}
	}
	return all
}

func metricsPage(all map[string]metric) string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Written by a test of internal/server from the metrics themselves: make generate. -->

In the text form of Prometheus, at ` + "`/metrics`" + `: on a listener of its own that ` + "`--metrics-listen`" + ` opens, without a
credential, or on the main listener with a key of the system workspace that holds ` + "`iam.nodes:read`" + `. Each node tells of
itself; no label holds anything that a client made up. Besides these there are ` + "`go_*`" + ` and ` + "`process_*`" + `, as usual.
What to watch, and what an alarm means: [Consistency](../consistency.md#for-operators).

| metric | type | labels | |
|---|---|---|---|
`)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, m.kind, m.labels, m.help)
	}
	return b.String()
}
