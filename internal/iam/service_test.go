package iam_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// S13: a change is an event: who, with which key, what, on what, from where.
func TestEveryChangeWritesItsEvents(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		c, _ := w.admin(ch)
		call := ch.ready(w, c)
		var done result
		events := w.since(func() { done = w.succeed(call, c) })
		byAction := func(a, b event) int { return cmp.Compare(a.action, b.action) }
		want := slices.SortedStableFunc(slices.Values(ch.writes), byAction)
		slices.SortStableFunc(events, func(a, b iam.AuditEvent) int { return cmp.Compare(a.Action, b.Action) })
		if len(events) != len(want) {
			w.t.Fatalf("got %d events, want %d:\n%s", len(events), len(want), text(events))
		}
		for i, e := range events {
			want[i].compare(w.t, e)
			wantSigned(w.t, e, ch, c)
		}
		if targets(done.value) != "" && !slices.ContainsFunc(events, func(e iam.AuditEvent) bool { return e.Target.ID == targets(done.value) }) {
			w.t.Errorf("no event is about %s:\n%s", targets(done.value), text(events))
		}
	})
}

// compare fails the test unless an event says what it must.
func (want event) compare(t tb, got iam.AuditEvent) {
	t.Helper()
	if got.Action != want.action || got.Target.Type != want.target || got.Reason != want.reason || got.Outcome != audit.Done {
		t.Errorf("got %s of a %s, %s, reason %q; want %s of a %s, done, reason %q",
			got.Action, got.Target.Type, got.Outcome, got.Reason, want.action, want.target, want.reason)
	}
	for _, part := range []struct {
		name      string
		got, want audit.Fields
	}{{"before", got.Before, want.before}, {"after", got.After, want.after}} {
		if g, w := masked(part.got, part.want), plainFields(part.want); !reflect.DeepEqual(g, w) {
			t.Errorf("%s, %s: got %v, want %v", got.Action, part.name, g, w)
		}
	}
	if got.Target.ID == "" || got.Target.Name == "" {
		t.Errorf("%s: got the target %+v, want one with an id and a name", got.Action, got.Target)
	}
}

// masked returns fields as plain JSON, with anything in place of what is not to
// be compared.
func masked(got, want audit.Fields) map[string]any {
	fields := plainFields(got)
	for name, value := range want {
		if _, there := fields[name]; there && value == anything {
			fields[name] = anything
		}
	}
	return fields
}

func plainFields(f audit.Fields) map[string]any {
	plain := map[string]any{}
	encoded, err := json.Marshal(f)
	if err != nil {
		return map[string]any{"not JSON": err.Error()}
	}
	if err := json.Unmarshal(encoded, &plain); err != nil {
		return map[string]any{"not an object": err.Error()}
	}
	return plain
}

// wantSigned fails the test unless an event says who caused it and from where.
func wantSigned(t tb, e iam.AuditEvent, ch change, c iam.Caller) {
	t.Helper()
	actor := audit.Actor{Type: c.Principal.Type, ID: string(c.Principal.ID), Name: c.Principal.Name}
	key, source := &audit.Ref{ID: string(c.Key.ID), Name: c.Key.Name}, whence
	switch {
	case ch.caller == byNobody: // who joins acts, without a key
		actor, key = audit.Actor{Type: audit.Member, ID: e.Actor.ID, Name: "Jo Park"}, nil
	case e.Workspace != string(c.Workspace.ID): // a tenant does not learn who operates the deployment
		actor, key = audit.Actor{Type: audit.System, ID: "system", Name: "operators of this deployment"}, nil
		source = audit.Source{Node: whence.Node}
	}
	if e.Actor != actor || !reflect.DeepEqual(e.Key, key) {
		t.Errorf("%s: got actor %+v with key %+v, want %+v with %+v", e.Action, e.Actor, e.Key, actor, key)
	}
	if e.Source != source || e.RequestID != c.RequestID || !e.At.Equal(began) {
		t.Errorf("%s: got %+v, request %q at %s; want %+v, %q, %s", e.Action, e.Source, e.RequestID, e.At, source, c.RequestID, began)
	}
	if e.Workspace == "" {
		t.Errorf("%s: the event is in no workspace's log", e.Action)
	}
}

