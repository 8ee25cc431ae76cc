package chaos

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Where a trouble is that is none of a node's.
const (
	database = -1
	outside  = -2 // at a verifier in a process of its own
)

// trouble is one thing that was wrong for a while.
type trouble struct {
	kind         string
	where        int // a node, or one of the above
	begun, ended time.Duration
	over         bool
}

// Troubles remember what was wrong and when. They are safe for concurrent use.
type Troubles struct {
	// Settle is how long after the end of a trouble nothing counts as calm yet.
	Settle time.Duration

	mu  sync.Mutex
	all []trouble // guarded by mu
}

// Begin notes that something is about to go wrong, and returns how to note that
// it is over.
func (t *Troubles) Begin(kind string, where int, clock Clock) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.all)
	t.all = append(t.all, trouble{kind: kind, where: where, begun: clock.Now()})
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all[n].ended, t.all[n].over = clock.Now(), true
	}
}

// Calm reports whether nothing was wrong from one moment to another, and for a
// while before.
func (t *Troubles) Calm(from, to time.Duration) bool { return len(t.during(from, to)) == 0 }

// Elsewhere reports whether something was wrong with other nodes than one, and
// nothing with that one or the database.
func (t *Troubles) Elsewhere(node int, from, to time.Duration) bool {
	during := t.during(from, to)
	return len(during) > 0 && !slices.ContainsFunc(during, func(one trouble) bool { return one.where == database || one.where == node })
}

func (t *Troubles) during(from, to time.Duration) (during []trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.all {
		if one.begun <= to && (!one.over || one.ended+t.Settle >= from) {
			during = append(during, one)
		}
	}
	return during
}

// Count returns how often each kind has happened.
func (t *Troubles) Count() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := map[string]int{}
	for _, one := range t.all {
		count[one.kind]++
	}
	return count
}

// kinds returns the kinds that have happened, in order.
func kinds(count map[string]int) []string { return slices.Sorted(maps.Keys(count)) }
