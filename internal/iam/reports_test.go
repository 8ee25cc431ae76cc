package iam_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// use is how a key was accepted, first from one place and then from another.
func (w *world) use(k iam.Key) iam.KeyUse {
	now := w.clock.now()
	return iam.KeyUse{
		Key: k.ID, Principal: k.Principal.ID, Workspace: k.Workspace, LastOK: now,
		Minutes: []iam.UsePoint{{At: now.Truncate(time.Minute), OK: 3, Refused: 1}},
		Sources: []iam.SourceUse{
			{Others: true, First: now.Add(-time.Hour), Last: now, OK: 1},
			{IP: "192.0.2.3", First: now.Add(-time.Minute), Last: now, Refused: 1},
			{IP: "192.0.2.2", UserAgent: "later", First: now, Last: now, LastOK: now, OK: 1},
			{IP: "192.0.2.1", UserAgent: "odd \xff", First: now.Add(-time.Second), Last: now.Add(-time.Second), LastOK: now.Add(-time.Second), OK: 1},
		},
	}
}

// The log tells when a key was accepted for the first time ever, once.
func TestFirstUseOfAKeyIsInTheLogOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		if _, err := w.Store.Register(t.Context(), iam.Reporter{ID: "r1", Name: "node-1", Kind: iam.ServerNode}); err != nil {
			t.Fatal(err)
		}
		key, _ := w.key(w.account(iam.Viewer), iam.NewKey{})
		for n := range int64(3) {
			r := iam.UsageReport{Reporter: "r1", Number: n + 1, Keys: []iam.KeyUse{w.use(key)}}
			if _, err := w.Report(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		list, err := w.Store.Events(t.Context(), key.Workspace, iam.EventFilter{Action: "key.first_used"}, iam.Page{Limit: 10})
		if err != nil || len(list.Items) != 1 {
			t.Fatalf("events %v, %v; want one", list.Items, err)
		}
		got := list.Items[0].Event
		want := audit.Event{
			ID: got.ID, Workspace: string(key.Workspace), Seq: got.Seq, At: w.clock.now(),
			Actor: audit.Actor{Type: audit.ServiceAccount, ID: string(key.Principal.ID), Name: key.Principal.Name},
			Key:   &audit.Ref{ID: string(key.ID), Name: key.Name}, Action: "key.first_used",
			Target: audit.Target{Type: "key", ID: string(key.ID), Name: key.Name}, Outcome: audit.Done,
			Source: audit.Source{IP: "192.0.2.1", UserAgent: "odd \uFFFD", Node: "node-1"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("event (- want, + got):\n%s", diff)
		}
	})
}

func TestAskWithoutIDsKeepsWhatWasAskedFor(t *testing.T) {
	for ask, want := range map[string]string{
		"":                                       "",
		"agents:execute":                         "agents:execute",
		"agents/bot-1:execute agents/bot-2:read": "agents/…:execute agents/…:read",
		"agents/bot-1:read agents/bot-2:read":    "agents/…:read",
		"agents/x:read tickets:read":             "agents/…:read tickets:read",
		"nonsense agents:read":                   "agents:read …",
	} {
		if got := iam.WithoutIDs(ask); got != want {
			t.Errorf("%q without ids is %q, want %q", ask, got, want)
		}
		if again := iam.WithoutIDs(want); again != want {
			t.Errorf("%q without ids is %q, want it as it is", want, again)
		}
	}
}
