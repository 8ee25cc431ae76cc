package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// constraints decide, and say what they decided.
var constraints = []contract{
	{"WhatIsNotThereIsNotFound", testNotFound},
	{"AnotherWorkspacesThingsAreNotFound", testOtherWorkspace},
	{"TextThatCannotBeStoredIsNotFound", testNotStorable},
	{"NamesAreTakenOnce", testTaken},
	{"AnAccountsNameIsNeverGivenAgain", testNameAfterRevocation},
	{"NorIsOneThatItHadBefore", testNameAfterRenaming},
	{"OnePersonIsOneMember", testAlreadyMember},
	{"UpdatingWhatIsNotThereIsNotFound", testUpdateNothing},
	{"ARefusedInsertLeavesNothing", testTakenLeavesNothing},
}

// lookups calls each method of [iam.Reader] that looks for one thing, with the ids
// of w in a workspace.
func (w *world) lookups(r iam.Reader, ws iam.WorkspaceID) map[string]func() error {
	ctx := w.t.Context()
	return map[string]func() error{
		"account by id":   func() error { _, err := r.ServiceAccount(ctx, ws, string(w.account.ID)); return err },
		"account by name": func() error { _, err := r.ServiceAccount(ctx, ws, w.account.Name); return err },
		"member":          func() error { _, err := r.Member(ctx, ws, w.member.ID); return err },
		"principal":       func() error { _, err := r.Principal(ctx, ws, string(w.account.ID)); return err },
		"one by name":     func() error { _, err := r.Principal(ctx, ws, w.account.Name); return err },
		"role by id":      func() error { _, err := r.Role(ctx, ws, string(w.role.ID)); return err },
		"role by name":    func() error { _, err := r.Role(ctx, ws, w.role.Name); return err },
		"key":             func() error { _, err := r.Key(ctx, ws, w.key.ID); return err },
	}
}

func testNotFound(t *testing.T, open Open) {
	w, empty := newWorld(t, open), open(t, nil)
	for what, lookup := range w.lookups(empty, w.ws.ID) {
		isKind(t, what, lookup(), iam.NotFound)
	}
	ctx := t.Context()
	for what, lookup := range map[string]func() error{
		"workspace":           func() error { _, err := empty.Workspace(ctx, "acme"); return err },
		"workspace by id":     func() error { _, err := empty.Workspace(ctx, string(w.ws.ID)); return err },
		"person":              func() error { _, err := empty.PersonByEmail(ctx, "ada@acme.test"); return err },
		"invitation":          func() error { _, err := empty.Invitation(ctx, w.ws.ID, "inv_x"); return err },
		"invitation by token": func() error { _, err := empty.InvitationByToken(ctx, token.Hash{}); return err },
		"event":               func() error { _, err := empty.Event(ctx, w.ws.ID, "evt_x"); return err },
		"seats":               func() error { _, err := empty.Seats(ctx, w.ws.ID, epoch); return err },
	} {
		isKind(t, what, lookup(), iam.NotFound)
	}
	if yes, err := empty.Initialized(ctx); err != nil || yes {
		t.Errorf("Initialized = %t, %v on an empty store", yes, err)
	}
	if ws, err := empty.SystemWorkspace(ctx); !errors.Is(err, iam.NotFound) {
		t.Errorf("SystemWorkspace = %+v, %v on an empty store", ws, err)
	}
}

