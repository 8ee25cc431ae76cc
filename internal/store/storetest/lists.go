package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// lists come in pages that hold each thing once, whatever is added meanwhile.
var lists = []contract{
	{"WorkspacesAreListedInOrder", func(t *testing.T, open Open) { testList(t, open, workspaceList) }},
	{"ServiceAccountsAreListedInOrder", func(t *testing.T, open Open) { testList(t, open, accountList) }},
	{"MembersAreListedInOrder", func(t *testing.T, open Open) { testList(t, open, memberList) }},
	{"RolesAreListedInOrder", func(t *testing.T, open Open) { testList(t, open, roleList) }},
	{"KeysAreListedInOrder", func(t *testing.T, open Open) { testList(t, open, keyList) }},
	{"InvitationsAreListedInOrder", func(t *testing.T, open Open) { testList(t, open, invitationList) }},
	{"EventsAreListedInOrder", func(t *testing.T, open Open) { testList(t, open, eventList) }},
}

// listed is a list under test.
type listed[T any] struct {
	list func(iam.Page) (iam.List[T], error)
	id   func(T) string
	// sorts are the orders there are: what each compares, as text that compares
	// alike. own is the list's own, as callers would ask for it.
	sorts map[string]func(T) string
	own   string
	// add adds the nth thing. Some of them compare equal.
	add func(tx iam.Tx, n int) error
}

func testList[T any](t *testing.T, open Open, of func(w *world) listed[T]) {
	w := newWorld(t, open)
	l := of(w)
	added := 0
	add := func() {
		w.change(func(tx iam.Tx) error { return l.add(tx, added) })
		added++
	}
	for range 7 {
		add()
	}
	for name, key := range l.sorts {
		for _, sort := range []string{name, "-" + name} {
			testOrder(t, l, sort, key, add)
		}
	}
	own := must[iam.List[T]](t, "in its own order")(l.list(iam.Page{Limit: 200}))
	asked := must[iam.List[T]](t, l.own)(l.list(iam.Page{Limit: 200, Sort: l.own}))
	equal(t, "its own order, which is "+l.own, l.ids(own.Items), l.ids(asked.Items))

	for _, sort := range []string{"hash", "-", "id; DROP TABLE keys", "name DESC", "--name"} {
		_, err := l.list(iam.Page{Limit: 1, Sort: sort})
		shown, ok := errors.AsType[*iam.Error](err)
		if !ok || shown.Kind != iam.ValidationFailed || shown.Fields[0].Pointer != "/sort" {
			t.Errorf("sorted by %q: error %v, want one that points at /sort", sort, err)
		}
	}
	for _, after := range [][]string{{}, {"1"}, {"1", "2", "3"}, {"\x00", "x"}} {
		_, err := l.list(iam.Page{Limit: 1, After: after})
		isKind(t, fmt.Sprintf("after %q", after), err, iam.InvalidRequest)
	}
}

// testOrder reads a list in one page and in pages of two, and adds something
// after each of these.
func testOrder[T any](t *testing.T, l listed[T], sort string, key func(T) string, add func()) {
	t.Helper()
	whole := must[iam.List[T]](t, sort)(l.list(iam.Page{Limit: 200, Sort: sort}))
	if whole.Next != nil {
		t.Errorf("by %s: a page follows the whole list", sort)
	}
	want := slices.Clone(whole.Items)
	slices.SortFunc(want, func(a, b T) int {
		order := cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(l.id(a), l.id(b)))
		if strings.HasPrefix(sort, "-") {
			return -order
		}
		return order
	})
	equal(t, "by "+sort, l.ids(whole.Items), l.ids(want))
	known := map[string]bool{}
	for _, id := range l.ids(want) {
		known[id] = true
	}
	var got []string
	for _, id := range l.ids(pages(t, 2, func(p iam.Page) (iam.List[T], error) {
		if p.After != nil {
			add()
		}
		p.Sort = sort
		return l.list(p)
	})) {
		if known[id] { // what was added may be there or not
			got = append(got, id)
		}
	}
	equal(t, "by "+sort+", in pages of two while more comes in", got, l.ids(want))
}

