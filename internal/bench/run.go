// Package bench measures what Postern takes, and compares it with what cannot be done
// without: the same request answered by the bare library in the same process, or the
// hash and the look-up that every verification is.
//
// What is measured runs in a process of its own, so that the time it has had a
// processor is the server's alone, and answers on loopback addresses and sockets only.
// Absolute times of a machine that others use too say little: each comparison is made
// in interleaved pairs, and its figure is the median of their ratios.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options says what a run needs.
type Options struct {
	Plan     Plan
	Command  func(ctx context.Context) (*exec.Cmd, error) // starts a process whose life is [Measured]
	Progress func(text string)                            // hears of each step
	Now      func() time.Time
}

// run is one run.
type run struct {
	Options
	report   Report
	begun    time.Time
	attempts map[string][]*sample // by door and connections
	order    []string             // of those names
}

// Run measures what a plan says. It ends soon after ctx does, and leaves no process and
// no file. A report with failed calls comes with an error of kind [ErrFailed].
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &run{Options: o, attempts: map[string][]*sample{}}
	begun := o.Now()
	r.report = Report{
		Machine: thisMachine(), Quick: o.Plan.Quick, Pairs: o.Plan.pairs, Keys: o.Plan.main(), Began: begun.UTC(),
		Doors: []Door{}, Sizes: []Size{}, Notes: []string{},
	}
	o.Progress(fmt.Sprintf("measuring for about %v, and loading before", o.Plan.Estimate().Round(time.Second)))
	r.begun = begun
	if err := r.parts(ctx); err != nil {
		return nil, err
	}
	r.report.Took = rounded(o.Now().Sub(begun).Seconds(), 1)
	r.report.Machine.LoadEnded = loadAverage()
	if r.report.Failed > 0 {
		return &r.report, fmt.Errorf("%w: %d", ErrFailed, r.report.Failed)
	}
	return &r.report, nil
}

// ErrFailed is a run in which calls were not answered as they should be.
var ErrFailed = errors.New("calls were not answered as a good key is")

// late reports whether there is no time left for a part, and notes that it is left out.
func (r *run) late(part string, takes time.Duration) bool {
	if r.Plan.within == 0 || r.Now().Sub(r.begun)+takes < r.Plan.within {
		return false
	}
	r.report.Notes = append(r.report.Notes, "no time was left to measure "+part)
	return true
}

// begin starts a process with some keys.
func (r *run) begin(ctx context.Context, keys int) (*process, error) {
	r.Progress("loading " + Count(keys) + " keys")
	return start(ctx, r.Command, keys)
}

// parts measures one part after the other.
func (r *run) parts(ctx context.Context) (err error) {
	var p *process
	if r.Plan.needsDoors() {
		if p, err = r.begin(ctx, r.Plan.main()); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.end()) }()
		r.report.BytesPerKey = figure(p.bytesPerKey, 1)
	}
	for _, part := range []struct {
		name string
		make func(context.Context, *process) error
	}{
		{PartVerify, r.verify}, {PartEnvoy, r.envoy}, {PartGateway, r.gateway}, {PartBatch, r.batch}, {PartSDK, r.sdk},
		{PartSizes, r.sizes}, {PartConnections, r.connections},
	} {
		if !r.Plan.has(part.name) {
			continue
		}
		r.Progress("measuring " + part.name)
		if err := part.make(ctx, p); err != nil {
			return err
		}
	}
	r.tellDoors()
	return nil
}

// round measures doors of a process one after the other, from another one on each time,
// and returns a sample of each.
func (r *run) round(ctx context.Context, p *process, turn int, names ...string) ([]*sample, error) {
	samples := make([]*sample, len(names))
	for i := range names {
		at := (i + turn) % len(names)
		s, err := r.measure(ctx, p, names[at], usualConnections, r.Plan.span)
		if err != nil {
			return nil, err
		}
		samples[at] = s
	}
	return samples, nil
}

func (r *run) measure(ctx context.Context, p *process, name string, connections int, span time.Duration) (*sample, error) {
	s, err := p.measure(ctx, name, connections, span)
	if err != nil {
		return nil, err
	}
	r.report.Failed += s.failed
	key := name + "\n" + strconv.Itoa(connections)
	if r.attempts[key] == nil {
		r.order = append(r.order, key)
	}
	r.attempts[key] = append(r.attempts[key], s)
	return s, nil
}

