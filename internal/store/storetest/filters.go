package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// filters let through what they say and nothing else.
var filters = []contract{
	{"WorkspaceFilters", testWorkspaceFilters},
	{"AccountFilters", testAccountFilters},
	{"AccountsAreSortedByTheirLastUse", testUsedAccountsInOrder},
	{"MemberFiltersAndSeats", testMemberFilters},
	{"RoleFilters", testRoleFilters},
	{"KeyFilters", testKeyFilters},
	{"InvitationFilters", testInvitationFilters},
	{"WildcardsAreLiteral", testWildcards},
}

// expectations are what each filter is to let through, by name.
type expectations[F any] []struct {
	filter F
	want   []string
}

func check[F, T any](t *testing.T, all expectations[F], list func(F) (iam.List[T], error), name func(T) string) {
	t.Helper()
	for _, e := range all {
		found := must[iam.List[T]](t, "list")(list(e.filter))
		got := []string{}
		for _, item := range found.Items {
			got = append(got, name(item))
		}
		slices.Sort(got)
		if !slices.Equal(got, e.want) {
			t.Errorf("%+v lets through %q, want %q", e.filter, got, e.want)
		}
	}
}

var everything = iam.Page{Limit: 200}

func testWorkspaceFilters(t *testing.T, open Open) {
	w := newWorld(t, open)
	other, _, _ := w.workspace("paused-one")
	other.Paused, other.Name = true, "Ünder Construction"
	w.change(func(tx iam.Tx) error { return tx.InsertWorkspace(t.Context(), other) })
	check(t, expectations[iam.WorkspaceFilter]{
		{iam.WorkspaceFilter{}, []string{"acme", "paused-one"}},
		{iam.WorkspaceFilter{State: iam.Active}, []string{"acme"}},
		{iam.WorkspaceFilter{State: iam.Paused}, []string{"paused-one"}},
		{iam.WorkspaceFilter{Query: "ED-ON"}, []string{"paused-one"}},
		{iam.WorkspaceFilter{Query: "ÜNDER"}, []string{"paused-one"}},
		{iam.WorkspaceFilter{Query: "nobody"}, []string{}},
	}, func(f iam.WorkspaceFilter) (iam.List[iam.Workspace], error) {
		return w.s.Workspaces(t.Context(), f, everything)
	}, func(ws iam.Workspace) string { return ws.Slug })
}

func testAccountFilters(t *testing.T, open Open) {
	w := newWorld(t, open)
	role := w.roleIn(w.ws.ID, "other", "*:read")
	paused, revoked := w.newAccount("paused"), w.newAccount("revoked")
	paused.Pauses, paused.Owner, paused.Description = iam.ByPerson, "Support", "Answers TICKETS"
	revoked.Revoked, revoked.Role.ID = &iam.Revocation{At: epoch, By: w.maker()}, role.ID
	w.change(func(tx iam.Tx) error {
		return errors.Join(tx.InsertRole(t.Context(), role),
			tx.InsertServiceAccount(t.Context(), paused), tx.InsertServiceAccount(t.Context(), revoked))
	})
	check(t, expectations[iam.AccountFilter]{
		{iam.AccountFilter{}, []string{"bot", "paused", "revoked"}},
		{iam.AccountFilter{State: iam.Active}, []string{"bot"}},
		{iam.AccountFilter{State: iam.Paused}, []string{"paused"}},
		{iam.AccountFilter{State: iam.Inactive}, []string{"revoked"}},
		{iam.AccountFilter{Role: "OTHER"}, []string{"revoked"}},
		{iam.AccountFilter{Role: string(w.role.ID)}, []string{"bot", "paused"}},
		{iam.AccountFilter{Role: string(w.role.ID), State: iam.Inactive}, []string{}},
		{iam.AccountFilter{Owner: "Support"}, []string{"paused"}},
		{iam.AccountFilter{Name: "paused"}, []string{"paused"}},
		{iam.AccountFilter{Name: "revoked", State: iam.Active}, []string{}},
		{iam.AccountFilter{Name: "pause"}, []string{}},
		{iam.AccountFilter{Query: "AUS"}, []string{"paused"}},
		{iam.AccountFilter{Query: "tickets"}, []string{"paused"}},
		{iam.AccountFilter{Query: "support"}, []string{"paused"}},
	}, func(f iam.AccountFilter) (iam.List[iam.ServiceAccount], error) {
		return w.s.ServiceAccounts(t.Context(), w.ws.ID, f, everything)
	}, func(a iam.ServiceAccount) string { return a.Name })
}

