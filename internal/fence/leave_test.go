package fence

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/replica"
)

// The last word of a process arrives when its successor has joined.
func TestWhatAnEarlierProcessSentDoesNotHarmALater(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, before := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		last := before.me().incarnation
		before.end()
		b := d.node(t, Options{Name: "b"})
		settle()
		b.expect(t, d.key, "the successor", replica.Valid)
		if _, err := before.door.Leave(t.Context(), last); err != nil {
			t.Errorf("leave: %v", err)
		}
		release := b.door.hold("changes")
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(200 * time.Millisecond)
		pending(t, "while the successor is held back", done)
		release()
		if o := <-done; o.err != nil || o.Nodes.Confirmed != 2 {
			t.Errorf("%+v, %v", o.Receipt, o.err)
		}
	})
}

func TestLeavingRemovesTheRowLast(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		view := b.replica.View()
		drained := make(chan struct{})
		left := make(chan error, 1)
		go func() {
			left <- b.Leave(t.Context(), func(context.Context) error { <-drained; return nil })
		}()
		synctest.Wait()
		if b.replica.Still(view) {
			t.Error("what is in flight could still be answered")
		}
		b.expect(t, d.key, "leaving", replica.Stale)
		time.Sleep(2 * time.Second)
		if names := d.names(); len(names) != 2 {
			t.Fatalf("rows: %v, want both while something is in flight", names)
		}
		b.expect(t, d.key, "2 s later", replica.Stale)
		close(drained)
		if err := <-left; err != nil {
			t.Errorf("leave: %v", err)
		}
		if names := d.names(); !slices.Equal(names, []string{"a"}) {
			t.Errorf("rows: %v, want only a's", names)
		}
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took > 50*time.Millisecond || o.Nodes.Total != 1 {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		time.Sleep(time.Minute)
		b.expect(t, d.key, "a minute after it left", replica.Stale)
		if n := len(d.names()); n != 1 {
			t.Errorf("%d rows: it joined again", n)
		}
	})
}

// The answer to a renewal that was under way when the node began to leave.
func TestALeaseThatComesWhileLeavingIsNotTakenUp(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		release := a.door.holdAnswer("renew")
		time.Sleep(time.Second) // one is under way
		drained := make(chan struct{})
		left := make(chan error, 1)
		go func() { left <- a.Leave(t.Context(), func(context.Context) error { <-drained; return nil }) }()
		synctest.Wait()
		release()
		synctest.Wait()
		a.expect(t, d.key, "after the late answer", replica.Stale)
		close(drained)
		if err := <-left; err != nil {
			t.Errorf("leave: %v", err)
		}
	})
}

// The database does not answer when a node that is told to stop says goodbye.
func TestLeavingDoesNotWaitForADatabaseThatIsSilent(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		defer a.door.hold(every)()
		begun := time.Now()
		err := a.Leave(context.Background(), func(context.Context) error { return nil })
		if took := time.Since(begun); err == nil || took > farewell {
			t.Errorf("it left after %v, %v; want it to give up after %v, and to say so", took, err, farewell)
		}
		a.expect(t, d.key, "leaving", replica.Stale)
	})
}

// The row of a node that was told to stop while it joined comes too late: nobody
// answers by it, and it is removed.
func TestAJoinThatComesWhileLeavingIsNotTakenUp(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		d.node(t, Options{Name: "a"})
		b := d.prepare(t, Options{Name: "b"})
		release := b.door.hold("join")
		b.start(t)
		if err := b.Leave(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("leave: %v", err)
		}
		release()
		synctest.Wait()
		if names := d.names(); len(names) != 2 {
			t.Fatalf("rows: %v, want both: nothing was tried", names)
		}
		for range 100 {
			b.expect(t, d.key, "told to stop", replica.Stale)
		}
		time.Sleep(10 * time.Second)
		if names := d.names(); !slices.Equal(names, []string{"a"}) {
			t.Errorf("rows: %v, want only a's", names)
		}
	})
}
