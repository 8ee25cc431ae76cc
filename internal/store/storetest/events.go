package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// events are never altered, are numbered and can be found.
var events = []contract{
	{"EventKeepsEveryField", testEvent},
	{"EventsAreNumberedPerWorkspace", testEventNumbers},
	{"EventFilters", testEventFilters},
	{"EventsAreFoundByTheirWords", testEventWords},
	{"EveryEventIsFoundHoweverMany", testManyEventWords},
	{"EventsAboutATargetAreThoseSinceARevision", testEventsAbout},
}

func testEvent(t *testing.T, open Open) {
	w := newWorld(t, open)
	want := audit.Event{
		ID: w.id(iam.EventPrefix), Workspace: string(w.ws.ID), Seq: 1, At: epoch, Actor: w.maker().Actor,
		Key: &audit.Ref{ID: string(w.key.ID), Name: w.key.Name}, Action: "role.updated",
		Target:  audit.Target{Type: "role", ID: string(w.role.ID), Name: "Operator \"x\" \u2028 ü"},
		Outcome: audit.Refused, Reason: "permission_denied: *:*",
		Source: audit.Source{IP: "192.0.2.7", UserAgent: "curl/8", Node: "node-1"}, RequestID: "req_x",
		Before: audit.Fields{"title": "a", "paused": true, "n": int64(1), "list": []string{"x"}, "none": nil},
		After:  audit.Fields{"title": "b", "more": audit.Fields{"a": "b"}},
	}
	full(t, want)
	note(t, w.s, func(tx iam.NoteTx) error { return tx.AppendEvent(t.Context(), want) })
	got := must[iam.AuditEvent](t, "event")(w.s.Event(t.Context(), w.ws.ID, iam.EventID(want.ID)))
	equal(t, "event", got, iam.AuditEvent{Event: want, ActorState: iam.Active})
}

func testEventNumbers(t *testing.T, open Open) {
	w := newWorld(t, open)
	other := func(e audit.Event) audit.Event { e.Workspace = "ws_gone"; return e } // also of one that is not there
	w.change(func(tx iam.Tx) error {
		return errors.Join(tx.AppendEvent(t.Context(), w.newEvent("a.a")), tx.AppendEvent(t.Context(), other(w.newEvent("b.b"))),
			tx.AppendEvent(t.Context(), w.newEvent("c.c")))
	})
	note(t, w.s, func(tx iam.NoteTx) error {
		return errors.Join(tx.AppendEvent(t.Context(), other(w.newEvent("d.d"))), tx.AppendEvent(t.Context(), w.newEvent("e.e")))
	})
	for ws, want := range map[iam.WorkspaceID]string{w.ws.ID: "1a.a 2c.c 3e.e ", "ws_gone": "1b.b 2d.d "} {
		got := ""
		for _, e := range must[iam.List[iam.AuditEvent]](t, "events")(w.s.Events(t.Context(), ws, iam.EventFilter{}, iam.Page{Limit: 9, Sort: "seq"})).Items {
			got += fmt.Sprint(e.Seq, e.Action, " ")
		}
		equal(t, "events of "+string(ws), got, want)
	}
}

// found lists the actions of the events that a filter lets through, oldest first.
func (w *world) found(f iam.EventFilter) string {
	w.t.Helper()
	var actions []string
	for _, e := range pages(w.t, 20, func(p iam.Page) (iam.List[iam.AuditEvent], error) {
		p.Sort = "seq"
		return w.s.Events(w.t.Context(), w.ws.ID, f, p)
	}) {
		actions = append(actions, e.Action)
	}
	return strings.Join(actions, " ")
}

func testEventFilters(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.change(func(tx iam.Tx) (err error) {
		for i := range 5 {
			e := w.newEvent(fmt.Sprint("e", i))
			e.At = epoch.Add(time.Duration(i) * time.Second)
			switch i {
			case 1:
				e.Actor = audit.Actor{Type: audit.System, ID: "system", Name: "expiry"}
			case 2:
				e.Outcome, e.Source.IP = audit.Refused, "192.0.2.7"
			case 3:
				e.Target.ID = "sa_x"
			}
			err = errors.Join(err, tx.AppendEvent(t.Context(), e))
		}
		return err
	})
	for _, e := range []struct {
		filter iam.EventFilter
		want   string
	}{
		{iam.EventFilter{}, "e0 e1 e2 e3 e4"},
		{iam.EventFilter{From: epoch.Add(3 * time.Second)}, "e3 e4"},
		{iam.EventFilter{To: epoch.Add(3 * time.Second)}, "e0 e1 e2"},
		{iam.EventFilter{From: epoch.Add(time.Second), To: epoch.Add(2 * time.Second)}, "e1"},
		{iam.EventFilter{Actor: "system"}, "e1"},
		{iam.EventFilter{Actor: string(w.member.ID)}, "e0 e2 e3 e4"},
		{iam.EventFilter{ActorType: audit.System}, "e1"},
		{iam.EventFilter{Action: "e4"}, "e4"},
		{iam.EventFilter{Action: "e"}, ""},
		{iam.EventFilter{Target: "sa_x"}, "e3"},
		{iam.EventFilter{Outcome: audit.Refused}, "e2"},
		{iam.EventFilter{Source: "192.0.2.7"}, "e2"},
		{iam.EventFilter{Source: "192.0.2.7", Outcome: audit.Done}, ""},
		{iam.EventFilter{ActorType: audit.Member, From: epoch.Add(time.Second), Query: "lovelace"}, "e2 e3 e4"},
	} {
		if got := w.found(e.filter); got != e.want {
			t.Errorf("%+v lets through %q, want %q", e.filter, got, e.want)
		}
	}
}

