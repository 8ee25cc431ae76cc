package fence

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// status returns what a node says of the one of its name.
func (p *peer) status(t *testing.T, name string) iam.NodeStatus {
	t.Helper()
	all, err := p.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no node %s in %+v", name, all)
	return iam.NodeStatus{}
}

func TestANodeThatIsSilentIsSeenToLoseItsLease(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b", TTL: 20 * time.Second})
		settle()
		for _, name := range []string{"a", "b"} {
			if s := a.status(t, name); s.Own != (name == "a") || s.Lag != 0 || s.LeaseLeft < s.TTL*2/3 || s.LeaseLeft > s.TTL {
				t.Errorf("%s in good health: %+v", name, s)
			}
		}
		healthy := a.status(t, "b")
		b.door.fail(every, errCut)
		d.commit(t, d.key)
		time.Sleep(12 * time.Second)
		s := a.status(t, "b")
		if s.Lag != 1 || s.Acked != healthy.Acked {
			t.Errorf("cut off: lag %d at %d, want 1 at %d", s.Lag, s.Acked, healthy.Acked)
		}
		if s.LeaseLeft > 10*time.Second || s.LeaseLeft < 5*time.Second {
			t.Errorf("cut off for 12 s of 20 s: %v left", s.LeaseLeft)
		}
		if heard := s.LastContact.Sub(healthy.LastContact); heard < 0 || heard > 4*time.Second {
			t.Errorf("its last sign of life moved by %v", heard)
		}
		d.set(func() {
			row := d.rows[s.Incarnation]
			row.Counter++
			d.rows[s.Incarnation] = row
		})
		if s := a.status(t, "b"); s.LeaseLeft != 20*time.Second {
			t.Errorf("back again: %v left, want all", s.LeaseLeft)
		}
	})
}

func TestManyWhoAskForTheNodesShareAnswersThatAreNew(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		asked, began := d.count("all"), time.Now()
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { a.status(t, "a") })
		}
		all.Wait()
		if n, took := d.count("all")-asked, time.Since(began); n > 2 || took > 200*time.Millisecond {
			t.Errorf("the database was asked %d times in %v, want twice at most, soon", n, took)
		}
		for range 50 {
			a.status(t, "a")
		}
		if n, took := d.count("all")-asked, time.Since(began); n > int(took/(100*time.Millisecond))+6 { // reaping asks, too
			t.Errorf("then it was asked %d times in %v", n, took)
		}
		d.commit(t, d.key)
		time.Sleep(10 * time.Millisecond) // it has been told, and has acknowledged
		d.set(func() {
			for id, row := range d.rows {
				row.Name = "renamed"
				d.rows[id] = row
			}
		})
		if s := a.status(t, "renamed"); s.Lag > 1 {
			t.Errorf("an answer of before is told: %+v", s)
		}
	})
}

func TestNodesOfADatabaseThatIsSilentAreUnavailable(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		a.status(t, "a")
		time.Sleep(time.Second)
		release := a.door.hold("all")
		defer release()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if nodes, err := a.Nodes(t.Context()); !errors.Is(err, iam.Unavailable) {
					t.Errorf("got %v, %v, want %v", nodes, err, iam.Unavailable)
				}
			})
		}
		all.Wait()
	})
}

func TestVitalsSayOnWhatAnswersRest(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.prepare(t, Options{Name: "a", Bounded: 5 * time.Second})
		if v := a.Vitals(); v.Answers || !v.Leased || v.LeaseLeft != 0 || v.Durability != "" {
			t.Errorf("before it has joined: %+v", v)
		}
		a.start(t)
		settle()
		v := a.Vitals()
		if !v.Answers || v.NewsAge < 0 || v.NewsAge > time.Second || v.NewsAge+v.LeaseLeft != 8*time.Second || v.Durability != iam.Local || v.Waiting != 0 {
			t.Errorf("in good health: %+v", v)
		}
		a.door.fail(every, errCut)
		outcome := a.await(t, 30*time.Second, d.commit(t, d.key))
		time.Sleep(6 * time.Second)
		if v := a.Vitals(); !v.Answers || v.NewsAge < 6*time.Second || v.LeaseLeft > 2*time.Second || v.Waiting != 1 {
			t.Errorf("cut off: %+v", v)
		}
		time.Sleep(4 * time.Second)
		if v := a.Vitals(); v.Answers || v.LeaseLeft != 0 {
			t.Errorf("cut off for good: %+v", v)
		}
		a.door.fail(every, nil)
		<-outcome
		if v := a.Vitals(); v.Waiting != 0 {
			t.Errorf("nobody waits any more: %+v", v)
		}
	})
}
