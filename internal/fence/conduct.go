package fence

import (
	"time"

	"github.com/posternhq/postern/internal/replica"
)

// conduct is what is held against an owner of verifiers, or against a tenant, because
// changes had to wait until sub-leases of their verifiers ran out. It does not go by
// what a verifier calls itself.
//
// The first few waits are forgiven. After that whoever is new, or was waited for, gets
// nothing for a while, and for twice as long each time it goes on; those who were there
// before, and whom nothing was waited for, go on: one process that fails again and again
// does not stop a whole fleet. When some of these are waited for too, nobody of the
// owner or of the tenant gets anything for as long.
type conduct struct {
	forgiven int              // waits that are
	waits    int              // that were counted
	before   int              // of them, those for who was there before the first, since nobody got anything
	first    time.Duration    // on the monotonic clock, as all that follows: the first wait
	last     replica.Standing // what was waited for then; a wait counts once, however many it was for
	length   time.Duration    // of the last time that somebody got nothing
	some     time.Duration    // until when those get nothing who are new, or were waited for
	all      time.Duration    // until when nobody does
	known    time.Duration    // until when this is remembered
	children int              // whose it is
}

const (
	forgivenOfOne = 3 // waits for verifiers of one owner
	forgivenOfAll = 6 // of one tenant

	// barredFor is how long nothing is given at first, and how long a wait is remembered
	// that was forgiven. The rest is remembered for ten times as long as nothing was given.
	barredFor  = time.Minute
	longestBar = 8 * barredFor
)

// blame notes that a change had to wait for a child.
func (c *conduct) blame(ch *child, now time.Duration, waited replica.Standing) {
	if now >= c.known {
		*c = conduct{forgiven: c.forgiven, children: c.children}
	}
	again := c.waits > 0 && c.last.Epoch == waited.Epoch && c.last.Position.Seq == waited.Position.Seq
	if again {
		return
	}
	if c.waits == 0 {
		c.first = now
	}
	c.last, c.known = waited, max(c.known, now+barredFor)
	switch c.waits++; {
	case c.waits < c.forgiven:
		return
	case c.waits == c.forgiven || c.suspects(ch):
		c.longer()
		c.some = now + c.length
	default:
		if c.before++; c.before < c.forgiven {
			return
		}
		c.longer()
		c.before, c.some, c.all = 0, now+c.length, now+c.length
	}
	c.known = now + 11*c.length
}

func (c *conduct) longer() { c.length = min(max(2*c.length, barredFor), longestBar) }

// suspects reports whether a child is new since the first wait, or was waited for.
func (c *conduct) suspects(ch *child) bool { return ch.waited || ch.began >= c.first }

// bars reports whether a child gets nothing.
func (c *conduct) bars(ch *child, now time.Duration) bool {
	return now < c.all || now < c.some && c.suspects(ch)
}

// conductOf returns what is held against somebody, for one more child. c.mu is held.
func (c *Children) conductOf(whose string, forgiven int) *conduct {
	of := c.conducts[whose]
	if of == nil {
		of = &conduct{forgiven: forgiven}
		c.conducts[whose] = of
	}
	of.children++
	return of
}

// forget forgets a child. c.mu is held.
func (c *Children) forget(id string, ch *child) {
	delete(c.open, id)
	ch.owner.children--
	ch.tenant.children--
}

// forgive forgets what is held against those who have no children any more, once that is
// long enough ago. c.mu is held.
func (c *Children) forgive(now time.Duration) {
	for whose, of := range c.conducts {
		if of.children == 0 && now >= of.known {
			delete(c.conducts, whose)
		}
	}
}
