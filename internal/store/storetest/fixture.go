package storetest

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// epoch is when everything in these tests was made, unless they say otherwise.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

// world is a store with a workspace that has a role, a member, an account and a
// key of the account, and makes more of them.
type world struct {
	t *testing.T
	s iam.Store

	ws      iam.Workspace
	role    iam.Role
	member  iam.Member
	account iam.ServiceAccount
	key     iam.Key

	made uint64
}

func newWorld(t *testing.T, open Open) *world {
	t.Helper()
	w := &world{t: t, s: open(t, nil)}
	w.ws, w.role, w.member = w.workspace("acme")
	w.account = w.newAccount("bot")
	w.key = w.newKey("prod")
	change(t, w.s, func(tx iam.Tx) error {
		if err := w.insertWorkspace(tx, w.ws, w.role, w.member); err != nil {
			return err
		}
		if err := tx.InsertServiceAccount(t.Context(), w.account); err != nil {
			return err
		}
		return tx.InsertKey(t.Context(), w.key)
	})
	return w
}

// id returns an id that is greater than those before it.
func (w *world) id(prefix string) string {
	w.made++
	var id [16]byte
	binary.BigEndian.PutUint64(id[8:], w.made)
	return iam.FormatID(prefix, id)
}

func (w *world) workspace(slug string) (iam.Workspace, iam.Role, iam.Member) {
	ws := iam.Workspace{
		ID: iam.WorkspaceID(w.id(iam.WorkspacePrefix)), Name: "The " + slug, Slug: slug,
		Policy: iam.ShippedPolicy(), CreatedAt: epoch, Version: 1,
	}
	role := w.roleIn(ws.ID, "operator", "*:read", "*:execute")
	role.BuiltIn = true
	person := iam.Person{ID: iam.PersonID(w.id(iam.PersonPrefix)), Email: "ada@" + slug + ".test", Name: "Ada", CreatedAt: epoch}
	member := iam.Member{
		ID: iam.PrincipalID(w.id(iam.MemberPrefix)), Workspace: ws.ID, Person: person, Name: "Ada Lovelace",
		Role: iam.Ref[iam.RoleID]{ID: role.ID, Name: role.Name}, CreatedAt: epoch, Version: 1,
	}
	return ws, role, member
}

func (w *world) insertWorkspace(tx iam.Tx, ws iam.Workspace, r iam.Role, m iam.Member) error {
	ctx := w.t.Context()
	if err := tx.InsertWorkspace(ctx, ws); err != nil {
		return err
	}
	if err := tx.InsertRole(ctx, r); err != nil {
		return err
	}
	if err := tx.InsertPerson(ctx, m.Person); err != nil {
		return err
	}
	return tx.InsertMember(ctx, m)
}

func (w *world) roleIn(ws iam.WorkspaceID, name string, grants ...string) iam.Role {
	return iam.Role{
		ID: iam.RoleID(w.id(iam.RolePrefix)), Workspace: ws, Name: name, Title: "The " + name, Description: "What " + name + " does",
		Permissions: permissions(w.t, grants...), CreatedAt: epoch, Version: 1,
	}
}

func (w *world) newMember(name, email string) iam.Member {
	m := w.member
	m.ID, m.Name = iam.PrincipalID(w.id(iam.MemberPrefix)), name
	m.Person = iam.Person{ID: iam.PersonID(w.id(iam.PersonPrefix)), Email: email, Name: name, CreatedAt: epoch}
	return m
}

func (w *world) newAccount(name string) iam.ServiceAccount {
	return iam.ServiceAccount{
		ID: iam.PrincipalID(w.id(iam.ServiceAccountPrefix)), Workspace: w.ws.ID, Name: name,
		Role:      iam.Ref[iam.RoleID]{ID: w.role.ID, Name: w.role.Name},
		CreatedAt: epoch, CreatedBy: w.maker(), Version: 1,
	}
}

// newKey returns a key of the account.
func (w *world) newKey(name string) iam.Key {
	id := iam.KeyID(w.id(iam.KeyPrefix))
	return iam.Key{
		ID: id, Workspace: w.ws.ID, Principal: w.owner(), Name: name,
		Hash: token.NewSecret(string(id)).Hash(), Hint: "pst_sa_abcd…wxyz",
		CreatedAt: epoch, CreatedBy: w.maker(), Version: 1,
	}
}

func (w *world) newInvitation(email string) iam.Invitation {
	id := iam.InvitationID(w.id(iam.InvitationPrefix))
	return iam.Invitation{
		ID: id, Workspace: w.ws.ID, Email: email, Role: iam.Ref[iam.RoleID]{ID: w.role.ID, Name: w.role.Name},
		TokenHash: token.NewSecret(string(id)).Hash(), InvitedBy: w.maker(),
		CreatedAt: epoch, ExpiresAt: epoch.Add(time.Hour), Version: 1,
	}
}

func (w *world) newEvent(action string) audit.Event {
	return audit.Event{
		ID: w.id(iam.EventPrefix), Workspace: string(w.ws.ID), At: epoch, Actor: w.maker().Actor, Action: action,
		Target: audit.Target{Type: "key", ID: string(w.key.ID), Name: w.key.Name}, Outcome: audit.Done,
	}
}

// maker is the member, as the one who made something.
func (w *world) maker() iam.Actor {
	return iam.Actor{Actor: audit.Actor{Type: audit.Member, ID: string(w.member.ID), Name: w.member.Name}, State: iam.Active}
}

// owner is the account, as the owner of a key.
func (w *world) owner() iam.Principal {
	return iam.Principal{
		ID: w.account.ID, Type: audit.ServiceAccount, Workspace: w.ws.ID, Name: w.account.Name, State: iam.Active,
		Role: iam.PrincipalRole{ID: w.role.ID, Name: w.role.Name, Permissions: w.role.Permissions},
	}
}

// change runs one write as a change.
func (w *world) change(write func(tx iam.Tx) error) iam.Commit {
	w.t.Helper()
	return change(w.t, w.s, write)
}

func permissions(t *testing.T, grants ...string) iam.Permissions {
	t.Helper()
	return must[iam.Permissions](t, "permissions")(iam.ParsePermissions("", grants))
}

func networks(texts ...string) []netip.Prefix {
	nets := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		nets[i] = netip.MustParsePrefix(text)
	}
	return nets
}

// full fails the test when a field of a struct is zero, but those excepted: a
// round trip of a value that says nothing proves nothing, and a field that is
// added to the noun later must be added to its test.
func full(t *testing.T, value any, except ...string) {
	t.Helper()
	v := reflect.ValueOf(value)
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.IsExported() && v.FieldByIndex(f.Index).IsZero() && !slices.Contains(except, f.Name) {
			t.Fatalf("%s.%s is zero: the test says nothing of it", v.Type(), f.Name)
		}
	}
}
