package fence

import (
	"cmp"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/replica"
)

// Status returns the connections that have not ended, by name.
func (c *Children) Status() []replica.Follower {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep()
	now, here := c.clock.Now().Monotonic, c.replica.Standing()
	all := make([]replica.Follower, 0, len(c.open))
	for id, ch := range c.open {
		if ch.gone {
			continue
		}
		f := replica.Follower{
			ID: id, Name: ch.Name, Process: ch.Process, Scope: ch.Scope, Since: wall(ch.since),
			Lag: here.Position.Seq, Left: ch.left(now), SetAside: ch.setAside(now),
		}
		if ch.heard != 0 {
			f.Heard = wall(ch.heard)
		}
		if ch.epoch == here.Epoch {
			f.Acked, f.Lag = ch.acked, max(0, here.Position.Seq-ch.acked)
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b replica.Follower) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Sum returns what there is to say of all of them together.
func (c *Children) Sum() (sum replica.Followers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep()
	now := c.clock.Now().Monotonic
	for _, ch := range c.open {
		sum.Held = max(sum.Held, ch.left(now))
		if ch.gone {
			continue
		}
		sum.Count++
		if ch.setAside(now) {
			sum.SetAside++
		}
	}
	if c.pending.Position.Seq > 0 {
		sum.Blocking = c.blocks(c.replica.View(), c.pending)
	}
	return sum
}

// left returns for how long a child may answer.
func (ch *child) left(now time.Duration) (longest time.Duration) {
	for _, s := range ch.given {
		longest = max(longest, s.end-now)
	}
	return longest
}

// setAside reports whether a child gets no sub-lease.
func (ch *child) setAside(now time.Duration) bool {
	return ch.acked < ch.owes || ch.owner.bars(ch, now) || ch.tenant.bars(ch, now)
}

func wall(t time.Duration) time.Time { return time.Unix(0, int64(t)).UTC() }
