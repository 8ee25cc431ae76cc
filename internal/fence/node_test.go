package fence

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

func TestANodeJoinsRenewsAndGoesOn(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a", Version: "1.2.3"})
		a.expect(t, d.key, "as soon as it has joined", replica.Valid)
		time.Sleep(10 * time.Minute)
		a.expect(t, d.key, "ten minutes later", replica.Valid)
		if err := a.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		if n, per := d.count("renew"), 10*time.Minute/(5*time.Second/8); n < int(per)-2 || n > int(per)+2 {
			t.Errorf("it renewed %d times in ten minutes, want one each eighth of a TTL, %d", n, per)
		}
		all, err := a.Nodes(t.Context())
		if err != nil || len(all) != 1 || !all[0].Own || all[0].Name != "a" || all[0].Version != "1.2.3" || all[0].Lag != 0 || all[0].LeaseLeft > 5*time.Second {
			t.Errorf("nodes: %+v, %v", all, err)
		}
		if age, ok := a.OldestAccept(); !ok || age > time.Second {
			t.Errorf("the oldest accept: %v, %v", age, ok)
		}
	})
}

func TestAnOutageIsSurvivedForFourFifthsOfATTLAndNoLonger(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		a.door.fail(every, errCut)
		time.Sleep(3300 * time.Millisecond)
		a.expect(t, d.key, "3.3 s without the database", replica.Valid)
		time.Sleep(700 * time.Millisecond)
		a.expect(t, d.key, "4 s without it", replica.Stale)
		if err := a.Ready(); !errors.Is(err, iam.Stale) {
			t.Errorf("ready: got %v, want stale", err)
		}
		time.Sleep(time.Minute)
		a.door.fail(every, nil)
		time.Sleep(2 * time.Second)
		a.expect(t, d.key, "2 s after it came back", replica.Valid)
		if n := d.count("snapshot"); n != 1 {
			t.Errorf("it loaded %d times, want only at the start", n)
		}
	})
}

func TestAnAnswerWaitsALittleForALease(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		a.door.fail(every, errCut)
		time.Sleep(10 * time.Second)
		begun := time.Now()
		a.expect(t, d.key, "without a database", replica.Stale)
		if took := time.Since(begun); took != replica.Patience {
			t.Errorf("it was said to be stale after %v, want %v", took, replica.Patience)
		}
		a.door.fail(every, nil)
		a.expect(t, d.key, "asked when it is back", replica.Valid)
	})
}

func TestAFloodOfQuestionsAsksForTenRenewalsASecond(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		a.door.fail("renew", errCut)
		time.Sleep(10 * time.Second)
		before := d.count("renew")
		var flood sync.WaitGroup
		for range 100 {
			flood.Go(func() {
				for range 50 {
					a.ask(d.key)
				}
			})
		}
		flood.Wait() // 50 times 150 ms
		if n := d.count("renew") - before; n < 70 || n > 80 {
			t.Errorf("%d renewals in 7.5 s, want ten a second", n)
		}
	})
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	d := &deployment{memory: newMemory()}
	good := d.prepare(t, Options{})
	for name, change := range map[string]func(*Options){
		"no TTL":              func(o *Options) { o.TTL = 0 },
		"a TTL of 0.9 s":      func(o *Options) { o.TTL = 900 * time.Millisecond },
		"a TTL of 61 s":       func(o *Options) { o.TTL = 61 * time.Second },
		"a bound in the past": func(o *Options) { o.Bounded = -1 },
		"no replica":          func(o *Options) { o.Replica = nil },
	} {
		o := Options{TTL: time.Second, Replica: good.replica, Database: good.door, Clock: good.clock, Random: chaos{newKernel(1)}}
		if _, err := New(o); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
}

func TestAnsweringDoesNotAllocate(t *testing.T) {
	d := &deployment{memory: newMemory()}
	d.key = iam.KeyRecord{
		ID: iam.KeyID(iam.FormatID(iam.KeyPrefix, [16]byte{15: 1})), Principal: "sa_sim", Name: "one", Hash: token.NewSecret("one").Hash(),
	}
	d.commit(t, d.key)
	p := d.prepare(t, Options{})
	if err := p.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	var code replica.Code
	if n := testing.AllocsPerRun(1000, func() {
		err := p.Answer(t.Context(), func(v replica.View) {
			code = v.Verify(d.key.Hash, replica.Query{Scope: replica.AnyWorkspace()}).Code
		})
		if err != nil || code != replica.Valid {
			t.Fatal(code, err)
		}
	}); n > 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
