package fence

import (
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// settle returns from which position on no child can answer from before it, as far
// as to a view of the replica, and true, or false when that is not known of more than
// before. What it waits for stays the same until it is so: changes may come faster
// than the slowest child.
func (c *Children) settle(v replica.View) (iam.Position, bool) {
	was := v.Standing()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep()
	if c.pending.Epoch != was.Epoch || c.pending.Position.Seq == 0 {
		c.pending = was
	}
	if c.blocked(v, c.pending) {
		return iam.Position{}, false
	}
	done := c.pending.Position
	if c.blocked(v, was) {
		c.pending = was
		return done, true
	}
	c.pending = replica.Standing{}
	return was.Position, true
}

// behind reports whether a child can answer from before a change by a sub-lease, as
// long as that lasts. It counts from what the child was given the sub-lease on, or has
// acknowledged since: where nothing between that and the change says anything to the
// child, it answers as it would after it. What a view of the replica cannot tell it
// takes to say something.
func (ch *child) behind(v replica.View, s subLease, at replica.Standing) bool {
	base := int64(-1)
	if s.epoch == at.Epoch {
		base = s.seq
	}
	if ch.epoch == at.Epoch {
		base = max(base, ch.acked)
	}
	if base < 0 || base < at.Position.Seq && v.Epoch() != at.Epoch {
		return true
	}
	return v.Touches(ch.Scope, base, at.Position.Seq)
}

// blocked reports whether somebody can answer from before a change, by what was given
// and not acknowledged. c.mu is held.
func (c *Children) blocked(v replica.View, at replica.Standing) bool {
	now := c.clock.Now().Monotonic
	for _, ch := range c.open {
		if slices.ContainsFunc(ch.given, func(s subLease) bool { return s.end > now && ch.behind(v, s, at) }) {
			return true
		}
	}
	return false
}

// blocks returns for how long somebody can, or zero. c.mu is held.
func (c *Children) blocks(v replica.View, at replica.Standing) (longest time.Duration) {
	now := c.clock.Now().Monotonic
	for _, ch := range c.open {
		for _, s := range ch.given {
			if s.end-now > longest && ch.behind(v, s, at) {
				longest = s.end - now
			}
		}
	}
	return longest
}

// sweep forgets what is over. c.mu is held.
func (c *Children) sweep() {
	now, v := c.clock.Now().Monotonic, c.replica.View()
	for id, ch := range c.open {
		ch.expire(now, v, c.pending)
		if ch.gone && len(ch.given) == 0 {
			c.forget(id, ch)
		}
	}
	c.forgive(now)
}

// expire forgets the sub-leases that are over. A child that has let all of them run
// out on the change that is waited for, if one is, is set aside.
func (ch *child) expire(now time.Duration, v replica.View, waited replica.Standing) {
	over := func(s subLease) bool { return now >= s.end }
	if !slices.ContainsFunc(ch.given, over) {
		return
	}
	held := func(s subLease) bool { return s.epoch == waited.Epoch && ch.behind(v, s, waited) }
	before := slices.ContainsFunc(ch.given, held)
	ch.given = slices.DeleteFunc(ch.given, over)
	if !before || slices.ContainsFunc(ch.given, held) || ch.owes >= waited.Position.Seq {
		return
	}
	ch.owes = waited.Position.Seq
	ch.owner.blame(ch, now, waited)
	ch.tenant.blame(ch, now, waited)
	ch.waited = true
}

// left returns for how long what is waited for can go on waiting, at most most. When
// nobody is in its way any more, that is until it is looked at again: at once.
func (c *Children) left(most time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.replica.View()
	if c.pending.Position.Seq == 0 || v.Epoch() != c.pending.Epoch {
		return most
	}
	return min(most, max(c.blocks(v, c.pending), briefly))
}

// briefly keeps those who wait from looking all the time, whatever keeps them.
const briefly = 10 * time.Millisecond

// wake has whoever waits look again, once nobody is in the way. c.mu is held.
func (c *Children) wake() {
	if c.pending.Position.Seq != 0 && !c.blocked(c.replica.View(), c.pending) {
		c.settled()
	}
	c.free.ring()
}