func testOtherWorkspace(t *testing.T, open Open) {
	w := newWorld(t, open)
	ws, role, member := w.workspace("other")
	role.Name = "another"
	invitation, event := w.newInvitation("x@acme.test"), w.newEvent("key.created")
	w.change(func(tx iam.Tx) error {
		if err := tx.InsertInvitation(t.Context(), invitation); err != nil {
			return err
		}
		if err := tx.AppendEvent(t.Context(), event); err != nil {
			return err
		}
		return w.insertWorkspace(tx, ws, role, member)
	})
	lookups := w.lookups(w.s, ws.ID)
	lookups["invitation"] = func() error { _, err := w.s.Invitation(t.Context(), ws.ID, invitation.ID); return err }
	lookups["event"] = func() error { _, err := w.s.Event(t.Context(), ws.ID, iam.EventID(event.ID)); return err }
	for what, lookup := range lookups {
		isKind(t, what, lookup(), iam.NotFound)
	}
	for what, lookup := range w.lookups(w.s, w.ws.ID) {
		if err := lookup(); err != nil {
			t.Errorf("%s in its own workspace: %v", what, err)
		}
	}
	keys, err := w.s.Keys(t.Context(), ws.ID, iam.KeyFilter{Principal: w.account.ID}, iam.Page{Limit: 10})
	if err != nil || len(keys.Items) != 0 {
		t.Errorf("keys of another workspace's account: %v, %v; want none", keys.Items, err)
	}
}

func testNotStorable(t *testing.T, open Open) {
	w := newWorld(t, open)
	for _, text := range []string{"a\x00b", "a\xffb"} {
		_, err := w.s.ServiceAccount(t.Context(), w.ws.ID, text)
		isKind(t, "account", err, iam.NotFound)
		list, err := w.s.Keys(t.Context(), w.ws.ID, iam.KeyFilter{Query: text}, iam.Page{Limit: 1})
		if err != nil || len(list.Items) != 0 {
			t.Errorf("keys that hold %q: %v, %v; want none", text, list.Items, err)
		}
		_, err = w.s.Keys(t.Context(), w.ws.ID, iam.KeyFilter{}, iam.Page{Limit: 1, Sort: "name", After: []string{text, "x"}})
		isKind(t, "cursor", err, iam.InvalidRequest)
		a := w.newAccount("x")
		a.Description = text
		_, err = tryChange(t, w.s, func(tx iam.Tx) error { return tx.InsertServiceAccount(t.Context(), a) })
		isKind(t, "insert", err, iam.InvalidRequest)
	}
}

func testTaken(t *testing.T, open Open) {
	w := newWorld(t, open)
	ws, _, _ := w.workspace("acme")
	person := w.newMember("Eve", w.member.Person.Email).Person
	second := w.newAccount("second")
	w.change(func(tx iam.Tx) error { return tx.InsertServiceAccount(t.Context(), second) })
	second.Name = w.account.Name
	for what, insert := range map[string]func(tx iam.Tx) error{
		"slug":    func(tx iam.Tx) error { return tx.InsertWorkspace(t.Context(), ws) },
		"address": func(tx iam.Tx) error { return tx.InsertPerson(t.Context(), person) },
		"role":    func(tx iam.Tx) error { return tx.InsertRole(t.Context(), w.roleIn(w.ws.ID, "Operator")) },
		"account": func(tx iam.Tx) error { return tx.InsertServiceAccount(t.Context(), w.newAccount("bot")) },
		"renamed": func(tx iam.Tx) error { return tx.UpdateServiceAccount(t.Context(), second) },
		"key":     func(tx iam.Tx) error { return tx.InsertKey(t.Context(), w.newKey("prod")) },
		"type, in a put": func(tx iam.Tx) error {
			return tx.ReplacePermissionTypes(t.Context(), w.ws.ID, []iam.PermissionType{{Type: "a"}, {Type: "a"}})
		},
	} {
		_, err := tryChange(t, w.s, insert)
		isKind(t, what, err, iam.NameTaken)
		if errors.Is(err, iam.Unknown) {
			t.Errorf("%s: error %v: what was refused was not done", what, err)
		}
	}
}

func testNameAfterRevocation(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.account.Revoked = &iam.Revocation{At: epoch, By: w.maker()}
	w.change(func(tx iam.Tx) error { return tx.UpdateServiceAccount(t.Context(), w.account) })
	_, err := tryChange(t, w.s, func(tx iam.Tx) error { return tx.InsertServiceAccount(t.Context(), w.newAccount(w.account.Name)) })
	isKind(t, "the name of a revoked account", err, iam.NameTaken)
}

