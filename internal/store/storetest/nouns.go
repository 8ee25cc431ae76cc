package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// nouns come back as they were put in.
var nouns = []contract{
	{"WorkspaceKeepsEveryField", testWorkspace},
	{"RoleKeepsEveryField", testRole},
	{"ServiceAccountKeepsEveryField", testServiceAccount},
	{"MemberAndPersonKeepEveryField", testMember},
	{"KeyKeepsEveryField", testKey},
	{"NoLimitIsNotAnEmptyLimit", testKeyWithout},
	{"InvitationKeepsEveryField", testInvitation},
	{"UpdatesLeaveWhatMayNotChange", testImmutable},
	{"ActorsHaveTheStateTheyHaveNow", testActorState},
	{"TargetsHaveTheStateTheyHaveNow", testTargetState},
	{"CountsAreOfWhatIsUsable", testCounts},
	{"PermissionTypesAreReplacedAsAWhole", testPermissionTypes},
	{"DescendantsAreAllThatWasMadeWithAKey", testDescendants},
}

func testWorkspace(t *testing.T, open Open) {
	w := newWorld(t, open)
	seats := int64(7)
	want, role, member := w.workspace("other")
	want.System, want.Paused, want.Policy = true, true, iam.Policy{
		AccountKeyDefaultDays: 1, AccountKeyMaxDays: &seats, MemberKeyDefaultDays: 2, MemberKeyMaxDays: &seats, OwnerRequired: true,
		SeatLimit: &seats, InvitationDays: 3, QuietFor: "4m", UsageDays: 5, SelfRotation: true, RevealRefusalReason: true,
	}
	full(t, want)
	full(t, want.Policy)
	want.Version = w.change(func(tx iam.Tx) error { return w.insertWorkspace(tx, want, role, member) }).Seq
	get := must[iam.Workspace](t, "workspace")
	equal(t, "by id", get(w.s.Workspace(t.Context(), string(want.ID))), want)
	equal(t, "by slug", get(w.s.Workspace(t.Context(), want.Slug)), want)

	want.Name, want.Paused, want.Policy = "Renamed", false, iam.ShippedPolicy()
	want.Version = w.change(func(tx iam.Tx) error {
		if err := tx.UpdateWorkspace(t.Context(), want); err != nil {
			return err
		}
		want.Version = tx.Seq()
		equal(t, "inside the transaction", get(tx.Workspace(t.Context(), want.Slug)), want)
		return nil
	}).Seq
	equal(t, "updated", get(w.s.Workspace(t.Context(), want.Slug)), want)
	if yes, err := w.s.Initialized(t.Context()); err != nil || !yes {
		t.Errorf("Initialized = %t, %v with a system workspace", yes, err)
	}
	equal(t, "as the one that operates the deployment", get(w.s.SystemWorkspace(t.Context())), want)
}

func testRole(t *testing.T, open Open) {
	w := newWorld(t, open)
	want := w.roleIn(w.ws.ID, "deployer", "agents:execute", "iam.keys:read", "docs/team-*:*")
	full(t, want, "BuiltIn", "Members", "ServiceAccounts")
	want.Version = w.change(func(tx iam.Tx) error { return tx.InsertRole(t.Context(), want) }).Seq
	get := must[iam.Role](t, "role")
	equal(t, "by id", get(w.s.Role(t.Context(), w.ws.ID, string(want.ID))), want)
	equal(t, "by name in capitals", get(w.s.Role(t.Context(), w.ws.ID, "DEPLOYER")), want)

	want.Name, want.Title, want.Description, want.Permissions = "releaser", "T", "D", permissions(t, "*:read")
	want.Version = w.change(func(tx iam.Tx) error { return tx.UpdateRole(t.Context(), want) }).Seq
	equal(t, "updated", get(w.s.Role(t.Context(), w.ws.ID, "releaser")), want)

	w.change(func(tx iam.Tx) error { return tx.DeleteRole(t.Context(), w.ws.ID, want.ID) })
	for _, ref := range []string{string(want.ID), want.Name} {
		_, err := w.s.Role(t.Context(), w.ws.ID, ref)
		isKind(t, "deleted role "+ref, err, iam.NotFound)
	}
	w.change(func(tx iam.Tx) error {
		want.ID = iam.RoleID(w.id(iam.RolePrefix)) // its name is free again
		return tx.InsertRole(t.Context(), want)
	})
}