// targets returns the id of what a change was about.
func targets(value any) string {
	switch v := value.(type) {
	case iam.ServiceAccount:
		return string(v.ID)
	case iam.Key:
		return string(v.ID)
	case iam.RevokedKey:
		return string(v.Key.ID)
	case iam.StartedRotation:
		return string(v.Rotation.ID)
	case iam.JudgedRotation:
		return string(v.ID)
	case iam.Member:
		return string(v.ID)
	case iam.RemovedMember:
		return string(v.Member.ID)
	case iam.AcceptedInvitation:
		return string(v.Member.ID)
	case iam.Invitation:
		return string(v.ID)
	case iam.Role:
		return string(v.ID)
	case iam.Workspace:
		return string(v.ID)
	case iam.CreatedWorkspace:
		return string(v.Workspace.ID)
	}
	return ""
}

// succeed makes a call that must succeed.
func (w *world) succeed(call call, c iam.Caller) result {
	w.t.Helper()
	done, err := call(w.t.Context(), c)
	if err != nil {
		w.t.Fatalf("got error %v, want none", err)
	}
	return done
}

// S13, A19: wherever the store fails in the course of a change, the event
// included, the call fails and nothing of it is left.
func TestEveryChangeHappensWholeOrNotAtAll(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		c, _ := w.admin(ch)
		call := ch.ready(w, c)
		c.Idempotency = &iam.Idempotency{Scope: w.name("scope"), Key: "once"}
		rows, events := w.rows(), len(w.allEvents())
		var failed []string
		for n := 0; ; n++ {
			statement := w.failAt(n)
			done, err := call(w.t.Context(), c)
			w.each(nil)
			if *statement == "" {
				if err != nil {
					w.t.Errorf("with no statement failing: got error %v, want none", err)
				}
				break
			}
			wantNothing(w.t, diff(rows, w.rows()))
			failed = append(failed, *statement)
			if !errors.Is(err, errInjected) || !done.shown.IsZero() || done.receipt.Confirmed {
				w.t.Errorf("%s fails: got %+v and error %v, want only the error", *statement, done, err)
			}
		}
		if !slices.Contains(failed, "AppendEvent") || !slices.Contains(failed, "Remember") {
			w.t.Errorf("these statements failed, want the event's and the replay's among them: %v", failed)
		}
		if got, want := len(w.allEvents()), events+len(ch.writes); got != want {
			w.t.Errorf("got %d events in all, want %d: those of the one call that succeeded", got, want)
		}
	})
}

var errInjected = errors.New("injected")

// failAt has the nth statement from now fail. Its name is set when it did.
func (w *world) failAt(n int) *string {
	name, asked := new(string), 0
	w.each(func(statement string) error {
		if asked++; asked == n+1 {
			*name = statement
			return fmt.Errorf("%s: %w", statement, errInjected)
		}
		return nil
	})
	return name
}

// What an event leaves out nobody can find out again: two descriptions that read
// alike are not the same.
func TestEventTellsEveryDifference(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		one := map[string]string{"a": "1 b:2"}
		two := map[string]string{"a": "1", "b": "2"}
		account := made(w.CreateServiceAccount(t.Context(), w.owner, "-", iam.NewServiceAccount{
			Name: w.name("bot"), Role: iam.Viewer, Metadata: one,
		}))(t)
		events := w.since(func() {
			made(w.UpdateServiceAccount(t.Context(), w.owner, "-", account.Name, iam.AccountPatch{Metadata: &two}))(t)
		})
		event{
			action: "service_account.updated", target: "service_account",
			before: audit.Fields{"metadata": one}, after: audit.Fields{"metadata": two},
		}.compare(t, events[0])
		none := map[string]string{}
		events = w.since(func() {
			made(w.UpdateServiceAccount(t.Context(), w.owner, "-", account.Name, iam.AccountPatch{Metadata: &none}))(t)
			made(w.UpdateServiceAccount(t.Context(), w.owner, "-", account.Name, iam.AccountPatch{Metadata: &none}))(t)
		})
		if last := events[1]; len(last.After) > 0 {
			t.Errorf("nothing was changed: got %s, want no difference", text(last))
		}
	})
}
