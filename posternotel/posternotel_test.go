package posternotel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/posternotel"
)

// telemetry is what was exported.
type telemetry struct {
	t      *testing.T
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter
	tracer *sdktrace.TracerProvider
	to     []posternotel.Option
}

func newTelemetry(t *testing.T) *telemetry {
	x := &telemetry{t: t, reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	x.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(x.spans))
	x.to = []posternotel.Option{
		posternotel.Meters(sdkmetric.NewMeterProvider(sdkmetric.WithReader(x.reader))), posternotel.Tracers(x.tracer),
	}
	return x
}

// metrics returns each series as a line of text, by name and attributes.
func (x *telemetry) metrics() map[string]string {
	x.t.Helper()
	var all metricdata.ResourceMetrics
	if err := x.reader.Collect(x.t.Context(), &all); err != nil {
		x.t.Fatal(err)
	}
	got := map[string]string{}
	put := func(name string, on attribute.Set, value string) {
		got[strings.TrimSpace(name+" "+on.Encoded(attribute.DefaultEncoder()))] = value
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, fmt.Sprintf("%d in %.1fs", p.Count, p.Sum))
				}
			case metricdata.Gauge[int64]:
				put(m.Name, data.DataPoints[0].Attributes, fmt.Sprint(data.DataPoints[0].Value))
			case metricdata.Gauge[float64]:
				put(m.Name, data.DataPoints[0].Attributes, fmt.Sprint(data.DataPoints[0].Value))
			case metricdata.Sum[int64]:
				put(m.Name, data.DataPoints[0].Attributes, fmt.Sprint(data.DataPoints[0].Value))
			}
		}
	}
	return got
}

func (x *telemetry) wantMetrics(want map[string]string) {
	x.t.Helper()
	got := x.metrics()
	for name, value := range want {
		if got[name] != value {
			x.t.Errorf("%s is %q, want %q", name, got[name], value)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		x.t.Errorf("also exported: %v", got)
	}
}

func verification(workspace, code string) postern.Observation {
	return postern.Observation{Operation: "verify", Workspace: workspace, Code: code, Start: time.Unix(1_800_000_000, 0), Took: time.Second}
}

func TestVerificationsAreMeasuredByCodeAndWorkspace(t *testing.T) {
	x := newTelemetry(t)
	observe := posternotel.Verifications(x.to...)
	for range 3 {
		observe(t.Context(), verification("acme", api.VerdictValid))
	}
	observe(t.Context(), verification("acme", api.VerdictRevoked))
	observe(t.Context(), verification("", api.VerdictNotFound))
	x.wantMetrics(map[string]string{
		"postern.verification.duration postern.code=valid,postern.workspace=acme":   "3 in 3.0s",
		"postern.verification.duration postern.code=revoked,postern.workspace=acme": "1 in 1.0s",
		"postern.verification.duration postern.code=not_found":                      "1 in 1.0s",
	})
	if spans := x.spans.GetSpans(); len(spans) != 0 {
		t.Errorf("%d spans of requests that nobody traces", len(spans))
	}
}

func TestWorkspacesCanBeLeftOutOfMetrics(t *testing.T) {
	x := newTelemetry(t)
	observe := posternotel.Verifications(append(x.to, posternotel.NoWorkspaces())...)
	observe(t.Context(), verification("acme", api.VerdictValid))
	observe(t.Context(), verification("globex", api.VerdictValid))
	x.wantMetrics(map[string]string{"postern.verification.duration postern.code=valid": "2 in 2.0s"})
}

func TestVerificationsOfTracedRequestsAreSpans(t *testing.T) {
	x := newTelemetry(t)
	observe := posternotel.Verifications(x.to...)
	ctx, request := x.tracer.Tracer("test").Start(t.Context(), "request")
	observe(ctx, verification("acme", api.VerdictRevoked))
	observe(ctx, verification("", api.CodeStale))
	request.End()
	spans := x.spans.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want two and the request's", len(spans))
	}
	refused, stale := spans[0], spans[1]
	if refused.Name != "postern verify" || refused.Parent.SpanID() != request.SpanContext().SpanID() || refused.EndTime.Sub(refused.StartTime) != time.Second {
		t.Errorf("got %+v", refused)
	}
	if refused.Status.Code != codes.Unset || stale.Status.Code != codes.Error {
		t.Errorf("a refusal is %v, want it not to be an error; stale is %v, want one", refused.Status, stale.Status)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCallsAreMeasuredAndTracedWithoutKeysOrPaths(t *testing.T) {
	const key = "pst_sa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"
	x := newTelemetry(t)
	next := &http.Response{}
	c := &postern.Client{
		Server: "https://postern.example", Key: postern.NewSecret(key), Observe: posternotel.Calls(x.to...),
		HTTP: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) { return next, nil })},
	}
	answer := func(status int, kind, body string) {
		next = &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
	}
	answer(200, "application/json", `{}`)
	if _, err := c.Workspace("acme").PauseKey(t.Context(), "key_secret", api.Ending{Note: "a secret note"}); err != nil {
		t.Fatal(err)
	}
	answer(403, "application/problem+json", `{"code":"permission_denied","detail":"a secret detail"}`)
	if _, err := c.Workspace("acme").PauseKey(t.Context(), "key_secret", api.Ending{}); err == nil {
		t.Fatal("no error")
	}
	answer(200, "application/json", `{"valid":false,"code":"revoked"}`)
	if _, err := c.Verify(t.Context(), api.Verify{Key: key}); err != nil {
		t.Fatal(err)
	}
	spans := x.spans.GetSpans()
	for i, want := range []struct {
		name   string
		status codes.Code
	}{{"postern pause-key", codes.Unset}, {"postern pause-key", codes.Error}, {"postern verify", codes.Unset}} {
		if len(spans) != 3 || spans[i].Name != want.name || spans[i].Status.Code != want.status || spans[i].SpanKind != trace.SpanKindClient {
			t.Fatalf("span %d of %d is %+v, want %+v", i, len(spans), spans[i], want)
		}
	}
	metrics := x.metrics()
	exported, err := json.Marshal([]any{spans, metrics})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(exported), "secret") || strings.Contains(string(exported), "AAAA") {
		t.Errorf("exported: %s", exported)
	}
	for _, name := range []string{
		"postern.call.duration postern.code=ok,postern.operation=pause-key,postern.workspace=acme",
		"postern.call.duration postern.code=permission_denied,postern.operation=pause-key,postern.workspace=acme",
		"postern.call.duration postern.code=revoked,postern.operation=verify",
	} {
		if !strings.HasPrefix(metrics[name], "1 in ") {
			t.Errorf("%s is %q, want one", name, metrics[name])
		}
	}
}

type stats postern.Stats

func (s stats) Stats() postern.Stats { return postern.Stats(s) }

func TestVerifierIsWatched(t *testing.T) {
	x := newTelemetry(t)
	now := &stats{Revision: 7, Keys: 3, Ready: true, NewsAge: 250 * time.Millisecond, Counted: 12, Failures: 1}
	if err := posternotel.Watch(now, x.to...); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"postern.verifier.ready": "1", "postern.verifier.keys": "3", "postern.verifier.revision": "7",
		"postern.verifier.news.age": "0.25", "postern.verifier.uses": "12", "postern.verifier.report.failures": "1",
	}
	x.wantMetrics(want)
	now.Ready, want["postern.verifier.ready"] = false, "0"
	x.wantMetrics(want)
}

func BenchmarkVerification(b *testing.B) {
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	observe := posternotel.Verifications(posternotel.Meters(provider))
	o := verification("acme", api.VerdictValid)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		observe(ctx, o)
	}
}