func testEventWords(t *testing.T, open Open) {
	w := newWorld(t, open)
	first, second := w.newEvent("service_account.created"), w.newEvent("key.revoked")
	first.Target = audit.Target{Type: "service_account", ID: "sa_01h2xcejqtf2nbrexx3vqjhp41", Name: "support-bot-prod"}
	first.Actor.Name = "Élodie Durand"
	second.Reason, second.RequestID = "compromised: seen in a_log 100%", "req_77"
	second.Key, second.Source.IP = &audit.Ref{ID: "key_9", Name: "CI deploy"}, "2001:db8::7"
	second.Target.Name = strings.Repeat("ü", 60) + " end"
	w.change(func(tx iam.Tx) error {
		return errors.Join(tx.AppendEvent(t.Context(), first), tx.AppendEvent(t.Context(), second))
	})
	const one, two = "service_account.created", "key.revoked"
	for query, want := range map[string]string{
		"":                         one + " " + two,
		"service_account.created":  one,
		"created":                  one,
		"CREAT":                    one,
		"support-bot":              one,
		"bot":                      one,
		"ot-prod":                  "", // words are found by their beginning
		"sa_01h2xcejqtf2nbrexx3vq": one,
		"élodie":                   one,
		"ÉLO dur":                  one, // both
		"élodie revoked":           "",
		"compromised":              two,
		"compromised:":             two,
		"a_log":                    two,
		"log":                      two,
		"100%":                     two,
		"%":                        "",
		"_":                        "",
		"a_":                       two,
		"ax":                       "",
		"req_77":                   two,
		"key_9 ci":                 two,
		"deploy":                   two,
		"2001:db8::":               two,
		strings.Repeat("Ü", 60):    two,
		"a\x00b":                   "",
		"'; DROP TABLE events; --": "",
	} {
		if got := w.found(iam.EventFilter{Query: query}); got != want {
			t.Errorf("query %q finds %q, want %q", query, got, want)
		}
	}
	_, err := w.s.Events(t.Context(), w.ws.ID, iam.EventFilter{Query: strings.Repeat("a ", 100)}, iam.Page{Limit: 1})
	isKind(t, "a query of a hundred words", err, iam.ValidationFailed)
}

// Events come alone and in bunches, and each has a word of its own and one that
// all have.
func testManyEventWords(t *testing.T, open Open) {
	w, n := newWorld(t, open), 0
	for _, bunch := range []int{1, 62, 1, 1, 63, 64, 1, 200, 3} {
		w.change(func(tx iam.Tx) (err error) {
			for range bunch {
				n++
				e := w.newEvent("key.created")
				e.Action, e.Target.Name = fmt.Sprint("e", n), fmt.Sprintf("number-%d.", n)
				err = errors.Join(err, tx.AppendEvent(t.Context(), e))
			}
			return err
		})
		if got := len(strings.Fields(w.found(iam.EventFilter{Query: "number"}))); got != n {
			t.Errorf("%d of %d events are found by the word that all have", got, n)
		}
	}
	for i := 1; i <= n; i += 5 {
		query := fmt.Sprintf("number-%d. ada", i)
		if got, want := w.found(iam.EventFilter{Query: query}), fmt.Sprint("e", i); got != want {
			t.Errorf("query %q finds %q, want %q", query, got, want)
		}
	}
	const ones = 1 + 10 + 100 // numbers that begin with 1
	if got := len(strings.Fields(w.found(iam.EventFilter{Query: "number-1 lovelace"}))); got != ones {
		t.Errorf("%d events are found by how their word begins, want %d", got, ones)
	}
}

func testEventsAbout(t *testing.T, open Open) {
	w := newWorld(t, open)
	appended := func(action string) int64 {
		return w.change(func(tx iam.Tx) error { return tx.AppendEvent(t.Context(), w.newEvent(action)) }).Seq
	}
	appended("a.a")
	since := appended("b.b")
	appended("c.c")
	note(t, w.s, func(tx iam.NoteTx) error { return tx.AppendEvent(t.Context(), w.newEvent("refused")) })
	other := w.newEvent("other")
	other.Target.ID = "key_other"
	w.change(func(tx iam.Tx) error { return tx.AppendEvent(t.Context(), other) })
	appended("d.d")
	var got []string
	for _, e := range must[[]audit.Event](t, "events")(w.s.EventsAbout(t.Context(), w.ws.ID, string(w.key.ID), since)) {
		got = append(got, e.Action)
	}
	equal(t, "events about the key", got, []string{"c.c", "d.d"})
}