func (l listed[T]) ids(items []T) []string {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = l.id(item)
	}
	return ids
}

// pages reads a list to its end.
func pages[T any](t *testing.T, limit int, list func(iam.Page) (iam.List[T], error)) (all []T) {
	t.Helper()
	p := iam.Page{Limit: limit}
	for range 1000 {
		part := must[iam.List[T]](t, "page")(list(p))
		if len(part.Items) > limit {
			t.Fatalf("a page of %d, want at most %d", len(part.Items), limit)
		}
		all = append(all, part.Items...)
		if part.Next == nil {
			return all
		}
		p.After = part.Next
	}
	t.Fatal("the list does not end")
	return nil
}

// nth returns a time and a name, each the same for some n.
func nth(n int) (at time.Time, name string) {
	return epoch.Add(time.Duration(n*5%3) * time.Second), []string{"Beta", "alpha", "Émile", "alpha b"}[n%4]
}

func byTime(at time.Time) string { return fmt.Sprintf("%020d", at.UnixMicro()) }

func workspaceList(w *world) listed[iam.Workspace] {
	return listed[iam.Workspace]{
		list: func(p iam.Page) (iam.List[iam.Workspace], error) {
			return w.s.Workspaces(w.t.Context(), iam.WorkspaceFilter{}, p)
		},
		id: func(ws iam.Workspace) string { return string(ws.ID) },
		sorts: map[string]func(iam.Workspace) string{
			"name":       func(ws iam.Workspace) string { return strings.ToLower(ws.Name) },
			"slug":       func(ws iam.Workspace) string { return ws.Slug },
			"created_at": func(ws iam.Workspace) string { return byTime(ws.CreatedAt) },
		},
		own: "name",
		add: func(tx iam.Tx, n int) error {
			ws, _, _ := w.workspace(fmt.Sprint("w", n*7%11, "-", n))
			ws.CreatedAt, ws.Name = nth(n)
			return tx.InsertWorkspace(w.t.Context(), ws)
		},
	}
}

func accountList(w *world) listed[iam.ServiceAccount] {
	return listed[iam.ServiceAccount]{
		list: func(p iam.Page) (iam.List[iam.ServiceAccount], error) {
			return w.s.ServiceAccounts(w.t.Context(), w.ws.ID, iam.AccountFilter{}, p)
		},
		id: func(a iam.ServiceAccount) string { return string(a.ID) },
		sorts: map[string]func(iam.ServiceAccount) string{
			"name":       func(a iam.ServiceAccount) string { return a.Name },
			"owner":      func(a iam.ServiceAccount) string { return a.Owner },
			"created_at": func(a iam.ServiceAccount) string { return byTime(a.CreatedAt) },
		},
		own: "name",
		add: func(tx iam.Tx, n int) error {
			a := w.newAccount(fmt.Sprint("a", n*7%11, "-", n))
			a.CreatedAt, a.Owner = nth(n)
			return tx.InsertServiceAccount(w.t.Context(), a)
		},
	}
}

func memberList(w *world) listed[iam.Member] {
	return listed[iam.Member]{
		list: func(p iam.Page) (iam.List[iam.Member], error) {
			return w.s.Members(w.t.Context(), w.ws.ID, iam.MemberFilter{}, p)
		},
		id: func(m iam.Member) string { return string(m.ID) },
		sorts: map[string]func(iam.Member) string{
			"name":       func(m iam.Member) string { return strings.ToLower(m.Name) },
			"email":      func(m iam.Member) string { return m.Person.Email },
			"created_at": func(m iam.Member) string { return byTime(m.CreatedAt) },
		},
		own: "name",
		add: func(tx iam.Tx, n int) error {
			m := w.newMember("", fmt.Sprint(n*7%11, "-", n, "@acme.test"))
			m.CreatedAt, m.Name = nth(n)
			return errors.Join(tx.InsertPerson(w.t.Context(), m.Person), tx.InsertMember(w.t.Context(), m))
		},
	}
}