func testServiceAccount(t *testing.T, open Open) {
	w := newWorld(t, open)
	want := w.newAccount("support-bot-prod")
	want.Description, want.Owner, want.Pauses = "Answers tickets", "Support Platform", "person,trial"
	want.Metadata, want.CreatedByKey = map[string]string{"team": "support"}, w.key.ID
	full(t, want, "Revoked", "Keys", "LastUse")
	want.Version = w.change(func(tx iam.Tx) error { return tx.InsertServiceAccount(t.Context(), want) }).Seq
	get := must[iam.ServiceAccount](t, "service account")
	equal(t, "by id", get(w.s.ServiceAccount(t.Context(), w.ws.ID, string(want.ID))), want)
	equal(t, "by name", get(w.s.ServiceAccount(t.Context(), w.ws.ID, want.Name)), want)

	other := w.roleIn(w.ws.ID, "other", "*:read")
	want.Name, want.Description, want.Owner, want.Pauses, want.Metadata = "renamed", "", "", "", nil
	want.Role = iam.Ref[iam.RoleID]{ID: other.ID, Name: other.Name}
	want.Revoked = &iam.Revocation{At: epoch.Add(time.Hour), By: w.maker(), Reason: "unused", Note: "said so"}
	full(t, *want.Revoked)
	want.Version = w.change(func(tx iam.Tx) error {
		if err := tx.InsertRole(t.Context(), other); err != nil {
			return err
		}
		return tx.UpdateServiceAccount(t.Context(), want)
	}).Seq
	got := get(w.s.ServiceAccount(t.Context(), w.ws.ID, want.Name))
	equal(t, "updated", got, want)
	if got.State() != iam.Inactive {
		t.Errorf("state %s, want %s", got.State(), iam.Inactive)
	}
}

func testMember(t *testing.T, open Open) {
	w := newWorld(t, open)
	want := w.newMember("Grace Hopper", "grace@acme.test")
	full(t, want, "RemovedAt", "Keys")
	full(t, want.Person)
	want.Version = w.change(func(tx iam.Tx) error {
		if err := tx.InsertPerson(t.Context(), want.Person); err != nil {
			return err
		}
		return tx.InsertMember(t.Context(), want)
	}).Seq
	get := must[iam.Member](t, "member")
	equal(t, "member", get(w.s.Member(t.Context(), w.ws.ID, want.ID)), want)
	person := must[iam.Person](t, "person")(w.s.PersonByEmail(t.Context(), "GRACE@acme.test"))
	equal(t, "person", person, want.Person)

	want.Name, want.RemovedAt = "G.", epoch.Add(time.Hour)
	want.Version = w.change(func(tx iam.Tx) error { return tx.UpdateMember(t.Context(), want) }).Seq
	equal(t, "removed member", get(w.s.Member(t.Context(), w.ws.ID, want.ID)), want)
	again := want
	again.ID, again.RemovedAt = iam.PrincipalID(w.id(iam.MemberPrefix)), time.Time{}
	w.change(func(tx iam.Tx) error { return tx.InsertMember(t.Context(), again) }) // who was removed may come back
}

