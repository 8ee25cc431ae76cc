package fence

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// heard is a journal that remembers what it is told, in words.
type heard struct {
	mu    sync.Mutex // guards words
	words []string
}

func (h *heard) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.words = append(h.words, fmt.Sprintf(format, args...))
}

func (h *heard) Joined(n iam.NodeRow) {
	h.say("%s joined, as known: %t", n.Name, n.Incarnation != "" && n.TTL > 0 && !n.StartedAt.IsZero())
}

func (h *heard) Stale(n iam.NodeRow, from, to time.Time) {
	h.say("%s stale for %v until %v ago", n.Name, to.Sub(from), time.Since(to))
}

func (h *heard) Left(n iam.NodeRow, why string) { h.say("%s left: %s", n.Name, why) }

// told returns what the journal was told.
func (h *heard) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.words
}

// expect fails the test unless the journal was told just that since the last time.
func (h *heard) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.words, want) {
		t.Errorf("%s: got %q, want %q", when, h.words, want)
	}
	h.words = nil
}

func TestAJournalHearsOfJoiningAndLeavingOnce(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		var a heard
		p := d.node(t, Options{Name: "a", Journal: &a})
		a.expect(t, "with its first lease", "a joined, as known: true")
		time.Sleep(10 * time.Minute)
		a.expect(t, "ten minutes later")
		if err := p.Leave(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		a.expect(t, "when it has left", "a left: it was stopped")
		time.Sleep(time.Minute)
		a.expect(t, "a minute later")
	})
}

// Until there is a lease nobody has joined, whatever rows have been written.
func TestAJournalHearsNothingOfANodeThatDoesNotAnswer(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		var a heard
		p := d.prepare(t, Options{Name: "a", Journal: &a})
		p.door.fail("renew", errCut)
		p.start(t)
		time.Sleep(time.Minute)
		a.expect(t, "without a lease")
		p.door.fail("renew", nil)
		time.Sleep(time.Second)
		a.expect(t, "with one", "a joined, as known: true")
	})
}

func TestAJournalHearsForHowLongNothingWasAnswered(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		var a heard
		p := d.node(t, Options{Name: "a", Journal: &a})
		time.Sleep(2400 * time.Millisecond) // a renewal is due at 2.5 s
		a.expect(t, "at the start", "a joined, as known: true")
		p.door.fail(every, errCut)
		time.Sleep(3 * time.Second) // its lease lives until 1.875 s and 4 s
		p.door.fail(every, nil)
		time.Sleep(time.Second)
		a.expect(t, "after an outage that the lease outlived")
		p.door.fail(every, errCut)
		time.Sleep(time.Minute)
		a.expect(t, "while it is away")
		p.door.fail(every, nil)
		time.Sleep(time.Second)
		p.end()
		a.mu.Lock()
		words := slices.Clone(a.words)
		a.mu.Unlock()
		if len(words) != 1 {
			t.Fatalf("when it is back: got %q, want one event", words)
		}
		var gap, ago string
		if _, err := fmt.Sscanf(words[0], "a stale for %s until %s ago", &gap, &ago); err != nil {
			t.Fatal(words[0], err)
		}
		if d, err := time.ParseDuration(gap); err != nil || d < 55*time.Second || d > 58*time.Second {
			t.Errorf("stale for %s, want about 56 s: a minute without the four seconds of a lease", gap)
		}
	})
}

// Nobody looks at the clock while a process is stopped.
func TestAJournalHearsOfALeaseThatEndedUnseen(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		var a heard
		p := d.node(t, Options{Name: "a", Journal: &a})
		release := p.door.hold("renew")
		time.Sleep(700 * time.Millisecond) // a renewal is under way
		a.expect(t, "at the start", "a joined, as known: true")
		p.clock.shift(time.Hour) // as a machine's wall clock has it when it wakes
		release()
		time.Sleep(time.Second)
		if a.mu.Lock(); len(a.words) != 1 {
			t.Errorf("got %q, want that it was stale", a.words)
		}
		a.mu.Unlock()
	})
}

func TestAJournalHearsOfANewIncarnationAndOfTheOldOnesEnd(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		var a heard
		d.node(t, Options{Name: "a", Journal: &a})
		a.expect(t, "at the start", "a joined, as known: true")
		d.set(func() { d.authority.Timeline = "2" })
		time.Sleep(1500 * time.Millisecond) // a renewal comes after 625 ms, and it joins anew half a second later
		a.expect(t, "after a failover", "a stale for 500ms until 0s ago", "a joined, as known: true")
		time.Sleep(10 * time.Second)
		a.expect(t, "when its old row is removed", "a left: nothing was heard of it for 5s")
	})
}

// Of two that see that a node is dead, the one that removes its row tells.
func TestOneReaperTellsOfADeadNode(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		var a, b, c heard
		one, other := d.node(t, Options{Name: "a", Journal: &a}), d.node(t, Options{Name: "b", Journal: &b})
		dead := d.node(t, Options{Name: "c", Journal: &c})
		time.Sleep(3 * time.Second)
		a.expect(t, "a", "a joined, as known: true")
		b.expect(t, "b", "b joined, as known: true")
		dead.end()
		release, releaseOther := one.door.hold("reap"), other.door.hold("reap")
		time.Sleep(5850 * time.Millisecond) // both looked 3.75 s after the start, again 5 s later, and found what they would remove
		if names := d.names(); len(names) != 3 {
			t.Fatalf("rows: %v, want all while both are held back", names)
		}
		release()
		releaseOther()
		time.Sleep(time.Minute)
		both := heard{words: slices.Concat(a.told(), b.told())}
		both.expect(t, "of both", "c left: nothing was heard of it for 5s")
	})
}