func roleList(w *world) listed[iam.Role] {
	return listed[iam.Role]{
		list: func(p iam.Page) (iam.List[iam.Role], error) {
			return w.s.Roles(w.t.Context(), w.ws.ID, iam.RoleFilter{}, p)
		},
		id: func(r iam.Role) string { return string(r.ID) },
		sorts: map[string]func(iam.Role) string{
			"kind": func(r iam.Role) string { // built-in ones first
				if r.BuiltIn {
					return "0" + r.Name
				}
				return "1" + r.Name
			},
			"name":       func(r iam.Role) string { return r.Name },
			"created_at": func(r iam.Role) string { return byTime(r.CreatedAt) },
		},
		own: "kind",
		add: func(tx iam.Tx, n int) error {
			r := w.roleIn(w.ws.ID, fmt.Sprint("r", n*7%11, "_", n), "*:read")
			r.CreatedAt, _ = nth(n)
			r.BuiltIn = n%2 == 1
			return tx.InsertRole(w.t.Context(), r)
		},
	}
}

func keyList(w *world) listed[iam.Key] {
	return listed[iam.Key]{
		list: func(p iam.Page) (iam.List[iam.Key], error) {
			return w.s.Keys(w.t.Context(), w.ws.ID, iam.KeyFilter{}, p)
		},
		id: func(k iam.Key) string { return string(k.ID) },
		sorts: map[string]func(iam.Key) string{
			"name":       func(k iam.Key) string { return strings.ToLower(k.Name) },
			"created_at": func(k iam.Key) string { return byTime(k.CreatedAt) },
			"expires_at": func(k iam.Key) string {
				if k.ExpiresAt.IsZero() {
					return fmt.Sprintf("%020d", int64(math.MaxInt64)) // never: last
				}
				return byTime(k.ExpiresAt)
			},
		},
		own: "-created_at",
		add: func(tx iam.Tx, n int) error {
			at, name := nth(n)
			k := w.newKey(fmt.Sprint(name, n*7%11, "-", n))
			k.CreatedAt = at
			if n%3 > 0 {
				k.ExpiresAt = at
			}
			return tx.InsertKey(w.t.Context(), k)
		},
	}
}

func invitationList(w *world) listed[iam.Invitation] {
	return listed[iam.Invitation]{
		list: func(p iam.Page) (iam.List[iam.Invitation], error) {
			return w.s.Invitations(w.t.Context(), w.ws.ID, iam.InvitationFilter{}, p)
		},
		id: func(i iam.Invitation) string { return string(i.ID) },
		sorts: map[string]func(iam.Invitation) string{
			"email":      func(i iam.Invitation) string { return i.Email },
			"created_at": func(i iam.Invitation) string { return byTime(i.CreatedAt) },
			"expires_at": func(i iam.Invitation) string { return byTime(i.ExpiresAt) },
		},
		own: "-created_at",
		add: func(tx iam.Tx, n int) error {
			i := w.newInvitation(fmt.Sprint(n%4, "@acme.test"))
			i.CreatedAt, _ = nth(n)
			i.ExpiresAt, _ = nth(n + 1)
			return tx.InsertInvitation(w.t.Context(), i)
		},
	}
}

func eventList(w *world) listed[iam.AuditEvent] {
	return listed[iam.AuditEvent]{
		list: func(p iam.Page) (iam.List[iam.AuditEvent], error) {
			return w.s.Events(w.t.Context(), w.ws.ID, iam.EventFilter{}, p)
		},
		id: func(e iam.AuditEvent) string { return e.ID },
		sorts: map[string]func(iam.AuditEvent) string{
			"seq": func(e iam.AuditEvent) string { return fmt.Sprintf("%020d", e.Seq) },
			"at":  func(e iam.AuditEvent) string { return byTime(e.At) },
		},
		own: "-seq",
		add: func(tx iam.Tx, n int) error {
			e := w.newEvent("key.created")
			e.At, e.Actor.Name = nth(n)
			e.Outcome = []audit.Outcome{audit.Done, audit.Refused}[n%2]
			return tx.AppendEvent(w.t.Context(), e)
		},
	}
}