func testKey(t *testing.T, open Open) {
	w := newWorld(t, open)
	limit := permissions(t, "agents:execute")
	want := w.newKey("canary")
	want.Limit, want.AllowedNetworks = &limit, networks("10.0.0.0/8", "2001:db8::/32")
	want.ExpiresAt, want.Pauses, want.Metadata = epoch.Add(time.Hour), iam.ByPerson, map[string]string{"a": "b"}
	want.CreatedByKey, want.Replaces = w.key.ID, w.key.ID
	full(t, want, "Revoked", "LastUse", "Rotation")
	full(t, want.Principal)
	want.Version = w.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), want) }).Seq
	get := must[iam.Key](t, "key")
	equal(t, "key", get(w.s.Key(t.Context(), w.ws.ID, want.ID)), want)

	wider := permissions(t, "agents:*")
	want.Name, want.Limit, want.AllowedNetworks, want.ExpiresAt = "renamed", &wider, networks("10.1.0.0/16"), epoch.Add(time.Minute)
	want.Pauses, want.Metadata = "", nil
	want.Revoked = &iam.Revocation{At: epoch.Add(time.Hour), By: w.maker(), Reason: "compromised", Note: "in a log"}
	want.Version = w.change(func(tx iam.Tx) error { return tx.UpdateKey(t.Context(), want) }).Seq
	equal(t, "updated key", get(w.s.Key(t.Context(), w.ws.ID, want.ID)), want)
	principal := must[iam.Principal](t, "principal")(w.s.Principal(t.Context(), w.ws.ID, string(w.account.ID)))
	equal(t, "principal", principal, w.owner())
}

// What is not there means everything; what is empty means nothing. Confusing the
// two gives power away.
func testKeyWithout(t *testing.T, open Open) {
	w := newWorld(t, open)
	none := permissions(t)
	empty := w.newKey("empty")
	empty.Limit, empty.AllowedNetworks = &none, networks()
	w.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), empty) })
	get := must[iam.Key](t, "key")
	if got := get(w.s.Key(t.Context(), w.ws.ID, empty.ID)); got.Limit == nil || got.AllowedNetworks == nil {
		t.Errorf("an empty limit reads %v, empty networks %v: both are no restriction", got.Limit, got.AllowedNetworks)
	}
	if got := get(w.s.Key(t.Context(), w.ws.ID, w.key.ID)); got.Limit != nil || got.AllowedNetworks != nil || !got.ExpiresAt.IsZero() {
		t.Errorf("an unrestricted key reads limit %v, networks %v, expiry %v", got.Limit, got.AllowedNetworks, got.ExpiresAt)
	}
}

func testInvitation(t *testing.T, open Open) {
	w := newWorld(t, open)
	want := w.newInvitation("new@acme.test")
	want.InvitedByKey, want.InvitedFrom = w.key.ID, w.ws.ID
	full(t, want, "AcceptedAt", "CancelledAt")
	want.Version = w.change(func(tx iam.Tx) error { return tx.InsertInvitation(t.Context(), want) }).Seq
	get := must[iam.Invitation](t, "invitation")
	equal(t, "by id", get(w.s.Invitation(t.Context(), w.ws.ID, want.ID)), want)
	equal(t, "by token", get(w.s.InvitationByToken(t.Context(), want.TokenHash)), want)
	want.AcceptedAt, want.CancelledAt = epoch.Add(time.Minute), epoch.Add(2*time.Minute)
	want.Version = w.change(func(tx iam.Tx) error { return tx.UpdateInvitation(t.Context(), want) }).Seq
	equal(t, "updated", get(w.s.Invitation(t.Context(), w.ws.ID, want.ID)), want)
}

func testImmutable(t *testing.T, open Open) {
	w := newWorld(t, open)
	k, a := w.key, w.account
	forged := iam.Actor{Actor: audit.Actor{Type: audit.System, ID: "system", Name: "nobody"}, State: iam.Active}
	k.Hash[0]++
	k.Hint, k.CreatedAt, k.CreatedBy, k.Replaces = "other", epoch.Add(time.Hour), forged, k.ID
	a.CreatedAt, a.CreatedBy = epoch.Add(time.Hour), forged
	seq := w.change(func(tx iam.Tx) error {
		if err := tx.UpdateKey(t.Context(), k); err != nil {
			return err
		}
		return tx.UpdateServiceAccount(t.Context(), a)
	}).Seq
	w.key.Version, w.account.Version, w.account.Keys = seq, seq, iam.KeyCounts{Active: 1, Total: 1}
	equal(t, "key", must[iam.Key](t, "key")(w.s.Key(t.Context(), w.ws.ID, k.ID)), w.key)
	equal(t, "account", must[iam.ServiceAccount](t, "account")(w.s.ServiceAccount(t.Context(), w.ws.ID, a.Name)), w.account)
}