// compare measures doors in rounds, the first of which is what the others are compared
// with, and returns the medians of the ratios of their rates and of their processor
// time.
func (r *run) compare(ctx context.Context, p *process, names ...string) (rates, costs []float64, err error) {
	ratios, shares := make([][]float64, len(names)), make([][]float64, len(names))
	for turn := range r.Plan.pairs {
		samples, err := r.round(ctx, p, turn, names...)
		if err != nil {
			return nil, nil, err
		}
		for i, s := range samples {
			ratios[i] = append(ratios[i], s.rate()/samples[0].rate())
			shares[i] = append(shares[i], s.perCall()/samples[0].perCall())
		}
	}
	for i := range names {
		rates, costs = append(rates, median(ratios[i])), append(costs, median(shares[i]))
	}
	return rates, costs, nil
}

func (r *run) verify(ctx context.Context, p *process) error {
	rates, costs, err := r.compare(ctx, p, doorBareHTTP, doorVerify, doorFast)
	if err != nil {
		return err
	}
	to := &r.report.Ratios
	to.VerifyHTTP, to.VerifyHTTPCPU = figure(rates[1], 2), figure(costs[1], 2)
	to.VerifyFast, to.VerifyFastCPU = figure(rates[2], 2), figure(costs[2], 2)
	return nil
}

func (r *run) envoy(ctx context.Context, p *process) error {
	rates, costs, err := r.compare(ctx, p, doorBareGRPC, doorEnvoy)
	if err != nil {
		return err
	}
	r.report.Ratios.ExtAuthz, r.report.Ratios.ExtAuthzCPU = figure(rates[1], 2), figure(costs[1], 2)
	return nil
}

func (r *run) gateway(ctx context.Context, p *process) error {
	rates, costs, err := r.compare(ctx, p, doorBareHTTP, doorUnix)
	if err != nil {
		return err
	}
	r.report.Ratios.Gateway, r.report.Ratios.GatewayCPU = figure(rates[1], 2), figure(costs[1], 2)
	return nil
}

func (r *run) batch(ctx context.Context, p *process) error {
	var perCore []float64
	for range r.Plan.pairs {
		s, err := r.measure(ctx, p, doorBatch, batchConnections, r.Plan.span)
		if err != nil {
			return err
		}
		perCore = append(perCore, batchKeys/s.perCall()*float64(time.Second/time.Microsecond))
	}
	r.report.BatchPerCore = figure(median(perCore), 0)
	return nil
}

// batchConnections is how many callers ask for many keys at once.
const batchConnections = 4

func (r *run) sdk(_ context.Context, p *process) error {
	var ratios, verify, least []float64
	allocs := math.Inf(1) // the least: others in the process allocate too
	for range r.Plan.pairs {
		o, err := p.ask(order{Do: "verify", Keys: r.Plan.main(), For: r.Plan.inProcess})
		if err != nil {
			return err
		}
		ratios, verify, least = append(ratios, o.Verify.Verify/o.Verify.Least), append(verify, o.Verify.Verify), append(least, o.Verify.Least)
		allocs = min(allocs, o.Verify.Allocs)
	}
	r.report.Ratios.VerifySDK, r.report.SDKAllocs = figure(median(ratios), 2), figure(allocs, 2)
	r.report.SDK = &SDK{Verify: rounded(median(verify), 0), Least: rounded(median(least), 0)}
	return nil
}

// sweptDoors are measured with each number of connections.
var sweptDoors = [...]string{doorBareHTTP, doorVerify, doorFast, doorUnix, doorBareGRPC, doorEnvoy}

func (r *run) connections(ctx context.Context, p *process) error {
	for _, n := range r.Plan.Connections {
		if r.late(strconv.Itoa(n)+" connections", time.Duration(len(sweptDoors))*2*r.Plan.sweep) {
			continue
		}
		for _, name := range sweptDoors {
			if _, err := r.measure(ctx, p, name, n, r.Plan.sweep); err != nil {
				return err
			}
		}
	}
	return nil
}