func testNameAfterRenaming(t *testing.T, open Open) {
	w := newWorld(t, open)
	first := w.account.Name
	w.account.Name = "renamed"
	w.change(func(tx iam.Tx) error { return tx.UpdateServiceAccount(t.Context(), w.account) })
	_, err := tryChange(t, w.s, func(tx iam.Tx) error { return tx.InsertServiceAccount(t.Context(), w.newAccount(first)) })
	isKind(t, "the name that another account had before", err, iam.NameTaken)
	w.account.Name = first // its own it may take up again
	w.change(func(tx iam.Tx) error { return tx.UpdateServiceAccount(t.Context(), w.account) })
}

func testAlreadyMember(t *testing.T, open Open) {
	w := newWorld(t, open)
	again := w.member
	again.ID = iam.PrincipalID(w.id(iam.MemberPrefix))
	_, err := tryChange(t, w.s, func(tx iam.Tx) error { return tx.InsertMember(t.Context(), again) })
	isKind(t, "the same person again", err, iam.AlreadyMember)
}

func testUpdateNothing(t *testing.T, open Open) {
	w, ctx := newWorld(t, open), t.Context()
	other := iam.WorkspaceID("ws_other")
	account, member, role, key := w.account, w.member, w.role, w.key
	account.Workspace, member.Workspace, role.Workspace, key.Workspace = other, other, other, other
	invitation, ws := w.newInvitation("x@acme.test"), w.ws
	ws.ID = other
	for what, update := range map[string]func(tx iam.Tx) error{
		"workspace":  func(tx iam.Tx) error { return tx.UpdateWorkspace(ctx, ws) },
		"account":    func(tx iam.Tx) error { return tx.UpdateServiceAccount(ctx, account) },
		"member":     func(tx iam.Tx) error { return tx.UpdateMember(ctx, member) },
		"role":       func(tx iam.Tx) error { return tx.UpdateRole(ctx, role) },
		"no role":    func(tx iam.Tx) error { return tx.DeleteRole(ctx, other, role.ID) },
		"key":        func(tx iam.Tx) error { return tx.UpdateKey(ctx, key) },
		"invitation": func(tx iam.Tx) error { return tx.UpdateInvitation(ctx, invitation) },
	} {
		_, err := tryChange(t, w.s, update)
		isKind(t, what, err, iam.NotFound)
	}
}

// The refused insert is the last statement of several, and fn hears nothing of it
// or passes over what it heard.
func testTakenLeavesNothing(t *testing.T, open Open) {
	w := newWorld(t, open)
	before := must[[]iam.Change](t, "changes")(changesOf(t, w.s))
	for what, look := range map[string]bool{"at the end": false, "at a read": true} {
		_, err := tryChange(t, w.s, func(tx iam.Tx) error {
			err := errors.Join(
				tx.AppendEvent(t.Context(), w.newEvent("key.created")),
				tx.InsertServiceAccount(t.Context(), w.newAccount("new")),
				tx.InsertKey(t.Context(), w.newKey("prod")),
			)
			if look {
				_, _ = tx.Key(t.Context(), w.ws.ID, w.key.ID) // its error is passed over
			}
			return err
		})
		isKind(t, what, err, iam.NameTaken)
	}
	_, err := w.s.ServiceAccount(t.Context(), w.ws.ID, "new")
	isKind(t, "account of the refused change", err, iam.NotFound)
	list, err := w.s.Events(t.Context(), w.ws.ID, iam.EventFilter{}, iam.Page{Limit: 1})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("events of the refused change: %v, %v; want none", list.Items, err)
	}
	equal(t, "changes", must[[]iam.Change](t, "changes")(changesOf(t, w.s)), before)
}

// changesOf returns the whole log, which is checked on the way.
func changesOf(t *testing.T, s iam.Store) ([]iam.Change, error) {
	t.Helper()
	changes, _, err := s.Changes(t.Context(), iam.Position{}, 1_000_000)
	return changes, err
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second