// A revoked principal reads inactive wherever its name appears; what Postern does
// by itself keeps its own name.
func testActorState(t *testing.T, open Open) {
	w := newWorld(t, open)
	system := iam.Actor{Actor: audit.Actor{Type: audit.System, ID: "system", Name: "initialisation"}, State: iam.Active}
	own := w.newKey("own")
	own.CreatedBy = system
	own.Revoked = &iam.Revocation{At: epoch, By: w.maker()}
	gone := w.member
	gone.RemovedAt = epoch
	event := w.newEvent("key.created")
	w.change(func(tx iam.Tx) error {
		if err := tx.InsertKey(t.Context(), own); err != nil {
			return err
		}
		if err := tx.AppendEvent(t.Context(), event); err != nil {
			return err
		}
		return tx.UpdateMember(t.Context(), gone)
	})
	get := must[iam.Key](t, "key")
	if got := get(w.s.Key(t.Context(), w.ws.ID, w.key.ID)).CreatedBy; got.State != iam.Removed || got.Name != w.member.Name {
		t.Errorf("made by %+v, want %s, removed", got, w.member.Name)
	}
	got := get(w.s.Key(t.Context(), w.ws.ID, own.ID))
	equal(t, "made by Postern itself", got.CreatedBy, system)
	equal(t, "state of who revoked", got.Revoked.By.State, iam.Removed)
	e := must[iam.AuditEvent](t, "event")(w.s.Event(t.Context(), w.ws.ID, iam.EventID(event.ID)))
	equal(t, "state of an old event's actor", e.ActorState, iam.Removed)
	equal(t, "state of a target that is no principal", e.TargetState, iam.State(""))
}

// So does one that something was done to, in the log of its own workspace.
func testTargetState(t *testing.T, open Open) {
	w := newWorld(t, open)
	gone := w.account
	gone.Revoked = &iam.Revocation{At: epoch, By: w.maker()}
	there, elsewhere := w.newEvent("service_account.created"), w.newEvent("service_account.created")
	elsewhere.Workspace = "ws_other"
	there.Target = audit.Target{Type: "service_account", ID: string(gone.ID), Name: gone.Name}
	elsewhere.Target = there.Target
	w.change(func(tx iam.Tx) error {
		return errors.Join(tx.AppendEvent(t.Context(), there), tx.AppendEvent(t.Context(), elsewhere), tx.UpdateServiceAccount(t.Context(), gone))
	})
	for ws, want := range map[iam.WorkspaceID]iam.State{w.ws.ID: iam.Inactive, "ws_other": ""} {
		list := must[iam.List[iam.AuditEvent]](t, "events")(w.s.Events(t.Context(), ws, iam.EventFilter{Target: string(gone.ID)}, iam.Page{Limit: 9}))
		if len(list.Items) != 1 || list.Items[0].TargetState != want {
			t.Errorf("events of %s: %+v, want one whose target is %q", ws, list.Items, want)
		}
	}
}

