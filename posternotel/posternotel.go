// Package posternotel measures verifiers and clients of Postern with OpenTelemetry.
//
//	verifier, err := postern.New(ctx, postern.Observe(posternotel.Verifications()))
//	…
//	err = posternotel.Watch(verifier)
//	client := &postern.Client{…, Observe: posternotel.Calls()}
//
// What it exports never has a key in it, nor a part of one, nor the path or the body
// of a call:
//
//	postern.verification.duration  histogram, seconds  postern.code, postern.workspace
//	postern.call.duration          histogram, seconds  postern.operation, postern.code, postern.workspace
//	postern.verifier.ready         1 while keys are verified, else 0
//	postern.verifier.news.age      seconds that the news can be old which answers rest on
//	postern.verifier.keys          keys that the verifier knows
//	postern.verifier.revision      the last change that it knows of
//	postern.verifier.uses          uses of keys that were counted
//	postern.verifier.report.failures  reports of uses that failed, and were tried again
//
// Each call is a span of its own, and so is each verification that is made for a
// request that is traced.
package posternotel

import (
	"context"
	"strings"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

const scope = "github.com/posternhq/postern/posternotel"

// The attributes of what is exported.
const (
	Code      = attribute.Key("postern.code")      // how it ended: a verdict, ok, or a problem's code
	Operation = attribute.Key("postern.operation") // of a call, as the OpenAPI document names it
	Workspace = attribute.Key("postern.workspace") // left out where none is known
)

// Option says something about what is measured.
type Option func(*settings)

type settings struct {
	meters       metric.MeterProvider
	tracers      trace.TracerProvider
	noWorkspaces bool
}

// Meters takes the place of the global provider of meters.
func Meters(p metric.MeterProvider) Option { return func(s *settings) { s.meters = p } }

// Tracers takes the place of the global provider of tracers.
func Tracers(p trace.TracerProvider) Option { return func(s *settings) { s.tracers = p } }

// NoWorkspaces leaves the workspace out of metrics, for those who verify keys of more
// workspaces than a metric should have series. Spans have it all the same.
func NoWorkspaces() Option { return func(s *settings) { s.noWorkspaces = true } }

func newSettings(options []Option) settings {
	s := settings{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, o := range options {
		o(&s)
	}
	return s
}

// Verifications returns what measures verifications, for [postern.Observe].
func Verifications(options ...Option) postern.Observer {
	m := newMeter(newSettings(options), "postern.verification.duration", "How long verifications took.",
		1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.15, 0.3) // memory takes under two microseconds, and waiting for news 150 ms
	return func(ctx context.Context, o postern.Observation) {
		m.record(ctx, o, series{code: o.Code, workspace: o.Workspace})
		if trace.SpanFromContext(ctx).IsRecording() {
			m.span(ctx, o, trace.SpanKindInternal, o.Code == api.CodeStale)
		}
	}
}

// Calls returns what measures the calls of a client, for its field Observe.
func Calls(options ...Option) postern.Observer {
	m := newMeter(newSettings(options), "postern.call.duration", "How long calls of Postern took.",
		0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 90)
	return func(ctx context.Context, o postern.Observation) {
		m.record(ctx, o, series{o.Operation, o.Code, o.Workspace})
		failed := o.Code != postern.CodeOK && o.Operation != "verify" || o.Code == postern.CodeNoAnswer || o.Code == api.CodeStale
		m.span(ctx, o, trace.SpanKindClient, failed)
	}
}

// meter measures one sort of observations.
type meter struct {
	settings
	duration metric.Float64Histogram
	tracer   trace.Tracer
	sets     sync.Map // from series to metric.MeasurementOption
}

// series is what the measurements of one series have in common.
type series struct{ operation, code, workspace string }

func newMeter(s settings, name, description string, bounds ...float64) *meter {
	duration, err := s.meters.Meter(scope).Float64Histogram(name, metric.WithUnit("s"),
		metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
	if err != nil {
		otel.Handle(err) // there is one all the same, which may do nothing
	}
	return &meter{settings: s, duration: duration, tracer: s.tracers.Tracer(scope)}
}

func (m *meter) record(ctx context.Context, o postern.Observation, s series) {
	if m.noWorkspaces {
		s.workspace = ""
	}
	m.duration.Record(ctx, o.Took.Seconds(), m.set(s))
}

// set returns the attributes of a series, which are put together once.
func (m *meter) set(s series) metric.MeasurementOption {
	if known, ok := m.sets.Load(s); ok {
		return known.(metric.MeasurementOption)
	}
	s.workspace = strings.Clone(s.workspace) // a verifier's texts are parts of larger ones
	made, _ := m.sets.LoadOrStore(s, metric.WithAttributeSet(attribute.NewSet(s.attributes()...)))
	return made.(metric.MeasurementOption)
}

func (s series) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{Code.String(s.code)}
	if s.operation != "" {
		all = append(all, Operation.String(s.operation))
	}
	if s.workspace != "" {
		all = append(all, Workspace.String(s.workspace))
	}
	return all
}

// span tells of an observation as a span that has ended.
func (m *meter) span(ctx context.Context, o postern.Observation, kind trace.SpanKind, failed bool) {
	s := series{o.Operation, o.Code, strings.Clone(o.Workspace)}
	_, span := m.tracer.Start(ctx, "postern "+o.Operation, trace.WithSpanKind(kind),
		trace.WithTimestamp(o.Start), trace.WithAttributes(s.attributes()...))
	if failed {
		span.SetStatus(codes.Error, o.Code)
	}
	span.End(trace.WithTimestamp(o.Start.Add(o.Took)))
}

// Watched is what says how a verifier is: a [*postern.Verifier] does.
type Watched interface{ Stats() postern.Stats }

// Watch exports how a verifier is, each time that somebody looks, until the provider
// ends.
func Watch(v Watched, options ...Option) error {
	meter := newSettings(options).meters.Meter(scope)
	for _, g := range []struct {
		name, unit, description string
		value                   func(postern.Stats) int64
	}{
		{"postern.verifier.ready", "1", "1 while keys are verified, else 0.", func(s postern.Stats) int64 {
			if s.Ready {
				return 1
			}
			return 0
		}},
		{"postern.verifier.keys", "{key}", "Keys that the verifier knows.", func(s postern.Stats) int64 { return int64(s.Keys) }},
		{"postern.verifier.revision", "1", "The last change that the verifier knows of.", func(s postern.Stats) int64 { return s.Revision }},
	} {
		_, err := meter.Int64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.description), observed(v, g.value))
		if err != nil {
			return err
		}
	}
	return watchCounts(meter, v)
}

func watchCounts(meter metric.Meter, v Watched) error {
	_, err := meter.Float64ObservableGauge("postern.verifier.news.age", metric.WithUnit("s"),
		metric.WithDescription("How old the news can be that answers rest on."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(v.Stats().NewsAge.Seconds())
			return nil
		}))
	if err != nil {
		return err
	}
	_, err = meter.Int64ObservableCounter("postern.verifier.uses", metric.WithUnit("{use}"),
		metric.WithDescription("Uses of keys that were counted."), observed(v, func(s postern.Stats) int64 { return s.Counted }))
	if err != nil {
		return err
	}
	_, err = meter.Int64ObservableCounter("postern.verifier.report.failures", metric.WithUnit("{report}"),
		metric.WithDescription("Reports of uses that failed, and were tried again."), observed(v, func(s postern.Stats) int64 { return s.Failures }))
	return err
}

func observed(v Watched, value func(postern.Stats) int64) metric.Int64ObservableOption {
	return metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(value(v.Stats()))
		return nil
	})
}
