package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

// TestSearchesOfALongLogFindWhatIsThere compares pages of a log that is longer than
// what is looked through one by one with all of its events, one by one.
func TestSearchesOfALongLogFindWhatIsThere(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		s := open(t, url, store.Options{})
		w := seed(t, s)
		all := w.longLog(t, s, 4_700)
		begun := all[len(all)-1].At
		for name, f := range map[string]iam.EventFilter{
			"what few have":              {Query: "rare"},
			"what most have":             {Query: "nightly"},
			"what only old ones have":    {Query: "once"},
			"only the oldest of these":   {Query: "once", Action: "role.updated"},
			"the beginning of a word":    {Query: "nig rar"},
			"few and an action":          {Query: "rare", Action: "key.revoked"},
			"most and refused":           {Query: "nightly", Outcome: audit.Refused},
			"nothing":                    {Query: "never nightly"},
			"an address":                 {Source: "192.0.2.9"},
			"an action":                  {Action: "key.created"},
			"an action of a type":        {Action: "key.created", ActorType: audit.System},
			"an action that was refused": {Action: "key.revoked", Outcome: audit.Refused},
			"a type":                     {ActorType: audit.Member},
			"an actor and an action":     {Actor: "mem_1", Action: "key.revoked"},
			"a time":                     {From: begun.Add(time.Hour), To: begun.Add(30 * time.Hour)},
			"a time and a word":          {From: begun.Add(time.Hour), To: begun.Add(50 * time.Hour), Query: "rare"},
		} {
			var want []string
			for _, e := range all {
				if lets(f, e) {
					want = append(want, e.ID)
				}
			}
			for _, limit := range []int{7, 200} {
				if got := eventIDs(t, s, w.ws.ID, f, limit, len(want)); !slices.Equal(got, want[:min(len(want), len(got))]) || len(got) < min(len(want), 40*limit) {
					t.Errorf("%s by %d: got %d events, want %d, the same ones", name, limit, len(got), len(want))
				}
			}
		}
	})
}

// lets is the filter said in other words.
func lets(f iam.EventFilter, e audit.Event) bool {
	for word := range strings.FieldsSeq(f.Query) {
		if !strings.Contains(" "+e.Reason, " "+word) {
			return false
		}
	}
	is := func(want, got string) bool { return want == "" || want == got }
	return is(f.Source, e.Source.IP) && is(f.Action, e.Action) && is(string(f.ActorType), string(e.Actor.Type)) && is(f.Actor, e.Actor.ID) &&
		is(string(f.Outcome), string(e.Outcome)) && !e.At.Before(f.From) && (f.To.IsZero() || e.At.Before(f.To))
}

// eventIDs reads forty pages at most of a list, and one more at its end.
func eventIDs(t *testing.T, s *store.Store, ws iam.WorkspaceID, f iam.EventFilter, limit, most int) (ids []string) {
	t.Helper()
	p := iam.Page{Limit: limit}
	for range 40 {
		list, err := s.Events(t.Context(), ws, f, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			ids = append(ids, e.ID)
		}
		if p.After = list.Next; p.After == nil {
			break
		}
		if len(ids) >= most {
			t.Fatalf("%+v: there is to be more after %d events, which are all", f, len(ids))
		}
	}
	return ids
}

// longLog appends events to the log, an hour between two, and returns them, the
// newest first.
func (w *seeded) longLog(t *testing.T, s *store.Store, n int) (all []audit.Event) {
	t.Helper()
	begun := time.Now().Add(-time.Duration(n) * time.Hour).UTC().Truncate(time.Microsecond)
	types := []audit.ActorType{audit.Member, audit.ServiceAccount, audit.System}
	for i := range n {
		at := begun.Add(time.Duration(i) * time.Hour)
		e := audit.Event{
			ID: iam.NewID(iam.EventPrefix, at), Workspace: string(w.ws.ID), At: at, Actor: audit.Actor{Type: types[i%3], ID: fmt.Sprintf("mem_%d", i%3)},
			Action: "key.created", Target: audit.Target{Type: "key", ID: "key_1"}, Outcome: audit.Done, Reason: "nightly", Source: audit.Source{IP: "192.0.2.7"},
		}
		switch {
		case i%101 == 0:
			e.Reason, e.Action = "nightly rare", "key.revoked"
		case i%97 == 0:
			e.Reason, e.Outcome, e.Source.IP = "rare", audit.Refused, "192.0.2.9"
		case i < 300:
			e.Reason = "once"
			if i < 120 {
				e.Action = "role.updated"
			}
		}
		all = append(all, e)
	}
	for part := range slices.Chunk(all, 500) {
		err := s.Note(t.Context(), func(tx iam.NoteTx) (err error) {
			for _, e := range part {
				err = errors.Join(err, tx.AppendEvent(t.Context(), e))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Reverse(all)
	return all
}