func testCounts(t *testing.T, open Open) {
	now := epoch.Add(24 * time.Hour)
	w := newWorld(t, func(t *testing.T, _ func() time.Time) iam.Store { return open(t, func() time.Time { return now }) })
	expired, paused, revoked := w.newKey("expired"), w.newKey("paused"), w.newKey("revoked")
	expired.ExpiresAt, paused.Pauses = now, iam.ByPerson
	revoked.Revoked = &iam.Revocation{At: epoch, By: w.maker()}
	w.change(func(tx iam.Tx) error {
		for _, k := range []iam.Key{expired, paused, revoked} {
			if err := tx.InsertKey(t.Context(), k); err != nil {
				return err
			}
		}
		return nil
	})
	account := func() iam.ServiceAccount {
		return must[iam.ServiceAccount](t, "account")(w.s.ServiceAccount(t.Context(), w.ws.ID, w.account.Name))
	}
	role := func() [2]int64 {
		r := must[iam.Role](t, "role")(w.s.Role(t.Context(), w.ws.ID, w.role.Name))
		return [2]int64{r.Members, r.ServiceAccounts}
	}
	equal(t, "keys", account().Keys, iam.KeyCounts{Active: 1, Total: 4})
	equal(t, "members and accounts with the role", role(), [2]int64{1, 1})
	w.account.Pauses = iam.ByPerson
	w.change(func(tx iam.Tx) error { return tx.UpdateServiceAccount(t.Context(), w.account) })
	equal(t, "keys of a paused account", account().Keys, iam.KeyCounts{Active: 0, Total: 4})
	w.account.Revoked, w.member.RemovedAt = &iam.Revocation{At: epoch, By: w.maker()}, epoch
	w.change(func(tx iam.Tx) error {
		if err := tx.UpdateMember(t.Context(), w.member); err != nil {
			return err
		}
		return tx.UpdateServiceAccount(t.Context(), w.account)
	})
	equal(t, "members and accounts once they have ended", role(), [2]int64{0, 0})
}

func testPermissionTypes(t *testing.T, open Open) {
	w := newWorld(t, open)
	first := []iam.PermissionType{{Type: "tickets", Title: "Tickets", Actions: []string{"close"}}, {Type: "agents", Title: "", Actions: []string{}}}
	second := []iam.PermissionType{{Type: "docs", Title: "Docs", Actions: []string{"b", "a"}}}
	replace := func(types []iam.PermissionType) {
		w.change(func(tx iam.Tx) error { return tx.ReplacePermissionTypes(t.Context(), w.ws.ID, types) })
	}
	get := must[[]iam.PermissionType](t, "types")
	replace(first)
	equal(t, "types, by name", get(w.s.PermissionTypes(t.Context(), w.ws.ID)), []iam.PermissionType{first[1], first[0]})
	replace(second)
	equal(t, "types after a second time", get(w.s.PermissionTypes(t.Context(), w.ws.ID)), second)
}

func testDescendants(t *testing.T, open Open) {
	w := newWorld(t, open)
	child, grandchild, stranger := w.newKey("child"), w.newKey("grandchild"), w.newKey("stranger")
	child.CreatedByKey, grandchild.CreatedByKey = w.key.ID, child.ID
	child.Revoked = &iam.Revocation{At: epoch, By: w.maker()} // and what it made counts all the same
	made, other := w.newAccount("made"), w.newAccount("other")
	made.CreatedByKey = grandchild.ID
	w.change(func(tx iam.Tx) error {
		for _, k := range []iam.Key{child, grandchild, stranger} {
			if err := tx.InsertKey(t.Context(), k); err != nil {
				return err
			}
		}
		if err := tx.InsertServiceAccount(t.Context(), other); err != nil {
			return err
		}
		return tx.InsertServiceAccount(t.Context(), made)
	})
	keys, accounts, err := w.s.Descendants(t.Context(), w.ws.ID, w.key.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range keys {
		got = append(got, k.Name)
	}
	for _, a := range accounts {
		got = append(got, a.Name)
	}
	equal(t, "descendants", got, []string{"child", "grandchild", "made"})
	keys, accounts, err = w.s.Descendants(t.Context(), "ws_other", w.key.ID)
	if err != nil || len(keys)+len(accounts) != 0 {
		t.Errorf("descendants in another workspace: %v, %v, %v; want none", keys, accounts, err)
	}
	for id, want := range map[iam.KeyID]bool{w.key.ID: true, child.ID: true, grandchild.ID: true, stranger.ID: false} {
		if got := found(t, w.s, iam.First{Workspace: w.ws.ID, Target: id, Maker: true}).Maker; got != want {
			t.Errorf("that %s made something is %t, want %t", id, got, want)
		}
	}
	if found(t, w.s, iam.First{Workspace: w.ws.ID, Target: w.key.ID}).Maker {
		t.Error("it is said that a key made something, and nobody asked")
	}
}
