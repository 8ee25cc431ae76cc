package bench

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parts of a run, each of which can be asked for alone.
const (
	PartVerify      = "verify"      // /v1/verify and the fast listener, against bare net/http
	PartEnvoy       = "ext_authz"   // against bare grpc-go
	PartGateway     = "gateway"     // /v1/authorize on a Unix socket, against bare net/http
	PartBatch       = "batch"       // /v1/verify/batch
	PartSDK         = "sdk"         // in the same process, against SHA-256 and a look-up
	PartConnections = "connections" // the doors with more and fewer connections
	PartSizes       = "sizes"       // /v1/verify with more and fewer keys
)

// Parts returns the names of all parts, in the order in which they are made.
func Parts() []string {
	return []string{PartVerify, PartEnvoy, PartGateway, PartBatch, PartSDK, PartSizes, PartConnections}
}

// quickLimit is when a quick run begins nothing new any more.
const quickLimit = 46 * time.Second

// Bounds on what can be asked for.
const (
	MaxKeys        = 20_000_000
	MaxConnections = 1024
)

// Plan is what a run measures, and for how long.
type Plan struct {
	Quick       bool
	Keys        []int // in memory, ascending; see [Plan.main]
	Connections []int
	Only        []string // parts; none: all

	within    time.Duration // when no part is begun any more; 0: there is no end
	pairs     int           // interleaved, of each comparison
	span      time.Duration // of each measurement
	sweep     time.Duration // of each measurement that is not compared
	inProcess time.Duration // of each measurement without a door
}

const (
	usualKeys        = 1_000_000
	usualConnections = 16
)

// NewPlan returns a plan, or an error that says what about it makes no sense. Empty
// lists are the usual ones.
func NewPlan(quick bool, keys, connections []int, only []string) (Plan, error) {
	p := Plan{
		Quick: quick, Keys: keys, Connections: connections, Only: only,
		pairs: 9, span: time.Second, sweep: time.Second, inProcess: 300 * time.Millisecond,
	}
	if quick {
		p.within, p.pairs, p.span, p.sweep, p.inProcess = quickLimit, 5, 350*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	}
	if len(keys) == 0 {
		p.Keys = []int{1_000, 10_000, 100_000, usualKeys, 10_000_000}
		if quick {
			p.Keys = []int{1_000, usualKeys, 10_000_000}
		}
	}
	if len(connections) == 0 {
		p.Connections = []int{1, 16, 64, 256}
	}
	p.Keys, p.Connections = unique(p.Keys), unique(p.Connections)
	var errs []error
	if p.Keys[0] < 1 || p.Keys[len(p.Keys)-1] > MaxKeys {
		errs = append(errs, fmt.Errorf("keys: write numbers from 1 to %d", MaxKeys))
	}
	if p.Connections[0] < 1 || p.Connections[len(p.Connections)-1] > MaxConnections {
		errs = append(errs, fmt.Errorf("connections: write numbers from 1 to %d", MaxConnections))
	}
	for _, part := range only {
		if !slices.Contains(Parts(), part) {
			errs = append(errs, fmt.Errorf("there is no part %q to measure: write some of %s", part, strings.Join(Parts(), ", ")))
		}
	}
	return p, errors.Join(errs...)
}

func unique(numbers []int) []int {
	return slices.Compact(slices.Sorted(slices.Values(numbers)))
}

// has reports whether a part is to be measured.
func (p *Plan) has(part string) bool { return len(p.Only) == 0 || slices.Contains(p.Only, part) }

// main returns with how many keys the doors are compared: a million if that is among
// those asked for, else as many as come next to it.
func (p *Plan) main() int {
	best := p.Keys[0]
	for _, n := range p.Keys {
		if n <= usualKeys {
			best = n
		}
	}
	return best
}

// needsDoors reports whether anything is measured with the main number of keys.
func (p *Plan) needsDoors() bool {
	return slices.ContainsFunc(Parts(), func(part string) bool { return part != PartSizes && p.has(part) })
}

// Estimate returns how long the measurements of a plan take, without what is loaded
// for them. It is what progress is told by.
func (p *Plan) Estimate() time.Duration {
	var all time.Duration
	pairs := time.Duration(p.pairs)
	for part, each := range map[string]time.Duration{
		PartVerify: 3 * p.span * pairs, PartEnvoy: 2 * p.span * pairs, PartGateway: 2 * p.span * pairs, PartBatch: p.span * pairs,
		PartSDK:         2 * p.inProcess * pairs,
		PartConnections: time.Duration(len(sweptDoors)*len(p.Connections)) * p.sweep,
		PartSizes:       2 * p.span * pairs * time.Duration(len(p.Keys)-1),
	} {
		if p.has(part) {
			all += each
		}
	}
	return all
}

// ParseCount reads a number such as 1000, 10k or 1M.
func ParseCount(text string) (int, error) {
	scale := 1
	for suffix, n := range map[string]int{"k": 1_000, "M": 1_000_000} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			text, scale = rest, n
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxKeys/scale {
		return 0, fmt.Errorf("write a number such as 1000, 10k or 1M, up to %d", MaxKeys)
	}
	return n * scale, nil
}

// Count returns a number as [ParseCount] reads it, in the shortest way.
func Count(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return strconv.Itoa(n/1_000_000) + "M"
	case n >= 1_000 && n%1_000 == 0:
		return strconv.Itoa(n/1_000) + "k"
	}
	return strconv.Itoa(n)
}
