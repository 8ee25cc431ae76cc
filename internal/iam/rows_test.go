package iam_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

// all returns every item of a list.
func all[T any](t tb, list func(iam.Page) (iam.List[T], error)) []T {
	t.Helper()
	page := iam.Page{Limit: 200}
	var items []T
	for {
		part, err := list(page)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		items = append(items, part.Items...)
		if part.Next == nil {
			return items
		}
		page.After = part.Next
	}
}

// events returns a workspace's events, oldest first.
func (w *world) events(ws iam.WorkspaceID) []iam.AuditEvent {
	w.t.Helper()
	return all(w.t, func(p iam.Page) (iam.List[iam.AuditEvent], error) {
		p.Sort = "seq"
		return w.Store.Events(w.t.Context(), ws, iam.EventFilter{}, p)
	})
}

// since returns the events that a call wrote, into all workspaces.
func (w *world) since(call func()) []iam.AuditEvent {
	w.t.Helper()
	before := map[string]bool{}
	for _, e := range w.allEvents() {
		before[e.ID] = true
	}
	call()
	return slices.DeleteFunc(w.allEvents(), func(e iam.AuditEvent) bool { return before[e.ID] })
}

func (w *world) allEvents() []iam.AuditEvent {
	w.t.Helper()
	events := w.events("") // of no workspace: there must not be any
	for _, ws := range w.workspaces() {
		events = append(events, w.events(ws.ID)...)
	}
	return events
}

func (w *world) workspaces() []iam.Workspace {
	w.t.Helper()
	return all(w.t, func(p iam.Page) (iam.List[iam.Workspace], error) {
		return w.Store.Workspaces(w.t.Context(), iam.WorkspaceFilter{}, p)
	})
}

// rows is all that the store holds but its audit log, as text, by id.
func (w *world) rows() map[string]string {
	w.t.Helper()
	ctx, rows := w.t.Context(), map[string]string{}
	at, err := w.Store.Snapshot(ctx, nothing{})
	if err != nil {
		w.t.Fatalf("read the position: %v", err)
	}
	rows["head"] = fmt.Sprint(at.Seq)
	for _, ws := range w.workspaces() {
		rows[string(ws.ID)] = text(ws)
		maps.Copy(rows, w.rowsOf(ctx, ws.ID))
	}
	return rows
}

func (w *world) rowsOf(ctx context.Context, ws iam.WorkspaceID) map[string]string {
	w.t.Helper()
	rows := map[string]string{}
	for _, a := range all(w.t, func(p iam.Page) (iam.List[iam.ServiceAccount], error) {
		return w.Store.ServiceAccounts(ctx, ws, iam.AccountFilter{}, p)
	}) {
		rows[string(a.ID)] = text(a)
	}
	for _, m := range all(w.t, func(p iam.Page) (iam.List[iam.Member], error) {
		return w.Store.Members(ctx, ws, iam.MemberFilter{}, p)
	}) {
		rows[string(m.ID)] = text(m)
	}
	for _, r := range all(w.t, func(p iam.Page) (iam.List[iam.Role], error) {
		return w.Store.Roles(ctx, ws, iam.RoleFilter{}, p)
	}) {
		rows[string(r.ID)] = text(r)
	}
	for _, k := range w.keys(ws) {
		rows[string(k.ID)] = text(k)
	}
	for _, i := range all(w.t, func(p iam.Page) (iam.List[iam.Invitation], error) {
		return w.Store.Invitations(ctx, ws, iam.InvitationFilter{Now: w.clock.now()}, p)
	}) {
		rows[string(i.ID)] = text(i)
	}
	for _, r := range all(w.t, func(p iam.Page) (iam.List[iam.Rotation], error) {
		return w.Store.Rotations(ctx, ws, iam.RotationFilter{}, p)
	}) {
		rows[string(r.ID)] = text(r)
	}
	types, err := w.Store.PermissionTypes(ctx, ws)
	if err != nil {
		w.t.Fatalf("read the types: %v", err)
	}
	rows[string(ws)+" types"] = text(types)
	return rows
}

func (w *world) keys(ws iam.WorkspaceID) []iam.Key {
	w.t.Helper()
	return all(w.t, func(p iam.Page) (iam.List[iam.Key], error) {
		return w.Store.Keys(w.t.Context(), ws, iam.KeyFilter{Now: w.clock.now()}, p)
	})
}

// nothing takes in a snapshot and keeps nothing of it.
type nothing struct{}

func (nothing) Workspace(iam.WorkspaceRecord) error { return nil }
func (nothing) Role(iam.RoleRecord) error           { return nil }
func (nothing) Principal(iam.PrincipalRecord) error { return nil }
func (nothing) Key(iam.KeyRecord) error             { return nil }

// text returns a row as text. Hashes are not in it.
func text(row any) string {
	encoded, err := json.Marshal(row)
	if err != nil {
		return fmt.Sprintf("%+v", row)
	}
	return string(encoded)
}

// changed returns what a call did to the rows, by id, as lines to read.
func (w *world) changed(call func()) []string {
	w.t.Helper()
	before := w.rows()
	call()
	return diff(before, w.rows())
}

func diff(before, after map[string]string) []string {
	var lines []string
	for id := range maps.Keys(before) {
		if after[id] != before[id] {
			lines = append(lines, fmt.Sprintf("%s\n\twas %s\n\tis  %s", id, before[id], after[id]))
		}
	}
	for id := range after {
		if _, was := before[id]; !was {
			lines = append(lines, fmt.Sprintf("%s is new: %s", id, after[id]))
		}
	}
	slices.Sort(lines)
	return lines
}

// wantNothing fails the test when rows were changed.
func wantNothing(t tb, changes []string) {
	t.Helper()
	if len(changes) > 0 {
		t.Errorf("got these changes, want none:\n%s", strings.Join(changes, "\n"))
	}
}

// asError returns what an error tells the caller, which is nothing when it is
// not theirs to hear.
func asError(err error) iam.Error {
	e, ok := errors.AsType[*iam.Error](err)
	if !ok {
		return iam.Error{}
	}
	return *e
}

func kindOf(err error) iam.Kind { return asError(err).Kind }

// wantKind fails the test unless an error is of a kind.
func wantKind(t tb, err error, want iam.Kind) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want one of kind %s", err, want)
	}
}

// wantDenied fails the test unless an error says that a permission is missing.
func wantDenied(t tb, err error, permission string) {
	t.Helper()
	e, ok := errors.AsType[*iam.Error](err)
	if !ok || e.Kind != iam.PermissionDenied || e.Permission != permission {
		t.Errorf("got error %v, want permission_denied that names %s", err, permission)
	}
}

// wantField fails the test unless an error says, with a pointer and a code, what
// is wrong with the input.
func wantField(t tb, err error, pointer, code string) {
	t.Helper()
	e, ok := errors.AsType[*iam.Error](err)
	if !ok || (e.Kind != iam.ValidationFailed && e.Kind != iam.PolicyViolation) {
		t.Errorf("got error %v, want validation_failed or policy_violation", err)
		return
	}
	for _, f := range e.Fields {
		if f.Pointer == pointer && f.Code == code {
			return
		}
	}
	t.Errorf("got fields %v, want one at %q with code %s", e.Fields, pointer, code)
}