// sizes compares /v1/verify with the fewest keys to that with more.
func (r *run) sizes(ctx context.Context, main *process) (err error) {
	if len(r.Plan.Keys) < 2 {
		return nil
	}
	few, err := r.begin(ctx, r.Plan.Keys[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, few.end()) }()
	first := Size{Keys: r.Plan.Keys[0], BytesPerKey: rounded(few.bytesPerKey, 1)}
	r.report.Sizes = append(r.report.Sizes, first)
	for _, keys := range slices.Backward(r.Plan.Keys[1:]) {
		if main != nil && keys == r.Plan.main() {
			if err := r.size(ctx, few, main, keys); err != nil {
				return err
			}
			continue
		}
		if r.late(Count(keys)+" keys", time.Duration(keys)*loadingAKey+time.Duration(2*r.Plan.pairs)*r.Plan.span) {
			continue
		}
		if err := r.load(ctx, few, keys); err != nil {
			return err
		}
	}
	return nil
}

// load loads a number of keys, and compares them with the fewest.
func (r *run) load(ctx context.Context, few *process, keys int) (err error) {
	many, err := r.begin(ctx, keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, many.end()) }()
	return r.size(ctx, few, many, keys)
}

// loadingAKey is about how long it takes to load one, on a machine that others use too.
const loadingAKey = time.Microsecond

// size compares one number of keys with the fewest.
func (r *run) size(ctx context.Context, few, many *process, keys int) error {
	r.Progress("measuring with " + Count(keys) + " keys")
	var ratios []float64
	var samples [2][]*sample
	for turn := range r.Plan.pairs {
		for i := range samples {
			at := (i + turn) % 2
			s, err := [2]*process{few, many}[at].measure(ctx, doorVerify, usualConnections, r.Plan.span)
			if err != nil {
				return err
			}
			r.report.Failed += s.failed
			samples[at] = append(samples[at], s)
		}
		ratios = append(ratios, samples[1][turn].perCall()/samples[0][turn].perCall())
	}
	first := &r.report.Sizes[0]
	first.PerSecond, first.CPU = rounded(medianOf(samples[0], (*sample).perSecond), 0), rounded(medianOf(samples[0], (*sample).perCall), 2)
	r.report.Sizes = append(r.report.Sizes, Size{
		Keys: keys, BytesPerKey: rounded(many.bytesPerKey, 1), Ratio: figure(median(ratios), 2),
		PerSecond: rounded(medianOf(samples[1], (*sample).perSecond), 0), CPU: rounded(medianOf(samples[1], (*sample).perCall), 2),
	})
	if keys == 10_000_000 && first.Keys == 1_000 {
		r.report.Ratios.Flat10M = figure(median(ratios), 2)
	}
	if keys == r.Plan.Keys[len(r.Plan.Keys)-1] {
		r.report.BytesPerKey = figure(many.bytesPerKey, 1)
	}
	return nil
}

func (s *sample) perSecond() float64 { return s.rate() }

func medianOf(samples []*sample, of func(*sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return median(values)
}

// tellDoors puts what was measured of each door into the report.
func (r *run) tellDoors() {
	for _, key := range r.order {
		name, connections, _ := strings.Cut(key, "\n")
		d := Door{Name: name}
		d.Connections, _ = strconv.Atoi(connections)
		var all times
		for _, s := range r.attempts[key] {
			d.Failed += s.failed
			all.join(&s.times)
		}
		d.PerSecond = rounded(medianOf(r.attempts[key], (*sample).perSecond), 0)
		d.CPU = rounded(medianOf(r.attempts[key], (*sample).perCall), 2)
		d.P50, d.P99 = micros(all.quantile(0.5)), micros(all.quantile(0.99))
		r.report.Doors = append(r.report.Doors, d)
	}
}

func micros(d time.Duration) float64 {
	return rounded(float64(d)/float64(time.Microsecond), 1)
}

func figure(value float64, digits int) *float64 { return new(rounded(value, digits)) }

// loadAverage returns how many processes wanted a processor in the last minute, or 0
// where nobody tells.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}
