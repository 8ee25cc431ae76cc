package server

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Limits say how often callers may call, and how long a call may take.
// Verification is never limited.
type Limits struct {
	Management Rate // of each principal; zero: 100 a second, 500 at once
	Acceptance Rate // of invitations, and of sign-ins, from each address; zero: 10 a minute
	Polling    Rate // by programs that wait to be approved, from each address; zero: 60 a minute

	Streams   int           // that one principal may have open on this node; zero: 32
	Audience  int           // streams that one workspace may have open on this node; zero: 1024
	Verifiers int           // that may follow this node with keys of one principal; zero: 1024
	Following int           // verifiers that may follow one workspace here, or all of them; zero: 4096
	Connected int           // verifiers that may follow this node, a quarter of them of the system workspace alone; zero: 8192
	Opening   Rate          // of connections of verifiers, by each principal; zero: 1200 at once, 20 a second
	Reports   Rate          // of uses, by each verifier; by all with keys of one principal, 64 times that; zero: 600 at once, 20 a second
	Heartbeat time.Duration // between two signs of life on a stream; zero: 15 s
	Stall     time.Duration // that the reader of a stream may take for one write; zero: 20 s

	// Change is how long a change may take, the confirmation by every node
	// included. Beyond it the caller hears that it is recorded and not yet
	// confirmed. Reads but for exports and streams have as long. Zero: 30 s.
	Change time.Duration
}

// Rate is how often something may be done: Burst times at once, and as often
// again over each Window.
type Rate struct {
	Burst  int64
	Window time.Duration
}

func (r Rate) or(usual Rate) Rate {
	if r.Burst < 1 || r.Window <= 0 {
		return usual
	}
	return r
}

// bucket is the generic cell rate algorithm (ITU-T I.371) in one number: the time
// at which the bucket will be full again, in nanoseconds of the limiter's clock.
type bucket struct{ full atomic.Int64 }

// take takes one from a bucket, if there is one. left is how many remain, reset
// when all of them are back, and again when the next one is.
func (b *bucket) take(now int64, r Rate) (ok bool, left int64, reset, again time.Duration) {
	each := int64(r.Window) / r.Burst
	for {
		full := b.full.Load()
		next := max(full, now) + each
		if over := next - now - int64(r.Window); over > 0 {
			return false, 0, time.Duration(full - now), time.Duration(over)
		}
		if b.full.CompareAndSwap(full, next) {
			return true, (int64(r.Window) - (next - now)) / each, time.Duration(next - now), 0
		}
	}
}

// maxBuckets bounds the memory of a limiter. Callers beyond it share one bucket.
const maxBuckets = 65_536

// limiter holds a rate for each of many callers.
type limiter[K comparable] struct {
	name string // as the headers call the policy
	rate Rate

	mu      sync.Mutex // guards buckets
	buckets map[K]*bucket
	others  bucket
}

func newLimiter[K comparable](name string, r Rate) *limiter[K] {
	return &limiter[K]{name: name, rate: r, buckets: map[K]*bucket{}}
}

// of returns the bucket of a caller.
func (l *limiter[K]) of(who K, now int64) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[who]; b != nil {
		return b
	}
	if len(l.buckets) >= maxBuckets {
		l.forget(now)
	}
	if len(l.buckets) >= maxBuckets {
		return &l.others
	}
	b := new(bucket)
	l.buckets[who] = b
	return b
}

// forget drops the buckets that are full: a new one is no different.
func (l *limiter[K]) forget(now int64) {
	for who, b := range l.buckets {
		if b.full.Load() <= now {
			delete(l.buckets, who)
		}
	}
}

// take counts one call of a caller, says in the headers how much is left, and
// returns an error if it is one too many.
func (l *limiter[K]) take(who K, now int64, h http.Header) error {
	ok, left, reset, again := l.of(who, now).take(now, l.rate)
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", l.name, l.rate.Burst, wholeSeconds(l.rate.Window)))
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", l.name, left, wholeSeconds(reset)))
	if ok {
		return nil
	}
	wait := strconv.FormatInt(wholeSeconds(again), 10)
	return retryAfter{iam.Errorf(iam.RateLimited, "too many calls; the next one is let through in %s s", wait), again}
}

// reportLimits bound how often verifiers report. One reports about once a second, and
// more often when it has much to say; many can have one owner.
type reportLimits struct {
	perVerifier  *limiter[string] // by process
	perPrincipal *limiter[iam.PrincipalID]
}

func newReportLimits(of Rate) reportLimits {
	const inAll = 64
	of = of.or(Rate{600, 30 * time.Second})
	return reportLimits{newLimiter[string]("report", of), newLimiter[iam.PrincipalID]("reports", Rate{inAll * of.Burst, of.Window})}
}

// take counts one report of a verifier, and returns an error if it is one too many.
func (l *reportLimits) take(of *follower, now int64) error {
	if err := l.perVerifier.take(of.process, now, http.Header{}); err != nil {
		return err
	}
	return l.perPrincipal.take(of.principal, now, http.Header{})
}

func wholeSeconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// limit counts a request against what its caller may do.
func (s *Server) limit(w http.ResponseWriter, r *http.Request, op *operation) error {
	if op.unlimited {
		return nil
	}
	now := int64(s.now().Sub(s.began)) // on the monotonic clock: a wall clock that jumps locks nobody out
	var err error
	if op.polled {
		err = s.perPoll.take(network(s.peer(r)), now, w.Header())
	} else if op.access == open {
		err = s.perAddress.take(network(s.peer(r)), now, w.Header())
	} else {
		err = s.perPrincipal.take(requestOf(r.Context()).caller.Principal.ID, now, w.Header())
	}
	if err != nil {
		s.metrics.limited.Inc()
	}
	return err
}

// network returns what one client can be expected to have of a network: its IPv4
// address, or the 64 leading bits of its IPv6 one.
func network(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // there is no address: all such share a bucket
	}
	return p
}