// The account that was used last comes last, and those that never were come first;
// and by their roles, as these are called.
func testUsedAccountsInOrder(t *testing.T, open Open) {
	u := newCounting(t, open)
	early, never := u.newAccount("early"), u.newAccount("a-never")
	role := u.roleIn(u.ws.ID, "zz", "*:read")
	never.Role.ID = role.ID
	key := u.newKey("of-early")
	key.Principal.ID = early.ID
	u.change(func(tx iam.Tx) error {
		return errors.Join(tx.InsertRole(t.Context(), role),
			tx.InsertServiceAccount(t.Context(), early), tx.InsertServiceAccount(t.Context(), never), tx.InsertKey(t.Context(), key))
	})
	before := u.use(u.now.Add(-time.Hour), 1, 0)
	before.Key, before.Principal = key.ID, early.ID
	u.report(u.use(u.now, 1, 0), before)
	for sort, want := range map[string][]string{
		"last_used": {"a-never", "early", "bot"}, "-last_used": {"bot", "early", "a-never"}, "role": {"bot", "early", "a-never"},
	} {
		var got []string
		for _, a := range pages(t, 1, func(p iam.Page) (iam.List[iam.ServiceAccount], error) {
			p.Sort = sort
			return u.s.ServiceAccounts(t.Context(), u.ws.ID, iam.AccountFilter{}, p)
		}) {
			got = append(got, a.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %s: got %q, want %q", sort, got, want)
		}
	}
}

func testMemberFilters(t *testing.T, open Open) {
	w := newWorld(t, open)
	owners := w.roleIn(w.ws.ID, iam.Owner, "*:*")
	owners.BuiltIn = true
	owner, removed := w.newMember("Owen", "owen@acme.test"), w.newMember("Rémy", "remy@acme.test")
	owner.Role.ID, removed.Role.ID, removed.RemovedAt = owners.ID, owners.ID, epoch
	invitation := w.newInvitation("soon@acme.test")
	seats := int64(5)
	w.ws.Policy.SeatLimit = &seats
	w.change(func(tx iam.Tx) error {
		err := errors.Join(tx.InsertRole(t.Context(), owners), tx.UpdateWorkspace(t.Context(), w.ws), tx.InsertInvitation(t.Context(), invitation))
		for _, m := range []iam.Member{owner, removed} {
			err = errors.Join(err, tx.InsertPerson(t.Context(), m.Person), tx.InsertMember(t.Context(), m))
		}
		return err
	})
	check(t, expectations[iam.MemberFilter]{
		{iam.MemberFilter{}, []string{"Ada Lovelace", "Owen", "Rémy"}},
		{iam.MemberFilter{State: iam.Active}, []string{"Ada Lovelace", "Owen"}},
		{iam.MemberFilter{State: iam.Removed}, []string{"Rémy"}},
		{iam.MemberFilter{Role: "owner"}, []string{"Owen", "Rémy"}},
		{iam.MemberFilter{Role: string(w.role.ID)}, []string{"Ada Lovelace"}},
		{iam.MemberFilter{Email: "OWEN@acme.test"}, []string{"Owen"}},
		{iam.MemberFilter{Email: "acme.test"}, []string{}},
		{iam.MemberFilter{Query: "RÉMY"}, []string{"Rémy"}},
		{iam.MemberFilter{Query: "owen@"}, []string{"Owen"}},
	}, func(f iam.MemberFilter) (iam.List[iam.Member], error) {
		return w.s.Members(t.Context(), w.ws.ID, f, everything)
	}, func(m iam.Member) string { return m.Name })

	if n, err := w.s.ActiveOwners(t.Context(), w.ws.ID); err != nil || n != 1 {
		t.Errorf("%d active owners, %v; want 1", n, err)
	}
	for email, want := range map[string]int{"OWEN@acme.test": 1, "remy@acme.test": 0, "ada@acme.test": 0} {
		if found, err := w.s.OwnersByEmail(t.Context(), email); err != nil || len(found) != want {
			t.Errorf("owners with the address %s: %v, %v; want %d", email, found, err, want)
		}
	}
	get := must[iam.Seats](t, "seats")
	equal(t, "seats", get(w.s.Seats(t.Context(), w.ws.ID, epoch)), iam.Seats{Used: 2, Pending: 1, Limit: &seats})
	equal(t, "seats later", get(w.s.Seats(t.Context(), w.ws.ID, invitation.ExpiresAt)), iam.Seats{Used: 2, Limit: &seats})
}

func testRoleFilters(t *testing.T, open Open) {
	w := newWorld(t, open)
	custom := w.roleIn(w.ws.ID, "custom", "*:read")
	custom.Title = "Größer"
	w.change(func(tx iam.Tx) error { return tx.InsertRole(t.Context(), custom) })
	check(t, expectations[iam.RoleFilter]{
		{iam.RoleFilter{}, []string{"custom", "operator"}},
		{iam.RoleFilter{Kind: "built_in"}, []string{"operator"}},
		{iam.RoleFilter{Kind: "custom"}, []string{"custom"}},
		{iam.RoleFilter{Query: "ERATO"}, []string{"operator"}},
		{iam.RoleFilter{Query: "GRÖSS"}, []string{}},
		{iam.RoleFilter{Query: "RÖßER"}, []string{"custom"}},
	}, func(f iam.RoleFilter) (iam.List[iam.Role], error) {
		return w.s.Roles(t.Context(), w.ws.ID, f, everything)
	}, func(r iam.Role) string { return r.Name })
}

func testKeyFilters(t *testing.T, open Open) {
	w := newWorld(t, open)
	now := epoch.Add(time.Hour)
	expired, paused, revoked := w.newKey("expired"), w.newKey("Paused"), w.newKey("revoked")
	expired.ExpiresAt, paused.Pauses, paused.ExpiresAt = now, iam.ByPerson, now
	revoked.Revoked = &iam.Revocation{At: epoch, By: w.maker()}
	personal, orphan, over := w.newKey("personal"), w.newKey("orphan"), w.newAccount("over")
	personal.Principal.ID, personal.ExpiresAt, orphan.Principal.ID = w.member.ID, now.Add(1000), over.ID
	over.Revoked = &iam.Revocation{At: epoch, By: w.maker()}
	w.change(func(tx iam.Tx) error {
		err := tx.InsertServiceAccount(t.Context(), over)
		for _, k := range []iam.Key{expired, paused, revoked, personal, orphan} {
			err = errors.Join(err, tx.InsertKey(t.Context(), k))
		}
		return err
	})
	list := func(f iam.KeyFilter) (iam.List[iam.Key], error) { return w.s.Keys(t.Context(), w.ws.ID, f, everything) }
	check(t, expectations[iam.KeyFilter]{
		{iam.KeyFilter{}, []string{"Paused", "expired", "orphan", "personal", "prod", "revoked"}},
		{iam.KeyFilter{Principal: w.member.ID}, []string{"personal"}},
		{iam.KeyFilter{PrincipalType: audit.Member}, []string{"personal"}},
		{iam.KeyFilter{State: iam.Active, Now: now}, []string{"personal", "prod"}},
		{iam.KeyFilter{State: iam.Expired, Now: now}, []string{"expired"}},
		{iam.KeyFilter{State: iam.Paused, Now: now}, []string{"Paused"}},
		{iam.KeyFilter{State: iam.Revoked, Now: now}, []string{"orphan", "revoked"}},
		{iam.KeyFilter{State: iam.Pending, Now: now}, []string{}},
		{iam.KeyFilter{ExpiresBefore: now}, []string{}},
		{iam.KeyFilter{ExpiresBefore: now.Add(time.Microsecond)}, []string{"Paused", "expired"}},
		{iam.KeyFilter{Query: "PAUSE"}, []string{"Paused"}},
		{iam.KeyFilter{Query: "lovelace"}, []string{"personal"}},
	}, list, func(k iam.Key) string { return k.Name })
	for _, k := range must[iam.List[iam.Key]](t, "keys")(list(iam.KeyFilter{})).Items {
		same := must[iam.List[iam.Key]](t, "keys")(list(iam.KeyFilter{State: k.State(now), Query: k.Name, Now: now}))
		if len(same.Items) != 1 {
			t.Errorf("key %s is %s, and the filter for that does not find it", k.Name, k.State(now))
		}
	}
}

func testInvitationFilters(t *testing.T, open Open) {
	w := newWorld(t, open)
	now := epoch.Add(time.Hour)
	pending, expired, accepted, cancelled := w.newInvitation("p@x.test"), w.newInvitation("e@x.test"), w.newInvitation("a@x.test"), w.newInvitation("c@y.test")
	pending.ExpiresAt = now.Add(time.Second)
	expired.ExpiresAt, accepted.AcceptedAt, cancelled.CancelledAt = now, epoch, epoch
	w.change(func(tx iam.Tx) (err error) {
		for _, i := range []iam.Invitation{pending, expired, accepted, cancelled} {
			err = errors.Join(err, tx.InsertInvitation(t.Context(), i))
		}
		return err
	})
	check(t, expectations[iam.InvitationFilter]{
		{iam.InvitationFilter{}, []string{"a@x.test", "c@y.test", "e@x.test", "p@x.test"}},
		{iam.InvitationFilter{State: iam.Pending, Now: now}, []string{"p@x.test"}},
		{iam.InvitationFilter{State: iam.Expired, Now: now}, []string{"e@x.test"}},
		{iam.InvitationFilter{State: iam.Accepted, Now: now}, []string{"a@x.test"}},
		{iam.InvitationFilter{State: iam.Cancelled, Now: now}, []string{"c@y.test"}},
		{iam.InvitationFilter{State: iam.Active, Now: now}, []string{}},
		{iam.InvitationFilter{Email: "C@Y.test"}, []string{"c@y.test"}},
		{iam.InvitationFilter{Email: "y.test"}, []string{}},
		{iam.InvitationFilter{Query: "@Y."}, []string{"c@y.test"}},
	}, func(f iam.InvitationFilter) (iam.List[iam.Invitation], error) {
		return w.s.Invitations(t.Context(), w.ws.ID, f, everything)
	}, func(i iam.Invitation) string { return i.Email })
}

// A caller's % or _ is a character like any other.
func testWildcards(t *testing.T, open Open) {
	w := newWorld(t, open)
	names := []string{`100%`, `a_b`, `a\b`, `axb`, `'; --`}
	w.change(func(tx iam.Tx) (err error) {
		for _, name := range names {
			err = errors.Join(err, tx.InsertKey(t.Context(), w.newKey(name)))
		}
		return err
	})
	check(t, expectations[iam.KeyFilter]{
		{iam.KeyFilter{Query: `%`}, []string{`100%`}},
		{iam.KeyFilter{Query: `_`}, []string{`a_b`}},
		{iam.KeyFilter{Query: `A_B`}, []string{`a_b`}},
		{iam.KeyFilter{Query: `\`}, []string{`a\b`}},
		{iam.KeyFilter{Query: `\%`}, []string{}},
		{iam.KeyFilter{Query: `'`}, []string{`'; --`}},
		{iam.KeyFilter{Query: strings.Repeat(`%`, 1_000_000)}, []string{}},
	}, func(f iam.KeyFilter) (iam.List[iam.Key], error) {
		return w.s.Keys(t.Context(), w.ws.ID, f, everything)
	}, func(k iam.Key) string { return k.Name })
}
