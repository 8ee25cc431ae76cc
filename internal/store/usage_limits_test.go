package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

// A report from where keys are always used from, which is almost every report, makes
// nobody count rows.
func TestPostgreSQLLooksForTooManyOnlyWhereSomethingIsNew(t *testing.T) {
	s := open(t, storetest.Postgres(t), store.Options{})
	use := func(key, ip, ask string) iam.KeyUse {
		return iam.KeyUse{
			Key: iam.KeyID(key), Principal: "sa_1", Workspace: "ws_1",
			Sources: []iam.SourceUse{{IP: ip, First: morning, Last: morning, OK: 1}},
			Asks:    []iam.AskUse{{Ask: ask, Last: morning, OK: 1}},
		}
	}
	for i, step := range []struct {
		uses []iam.KeyUse
		want []string
	}{
		{[]iam.KeyUse{use("a", "192.0.2.1", "x:read"), use("b", "192.0.2.1", "x:read")}, []string{"a", "b"}},
		{[]iam.KeyUse{use("a", "192.0.2.1", "x:read"), use("b", "192.0.2.1", "x:read")}, nil},
		{[]iam.KeyUse{use("a", "192.0.2.1", "x:read"), use("b", "192.0.2.2", "x:read")}, []string{"b"}},
		{[]iam.KeyUse{use("a", "192.0.2.1", "x:write"), use("b", "192.0.2.2", "x:read")}, []string{"a"}},
	} {
		got, err := s.Grown(t.Context(), iam.UsageReport{Keys: step.uses})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("report %d: rows of %q are counted, want of %q", i+1, got, step.want)
		}
	}
}

// Whatever order sources come in, a key has never more than a hundred of them, and
// what was counted is there.
func TestNoReportLeavesTooManySources(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		w.register("r")
		var used int64
		for round := range 12 {
			use := iam.KeyUse{Key: w.old.ID, Principal: w.old.Principal.ID, Workspace: w.ws.ID}
			for i := range 25 { // some of them were there before, and some were summed
				at := w.now.Add(time.Duration(i) * time.Second)
				use.Sources = append(use.Sources, iam.SourceUse{IP: fmt.Sprintf("192.0.2.%d", (round*17+i)%200), First: at, Last: at, OK: 1})
				used++
			}
			w.report("r", iam.UsageReport{Keys: []iam.KeyUse{use}})
			w.now = w.now.Add(time.Hour)
			all, err := w.s.UsageSources(t.Context(), w.ws.ID, w.old.ID)
			if err != nil {
				t.Fatal(err)
			}
			var apart, counted int64
			for _, s := range all {
				counted += s.OK
				if !s.Others {
					apart++
				}
			}
			if apart > 100 || counted != used {
				t.Errorf("round %d: %d sources with %d uses, want 100 at most and %d", round, apart, counted, used)
			}
		}
	})
}

// What asks are summed under is bounded by the same report that brought them.
func TestNoReportLeavesTooManyAsks(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		w.register("r")
		use := iam.KeyUse{Key: w.old.ID, Principal: w.old.Principal.ID, Workspace: w.ws.ID}
		for i := range 300 {
			use.Asks = append(use.Asks, iam.AskUse{Ask: fmt.Sprintf("type%03d/a:read", i), Last: w.now.Add(time.Duration(i) * time.Second), OK: 1})
		}
		w.report("r", iam.UsageReport{Keys: []iam.KeyUse{use}})
		asks, err := w.s.Asks(t.Context(), w.ws.ID, w.old.Principal.ID, w.now.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		var used int64
		for _, a := range asks {
			used += a.OK
		}
		if len(asks) > 201 || used != 300 {
			t.Errorf("%d asks with %d uses, want 201 at most and 300", len(asks), used)
		}
	})
}
